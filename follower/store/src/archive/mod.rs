//! The export file: blocks and proofs of one chain as one stream of bytes. Pure but for `Read` and `Write`.
//!
//! It is a head, records, and an end. Each ends with a *check*: the first 8 bytes of BLAKE3 of every byte of the file
//! before it, so that nothing in a file can be altered, left out, repeated or taken from another one without the next
//! check failing. Integers are little endian.
//!
//! The head, 92 bytes:
//!
//! | offset | len | field |
//! |---|---|---|
//! | 0 | 8 | `TMexport` |
//! | 8 | 4 | version of the file, 1 |
//! | 12 | 32 | name of the chain's format, then zeros |
//! | 44 | 32 | genesis commitment |
//! | 76 | 4 | number of the first block |
//! | 80 | 4 | number of the last block; 2^32 − 1 when it was not known |
//! | 84 | 8 | check |
//!
//! A record, 28 + n bytes:
//!
//! | offset | len | field |
//! |---|---|---|
//! | 0 | 4 | `TMxb` for a block, `TMxp` for a proof |
//! | 4 | 4 | block number |
//! | 8 | 4 | n, which may be 0 |
//! | 12 | 8 | check, so that no wrong length is believed |
//! | 20 | n | the block or proof |
//! | 20 + n | 8 | check |
//!
//! Numbers rise from record to record; only the proof of a block comes behind it with the same number. A record that is
//! there with n = 0 is a proof of 0 bytes, which proves as well as any.
//!
//! The end, 44 bytes, and nothing behind it:
//!
//! | offset | len | field |
//! |---|---|---|
//! | 0 | 4 | `TMxe` |
//! | 4 | 4 | how many blocks |
//! | 8 | 4 | how many proofs |
//! | 12 | 32 | BLAKE3 of every byte before |

mod error;
mod layout;
mod read;
mod write;

pub use error::ArchiveError;
pub use read::Reader;
pub use write::Writer;

use crate::{BlockNumber, Metadata};

/// What an export file is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Format and genesis of the chain.
    pub chain: Metadata,
    /// No record is of a lower number.
    pub first: BlockNumber,
    /// No record is of a higher number; none when it was not known when the file was begun.
    pub last: Option<BlockNumber>,
}

/// What a record holds. A block comes before its proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A block.
    Block,
    /// The proof of a block.
    Proof,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it holds.
    pub part: Part,
    /// The number of the block.
    pub number: BlockNumber,
    /// The block or proof.
    pub bytes: Vec<u8>,
}

/// What a whole export file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How many blocks.
    pub blocks: u32,
    /// How many proofs.
    pub proofs: u32,
    /// Length of the file.
    pub bytes: u64,
    /// BLAKE3 of every byte before the last 32, which are this.
    pub hash: [u8; 32],
}
