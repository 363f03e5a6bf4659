//! How one record lies in a log. Pure: bytes in, bytes out.
//!
//! | offset | len | field (integers little endian) |
//! |---|---|---|
//! | 0 | 4 | kind |
//! | 4 | 4 | block number |
//! | 8 | 4 | payload length |
//! | 12 | 32 | BLAKE3 of the payload |
//! | 44 | 8 | first bytes of BLAKE3 of the 44 before |
//! | 52 | … | payload |
//!
//! The header has a check of its own, so that damage to a payload does not hide where the next record starts.

use crate::{BlockHash, BlockNumber, StoreError};

/// Length of a record's header, in bytes.
pub(crate) const HEADER: usize = 52;
const CHECKED: usize = 44;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The payload belongs to the block of this number.
    Data,
    /// Records above this number that came before are void. No payload.
    Cut,
}

impl Kind {
    const fn code(self) -> [u8; 4] {
        match self {
            Self::Data => *b"TMd1",
            Self::Cut => *b"TMc1",
        }
    }

    fn from_code(code: &[u8]) -> Option<Self> {
        [Self::Data, Self::Cut].into_iter().find(|kind| kind.code() == code)
    }
}

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) number: BlockNumber,
    pub(crate) len: u32,
    pub(crate) hash: BlockHash,
}

impl Header {
    /// The header of a record with this payload.
    pub(crate) fn of(kind: Kind, number: BlockNumber, payload: &[u8]) -> Result<Self, StoreError> {
        let too_large = |_| StoreError::TooLarge { len: payload.len(), max: u32::MAX };
        let len = u32::try_from(payload.len()).map_err(too_large)?;
        Ok(Self { kind, number, len, hash: BlockHash::of(payload) })
    }

    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&self.kind.code());
        bytes[4..8].copy_from_slice(&self.number.get().to_le_bytes());
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        bytes[12..CHECKED].copy_from_slice(self.hash.as_bytes());
        let check = check(&bytes);
        bytes[CHECKED..].copy_from_slice(&check);
        bytes
    }

    /// The header in these bytes; none if they are no header.
    pub(crate) fn decode(bytes: &[u8; HEADER]) -> Option<Self> {
        let kind = Kind::from_code(&bytes[..4])?;
        if bytes[CHECKED..] != check(bytes) {
            return None;
        }
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mut hash = [0; 32];
        hash.copy_from_slice(&bytes[12..CHECKED]);
        Some(Self { kind, number: word(4).into(), len: word(8), hash: BlockHash::from_bytes(hash) })
    }

    /// Length of header and payload, in bytes.
    pub(crate) fn record_len(&self) -> u64 {
        HEADER as u64 + u64::from(self.len)
    }
}

fn check(bytes: &[u8; HEADER]) -> [u8; HEADER - CHECKED] {
    let mut check = [0; HEADER - CHECKED];
    check.copy_from_slice(&blake3::hash(&bytes[..CHECKED]).as_bytes()[..HEADER - CHECKED]);
    check
}

#[cfg(test)]
mod tests {
    use super::{Header, Kind};

    #[test]
    fn a_header_survives_encoding_and_no_flipped_bit_does() {
        let header = Header::of(Kind::Data, 7.into(), b"payload").expect("short");
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Some(header));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&flipped), None, "bit {bit}");
        }
    }
}
