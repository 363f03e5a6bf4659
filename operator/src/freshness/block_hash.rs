//! The BLAKE3 of a block out of the bytes of a gRPC answer, without holding the block. Pure.

use tidemark_judge::BlockHash;

/// The field `block` of `blockchain.MaybeBlock`.
const BLOCK: u64 = 1;
/// One byte that tells whether the message is compressed, and four of its length.
const PREFIX: usize = 5;

/// Why an answer gives no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotABlock {
    #[error("the message is longer than {0} bytes")]
    TooLarge(u64),
    #[error("the message is compressed, which nobody asked for")]
    Compressed,
    #[error("the message is no blockchain.MaybeBlock")]
    Malformed,
    #[error("the message ends too early")]
    Cut,
}

/// Reads one answer of `rpc.Api/GetBlockByNumber`, piece by piece.
#[derive(Debug)]
pub(super) struct BlockHasher {
    limit: u64,
    state: State,
    /// What of the message has not been read yet.
    left: u64,
    hasher: Option<blake3::Hasher>,
}

#[derive(Debug)]
enum State {
    Prefix([u8; PREFIX], usize),
    Tag(Varint),
    Length(u64, Varint),
    Number(Varint),
    Block(u64),
    Skip(u64),
}

/// A number in base 128, as far as it has been read.
#[derive(Clone, Copy, Debug, Default)]
struct Varint {
    value: u64,
    bits: u32,
}

impl Varint {
    /// Takes a byte; the number, if that was its last.
    fn take(&mut self, byte: u8) -> Result<Option<u64>, NotABlock> {
        let bits = u64::from(byte & 0x7f);
        if self.bits > 63 || (self.bits == 63 && bits > 1) {
            return Err(NotABlock::Malformed);
        }
        self.value |= bits << self.bits;
        self.bits += 7;
        Ok((byte & 0x80 == 0).then_some(self.value))
    }
}

impl BlockHasher {
    /// For an answer of at most `limit` bytes.
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, state: State::Prefix([0; PREFIX], 0), left: 0, hasher: None }
    }

    /// Reads on.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<(), NotABlock> {
        while !bytes.is_empty() {
            let used = match &mut self.state {
                &mut (State::Block(more) | State::Skip(more)) => self.run(more, bytes),
                State::Prefix(prefix, known) => {
                    prefix[*known] = bytes[0];
                    *known += 1;
                    self.prefix()?;
                    1
                }
                State::Tag(_) | State::Length(..) | State::Number(_) => {
                    self.left = self.left.checked_sub(1).ok_or(NotABlock::Malformed)?;
                    self.byte(bytes[0])?;
                    1
                }
            };
            bytes = &bytes[used..];
        }
        Ok(())
    }

    fn prefix(&mut self) -> Result<(), NotABlock> {
        let State::Prefix([compressed, length @ ..], PREFIX) = self.state else { return Ok(()) };
        self.left = u32::from_be_bytes(length).into();
        self.state = State::Tag(Varint::default());
        match compressed {
            0 if self.left > self.limit => Err(NotABlock::TooLarge(self.limit)),
            0 => Ok(()),
            _ => Err(NotABlock::Compressed),
        }
    }

    /// Takes a byte that says what follows.
    fn byte(&mut self, byte: u8) -> Result<(), NotABlock> {
        match &mut self.state {
            State::Tag(tag) => {
                if let Some(tag) = tag.take(byte)? {
                    self.state = field(tag)?;
                }
            }
            State::Number(number) => {
                if number.take(byte)?.is_some() {
                    self.state = State::Tag(Varint::default());
                }
            }
            State::Length(number, length) => {
                let number = *number;
                if let Some(length) = length.take(byte)? {
                    self.enter(number, length)?;
                }
            }
            State::Prefix(..) | State::Block(_) | State::Skip(_) => {}
        }
        self.fits()
    }

    fn enter(&mut self, number: u64, length: u64) -> Result<(), NotABlock> {
        if length > self.left {
            return Err(NotABlock::Malformed);
        }
        if number == BLOCK {
            // Of a field given twice the last one counts.
            self.hasher = Some(blake3::Hasher::new());
        }
        self.state = match (number, length) {
            (_, 0) => State::Tag(Varint::default()),
            (BLOCK, _) => State::Block(length),
            _ => State::Skip(length),
        };
        Ok(())
    }

    /// A field of fixed length must fit into the message as well.
    fn fits(&self) -> Result<(), NotABlock> {
        match self.state {
            State::Skip(more) if more > self.left => Err(NotABlock::Malformed),
            _ => Ok(()),
        }
    }

    /// Hashes or passes over what belongs to a field; how much that was.
    fn run(&mut self, more: u64, bytes: &[u8]) -> usize {
        let used = usize::try_from(more).unwrap_or(usize::MAX).min(bytes.len());
        let rest = more - used as u64;
        self.left -= used as u64;
        if let (State::Block(_), Some(hasher)) = (&self.state, &mut self.hasher) {
            hasher.update(&bytes[..used]);
        }
        self.state = match self.state {
            _ if rest == 0 => State::Tag(Varint::default()),
            State::Block(_) => State::Block(rest),
            _ => State::Skip(rest),
        };
        used
    }

    /// The hash, once all has been read; None when the store has no such block.
    pub(super) fn finish(self) -> Result<Option<BlockHash>, NotABlock> {
        match self.state {
            State::Tag(Varint { bits: 0, .. }) if self.left == 0 => {
                Ok(self.hasher.map(|hasher| BlockHash(*hasher.finalize().as_bytes())))
            }
            _ => Err(NotABlock::Cut),
        }
    }
}

