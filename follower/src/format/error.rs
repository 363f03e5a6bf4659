//! Why a block is not taken, each reason with its way out.

use thiserror::Error;
use tidemark_store::{BlockNumber, Commitment};

/// A format was asked for that this build leaves out.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "this build has no format {0}: take one with the feature `{0}`, as in cargo build -p tidemark-follower --features {0}"
)]
pub struct FormatMissing(pub &'static str);

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
    /// The header commits to another body than the one that came with it.
    #[error(
        "block {number} commits to the {part} {named}, but its body has others: it was altered on its way, repair the upstream, or follow another one"
    )]
    WrongBody {
        /// The number asked for.
        number: BlockNumber,
        /// Which part of the body.
        part: &'static str,
        /// What the header commits to.
        named: Commitment,
    },
    /// The signature is not that of the chain's validator.
    #[error(
        "block {number} is signed by {signer}, where {validator} is the validator and the block names {named}: it was altered or forged, repair the upstream, or follow another one"
    )]
    WrongSigner {
        /// The number of the block.
        number: BlockNumber,
        /// The key that made the signature.
        signer: String,
        /// The validator's key, as the block before has it.
        validator: String,
        /// The validator's key, as this block has it.
        named: String,
    },
    /// The block commits to other blocks before it than are held.
    #[error(
        "block {number} commits to {named} as the chain before it, but the one held is {held}: repair the upstream, or follow another one"
    )]
    WrongChain {
        /// The number of the block.
        number: BlockNumber,
        /// The commitment of the chain held.
        held: Commitment,
        /// The commitment that the block names.
        named: Commitment,
    },
    /// What the format keeps beside the blocks is not that of the blocks held.
    #[error(
        "what the format {format} keeps beside the blocks does not fit block {number} ({detail}): restart the follower, it is rebuilt then"
    )]
    Kept {
        /// The last block held.
        number: BlockNumber,
        /// The format.
        format: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// What the format keeps beside the blocks waits for a block that is damaged.
    #[error(
        "what follows block {number} cannot be checked before block {reached}, which is damaged here, is fetched anew: wait, or follow an upstream that has it"
    )]
    Behind {
        /// The last block held.
        number: BlockNumber,
        /// The block that is damaged.
        reached: BlockNumber,
    },
}
