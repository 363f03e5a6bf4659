//! How one record lies in a log. Pure: bytes in, bytes out.
//!
//! | offset | len | field (integers little endian) |
//! |---|---|---|
//! | 0 | 4 | kind |
//! | 4 | 4 | block number; in a segment's head, the number of the first block to come |
//! | 8 | 4 | payload length |
//! | 12 | 8 | segment and byte up to which the log was synced when this was written |
//! | 20 | 4 | epoch in which this was written |
//! | 24 | 8 | of a proof: the first bytes of its block's hash; else zeros |
//! | 32 | 32 | BLAKE3 of the payload |
//! | 64 | 8 | first bytes of BLAKE3 of the store's id, the record's place and the 64 bytes before |
//! | 72 | … | payload, then zeros up to a multiple of 8 |
//!
//! The check covers id and place, so that no record is one anywhere else, nor in a payload made by somebody who
//! knows this layout. An epoch ends with each opening and each cut: a record of an earlier one behind the checkpoint is
//! what a crash or a cut left there, and void.

use crate::{BlockHash, BlockNumber, StoreError, position::Position};

/// Length of a record's header, in bytes.
pub(crate) const HEADER: u32 = 72;
/// The longest payload, in bytes.
pub(crate) const MAX_PAYLOAD: u32 = 1 << 30;
/// Records start at multiples of this many bytes.
pub(crate) const ALIGN: u32 = 8;
const HEADER_LEN: usize = HEADER as usize;
const CHECKED: usize = 64;

/// The bytes of a header.
pub(crate) type HeaderBytes = [u8; HEADER_LEN];

/// The first bytes of a block's hash, by which a proof names the block it belongs to.
pub(crate) type Owner = [u8; 8];

/// The random id of one store, which its records are bound to.
pub(crate) type StoreId = [u8; ID];
const ID: usize = 16;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The payload is a block.
    Block,
    /// The payload is the proof of a block.
    Proof,
    /// The head of a segment; no payload.
    Segment,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Block, Self::Proof, Self::Segment];

    const fn code(self) -> [u8; 4] {
        match self {
            Self::Block => *b"TMb1",
            Self::Proof => *b"TMp1",
            Self::Segment => *b"TMs1",
        }
    }

    fn from_code(code: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// Whether a header could start with these bytes: cheap, for searching.
pub(crate) fn may_start(bytes: &[u8]) -> bool {
    bytes.starts_with(b"TM")
}

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) number: BlockNumber,
    pub(crate) len: u32,
    /// Everything before this was synced when the record was written.
    pub(crate) synced: Position,
    pub(crate) epoch: u32,
    pub(crate) owner: Owner,
    pub(crate) hash: BlockHash,
}

impl Header {
    pub(crate) fn encode(&self, id: &StoreId, at: Position) -> HeaderBytes {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&self.kind.code());
        bytes[4..8].copy_from_slice(&self.number.get().to_le_bytes());
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.synced.segment.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.synced.offset.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.owner);
        bytes[32..CHECKED].copy_from_slice(self.hash.as_bytes());
        let check = check(&bytes, id, at);
        bytes[CHECKED..].copy_from_slice(&check);
        bytes
    }

    /// The header in these bytes; none if they are none of this store at this place.
    pub(crate) fn decode(bytes: &HeaderBytes, id: &StoreId, at: Position) -> Option<Self> {
        let kind = Kind::from_code(&bytes[..4])?;
        if bytes[CHECKED..] != check(bytes, id, at) {
            return None;
        }
        let synced = Position::new(word(bytes, 12), word(bytes, 16));
        let mut owner = Owner::default();
        owner.copy_from_slice(&bytes[24..32]);
        let (number, hash) = (word(bytes, 4).into(), hash_in(bytes));
        Some(Self { kind, number, len: word(bytes, 8), synced, epoch: word(bytes, 20), owner, hash })
    }
}

/// The payload's hash in a header that was not checked.
pub(crate) fn hash_in(bytes: &HeaderBytes) -> BlockHash {
    let mut hash = [0; 32];
    hash.copy_from_slice(&bytes[32..CHECKED]);
    BlockHash::from_bytes(hash)
}

/// Length of a payload that a record can hold.
pub(crate) fn payload_len(payload: &[u8]) -> Result<u32, StoreError> {
    let len = u32::try_from(payload.len()).ok().filter(|len| *len <= MAX_PAYLOAD);
    len.ok_or(StoreError::TooLarge { len: payload.len(), max: MAX_PAYLOAD })
}

/// Length of a whole record whose payload has `len` bytes. Below 2^31 for any payload allowed.
pub(crate) const fn record_len(len: u32) -> u32 {
    HEADER.saturating_add(len).saturating_add(ALIGN - 1) / ALIGN * ALIGN
}

/// How a block's proof names it.
pub(crate) fn owner_of(block: &BlockHash) -> Owner {
    let mut owner = Owner::default();
    owner.copy_from_slice(&block.as_bytes()[..8]);
    owner
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// One call on one run of bytes: a hasher that is fed piece by piece costs several times as much for so few.
fn check(bytes: &HeaderBytes, id: &StoreId, at: Position) -> [u8; HEADER_LEN - CHECKED] {
    let mut covered = [0; ID + 8 + CHECKED];
    covered[..ID].copy_from_slice(id);
    covered[ID..ID + 4].copy_from_slice(&at.segment.to_le_bytes());
    covered[ID + 4..ID + 8].copy_from_slice(&at.offset.to_le_bytes());
    covered[ID + 8..].copy_from_slice(&bytes[..CHECKED]);
    let mut check = [0; HEADER_LEN - CHECKED];
    check.copy_from_slice(&blake3::hash(&covered).as_bytes()[..HEADER_LEN - CHECKED]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: StoreId = [3; 16];
    const AT: Position = Position::new(2, 72);

    fn header() -> Header {
        let hash = BlockHash::of(b"payload");
        let synced = Position::new(1, 4096);
        Header { kind: Kind::Proof, number: 7.into(), len: 7, synced, epoch: 5, owner: owner_of(&hash), hash }
    }

    #[test]
    fn a_header_survives_encoding_and_no_flipped_bit_does() {
        let bytes = header().encode(&ID, AT);
        assert_eq!(Header::decode(&bytes, &ID, AT), Some(header()));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&flipped, &ID, AT), None, "bit {bit}");
        }
    }

    #[test]
    fn a_header_is_none_elsewhere_or_in_another_store() {
        let bytes = header().encode(&ID, AT);
        assert_eq!(Header::decode(&bytes, &ID, Position::new(2, 80)), None);
        assert_eq!(Header::decode(&bytes, &ID, Position::new(3, 72)), None);
        assert_eq!(Header::decode(&bytes, &[4; 16], AT), None);
    }

    #[test]
    fn records_are_aligned_and_hold_their_payload() {
        assert_eq!([0, 1, 8, 9].map(record_len), [72, 80, 80, 88]);
        assert_eq!(record_len(MAX_PAYLOAD), MAX_PAYLOAD + 72);
    }
}