/// What follows a tag.
fn field(tag: u64) -> Result<State, NotABlock> {
    match (tag >> 3, tag & 7) {
        (0, _) => Err(NotABlock::Malformed),
        (BLOCK, kind) if kind != 2 => Err(NotABlock::Malformed),
        (_, 0) => Ok(State::Number(Varint::default())),
        (_, 1) => Ok(State::Skip(8)),
        (number, 2) => Ok(State::Length(number, Varint::default())),
        (_, 5) => Ok(State::Skip(4)),
        _ => Err(NotABlock::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use tidemark_judge::BlockHash;
    use tidemark_wire::blockchain::MaybeBlock;

    use super::{BlockHasher, NotABlock};

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).expect("short");
        [&[0][..], &length.to_be_bytes()[..], message].concat()
    }

    fn hash(bytes: &[u8], step: usize) -> Result<Option<BlockHash>, NotABlock> {
        let mut hasher = BlockHasher::new(4096);
        bytes.chunks(step).try_for_each(|piece| hasher.take(piece))?;
        hasher.finish()
    }

    fn of(block: &[u8]) -> Option<BlockHash> {
        Some(BlockHash(*blake3::hash(block).as_bytes()))
    }

    #[test]
    fn a_block_is_hashed_however_its_answer_is_cut_and_whatever_stands_beside_it() {
        let block = vec![7; 300];
        let (some, none) = (|bytes: &[u8]| Some(bytes.to_vec().into()), None);
        let cases = [
            (MaybeBlock { block: some(&block), proof: none.clone() }, of(&block)),
            (MaybeBlock { block: some(&block), proof: some(&[9; 500]) }, of(&block)),
            (MaybeBlock { block: some(&[]), proof: some(&[]) }, of(&[])),
            (MaybeBlock { block: none.clone(), proof: some(&[9]) }, None),
            (MaybeBlock { block: none.clone(), proof: none }, None),
        ];
        for (message, expected) in cases {
            let bytes = framed(&message.encode_to_vec());
            for step in 1..=bytes.len() {
                assert_eq!(hash(&bytes, step), Ok(expected), "{step} bytes at a time");
            }
        }
    }

    #[test]
    fn fields_of_a_later_protocol_are_passed_over_and_of_two_blocks_the_last_counts() {
        let message = [
            &[0x18, 0x96, 0x01][..],
            &[0x21, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0x2d, 1, 2, 3, 4],
            &[0x0a, 1, 5, 0x0a, 2, 6, 7],
        ];
        for step in 1..30 {
            assert_eq!(hash(&framed(&message.concat()), step), Ok(of(&[6, 7])));
        }
    }

    #[test]
    fn what_is_no_whole_block_gives_no_hash() {
        let whole = framed(&MaybeBlock { block: Some(vec![7; 9].into()), proof: None }.encode_to_vec());
        for end in 0..whole.len() {
            assert_eq!(hash(&whole[..end], 3), Err(NotABlock::Cut), "{end} bytes");
        }
        assert_eq!(hash(&[0, 0, 0, 16, 1], 9), Err(NotABlock::TooLarge(4096)));
        assert_eq!(hash(&[1, 0, 0, 0, 1], 9), Err(NotABlock::Compressed));
        for malformed in [&[0x08, 1][..], &[0x0a, 9, 1], &[0x02], &[0x0b], &[0x2d, 1], &[0xff; 11]] {
            assert_eq!(hash(&framed(malformed), 1), Err(NotABlock::Malformed), "{malformed:?}");
        }
        let two = [whole.clone(), whole].concat();
        assert_eq!(hash(&two, 5), Err(NotABlock::Malformed), "one answer is one message");
    }
}
