//! How the place index says where a payload lies: 16 bytes. Pure.
//!
//! | offset | len | field (integers little endian) |
//! |---|---|---|
//! | 0 | 4 | segment |
//! | 4 | 4 | byte in it where the record starts |
//! | 8 | 4 | payload length |
//! | 12 | 4 | first bytes of BLAKE3 of the block's number, the 12 bytes before and the block's hash |
//!
//! The check covers the block's hash too, so that place index and hash index vouch for each other.

use crate::{
    BlockHash, BlockNumber,
    position::Position,
    record::{HEADER, record_len},
};

/// Length of an entry, in bytes.
pub(crate) const ENTRY: usize = 16;
const CHECKED: usize = 12;

/// Where a record starts, and how long its payload is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at: Position,
    pub(crate) len: u32,
}

impl Place {
    /// Where the record after this one starts, if it is in the same segment.
    pub(crate) const fn end(&self) -> Position {
        Position::new(self.at.segment, self.at.offset.saturating_add(record_len(self.len)))
    }

    pub(crate) fn encode(&self, number: BlockNumber, block: &BlockHash) -> [u8; ENTRY] {
        let mut entry = [0; ENTRY];
        entry[..4].copy_from_slice(&self.at.segment.to_le_bytes());
        entry[4..8].copy_from_slice(&self.at.offset.to_le_bytes());
        entry[8..CHECKED].copy_from_slice(&self.len.to_le_bytes());
        let check = check(&entry, number, block);
        entry[CHECKED..].copy_from_slice(&check);
        entry
    }

    /// The place in an entry, whoever it is of, and whether it is one or not.
    pub(crate) fn unchecked(entry: &[u8; ENTRY]) -> Self {
        let word = |at: usize| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
        Self { at: Position::new(word(0), word(4)), len: word(8) }
    }

    /// The place in an entry; none if it is not the entry of that block.
    pub(crate) fn decode(entry: &[u8; ENTRY], number: BlockNumber, block: &BlockHash) -> Option<Self> {
        let place = Self::unchecked(entry);
        (place.at.offset >= HEADER && entry[CHECKED..] == check(entry, number, block)).then_some(place)
    }
}

fn check(entry: &[u8; ENTRY], number: BlockNumber, block: &BlockHash) -> [u8; ENTRY - CHECKED] {
    let mut covered = [0; 4 + CHECKED + 32];
    covered[..4].copy_from_slice(&number.get().to_le_bytes());
    covered[4..4 + CHECKED].copy_from_slice(&entry[..CHECKED]);
    covered[4 + CHECKED..].copy_from_slice(block.as_bytes());
    let mut check = [0; ENTRY - CHECKED];
    check.copy_from_slice(&blake3::hash(&covered).as_bytes()[..ENTRY - CHECKED]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_only_that_of_its_own_block() {
        let (number, hash) = (BlockNumber::new(9), BlockHash::of(b"block"));
        let place = Place { at: Position::new(3, 128), len: 5 };
        let entry = place.encode(number, &hash);
        assert_eq!(Place::decode(&entry, number, &hash), Some(place));
        assert_eq!(Place::decode(&entry, number.next(), &hash), None);
        assert_eq!(Place::decode(&entry, number, &BlockHash::of(b"other")), None);
        assert_eq!(Place::decode(&[0; ENTRY], number, &hash), None);
        for bit in 0..ENTRY * 8 {
            let mut flipped = entry;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Place::decode(&flipped, number, &hash), None, "bit {bit}");
        }
    }
}
