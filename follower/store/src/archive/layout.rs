//! How the head, the start of a record and the end lie in the file, and the check behind each. Pure.

use super::{ArchiveError, Head, Part};
use crate::{BlockNumber, Commitment, Metadata};

pub(super) const MAGIC: &[u8; 8] = b"TMexport";
pub(super) const VERSION: u32 = 1;
pub(super) const CHECK: usize = 8;
/// Length of the head without its check.
pub(super) const HEAD: usize = 84;
/// Length of the start of a record without its check.
pub(super) const START: usize = 12;
/// Length of the end without its hash.
pub(super) const END: usize = 12;
/// The longest block or proof in an export file, in bytes: the longest that a store takes.
pub(super) const MAX_PAYLOAD: u32 = crate::record::MAX_PAYLOAD;
const NAME: usize = 32;
const OPEN: u32 = u32::MAX;

/// What every byte so far adds up to.
#[derive(Default)]
pub(super) struct Sum {
    hasher: blake3::Hasher,
    pub(super) bytes: u64,
}

impl Sum {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }

    pub(super) fn check(&self) -> [u8; CHECK] {
        let mut check = [0; CHECK];
        check.copy_from_slice(&self.hash()[..CHECK]);
        check
    }
}

/// The order of records: none is before, or the same as, the one before it.
#[derive(Default)]
pub(super) struct Order(Option<(BlockNumber, Part)>);

impl Order {
    /// Whether a record may follow; if so, it is the one before from now on.
    pub(super) fn admits(&mut self, head: &Head, number: BlockNumber, part: Part) -> bool {
        let in_range = number >= head.first && head.last.is_none_or(|last| number <= last);
        let admitted = in_range && self.0 < Some((number, part));
        if admitted {
            self.0 = Some((number, part));
        }
        admitted
    }
}

pub(super) fn encode_head(head: &Head) -> Result<[u8; HEAD], ArchiveError> {
    let name = head.chain.format.as_bytes();
    if name.is_empty() || name.len() > NAME || name.contains(&0) {
        return Err(ArchiveError::BadName { name: head.chain.format.clone(), max: NAME });
    }
    let mut bytes = [0; HEAD];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..12 + name.len()].copy_from_slice(name);
    bytes[44..76].copy_from_slice(head.chain.genesis.as_bytes());
    bytes[76..80].copy_from_slice(&head.first.get().to_le_bytes());
    bytes[80..].copy_from_slice(&head.last.map_or(OPEN, BlockNumber::get).to_le_bytes());
    Ok(bytes)
}

/// The head in these bytes, whose check holds.
pub(super) fn decode_head(bytes: &[u8; HEAD]) -> Result<Head, ArchiveError> {
    let name = bytes[12..44].split(|byte| *byte == 0).next().unwrap_or_default();
    let name = str::from_utf8(name).map_err(|_| ArchiveError::Altered {
        offset: 0,
        detail: "its format's name is no text".to_owned(),
    })?;
    let mut genesis = [0; 32];
    genesis.copy_from_slice(&bytes[44..76]);
    let last = Some(word(bytes, 80)).filter(|last| *last != OPEN).map(BlockNumber::new);
    let chain = Metadata::new(name, Commitment::from_bytes(genesis));
    Ok(Head { chain, first: word(bytes, 76).into(), last })
}

/// The version in a head.
pub(super) fn version(head: &[u8; HEAD]) -> u32 {
    word(head, 8)
}

pub(super) fn encode_start(part: Part, number: BlockNumber, len: u32) -> [u8; START] {
    let kind = match part {
        Part::Block => *b"TMxb",
        Part::Proof => *b"TMxp",
    };
    words([kind, number.get().to_le_bytes(), len.to_le_bytes()])
}

pub(super) fn encode_end(blocks: u32, proofs: u32) -> [u8; END] {
    words([*b"TMxe", blocks.to_le_bytes(), proofs.to_le_bytes()])
}

/// What comes next in a file.
pub(super) enum Next {
    Record { part: Part, number: BlockNumber, len: u32 },
    End { blocks: u32, proofs: u32 },
}

/// The start of a record or of the end, which are of the same length; none for what is neither.
pub(super) fn decode_next(bytes: &[u8; START]) -> Option<Next> {
    let (first, second) = (word(bytes, 4), word(bytes, 8));
    let record = |part| Next::Record { part, number: first.into(), len: second };
    match &bytes[..4] {
        b"TMxb" => Some(record(Part::Block)),
        b"TMxp" => Some(record(Part::Proof)),
        b"TMxe" => Some(Next::End { blocks: first, proofs: second }),
        _ => None,
    }
}

fn words(words: [[u8; 4]; 3]) -> [u8; START] {
    let mut bytes = [0; START];
    bytes.chunks_exact_mut(4).zip(words).for_each(|(into, word)| into.copy_from_slice(&word));
    bytes
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
