//! What checking what is on disk comes across.

use std::path::PathBuf;

use crate::BlockNumber;

/// What of a block is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Its bytes: only a copy from elsewhere helps.
    Block,
    /// Its proof: it is copied again.
    Proof,
    /// The header of its record, whose bytes are whole: made anew from the indexes.
    Header,
    /// Its entry in the place index or the hash index: made anew from the log.
    Entry,
    /// The head of the segment that it is the first in: made anew from the indexes.
    Head,
    /// The head of the segment that its proof is the first in: made anew from the log.
    ProofHead,
}

/// Something that is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The block it concerns.
    pub number: BlockNumber,
    /// What of that block.
    pub part: Part,
    /// The damaged file.
    pub path: PathBuf,
    /// Where in it the damaged record or entry starts, in bytes.
    pub offset: u64,
    /// What is wrong.
    pub detail: String,
}

/// What a piece of checking came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// The block to go on with; none when everything was checked.
    pub next: Option<BlockNumber>,
    /// Bytes that were read and checked.
    pub bytes: u64,
    /// What was found damaged, in the order of block numbers.
    pub findings: Vec<Finding>,
}
