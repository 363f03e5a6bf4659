//! Why a block is not taken, each reason with its way out.

use thiserror::Error;
use tidemark_store::{BlockNumber, Commitment};

/// Why a block is not taken.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FormatError {
    /// The bytes are no block of the format.
    #[error(
        "block {number} is no {format} block ({detail}): check that the upstream's chain has this format"
    )]
    Malformed {
        /// The number asked for.
        number: BlockNumber,
        /// The format that was expected.
        format: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The block says that it is another one.
    #[error("block {found} came where block {asked} was due: repair the upstream, or follow another one")]
    WrongNumber {
        /// The number asked for.
        asked: BlockNumber,
        /// The number in the block.
        found: BlockNumber,
    },
    /// The block extends another chain than the one held.
    #[error(
        "block {number} names {named} as its parent, but the block held before it is {held}: nothing is applied until it is known which chain is right"
    )]
    WrongParent {
        /// The number of the block.
        number: BlockNumber,
        /// The commitment of the block held.
        held: Commitment,
        /// The parent the block names.
        named: Commitment,
    },
    /// Block 0 is not the one whose genesis is pinned.
    #[error(
        "block 0 makes a chain of genesis {found}, but {pinned} is pinned here: correct the upstream's URL, or start with an empty data directory and the genesis you mean"
    )]
    WrongGenesis {
        /// The genesis pinned.
        pinned: Commitment,
        /// The genesis that follows from the block.
        found: Commitment,
    },
}
