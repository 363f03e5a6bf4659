//! What a block is: the facts a format reads out of a block's bytes, and the rules that hold between two blocks.
//!
//! Pure. Byte identity is not decided here: that is always BLAKE3 of the bytes, whatever a chain commits to.

mod native;
mod opaque;

use thiserror::Error;
use tidemark_store::{BlockNumber, Commitment};

pub use native::{Native, NativeBlock};
pub use opaque::Opaque;

/// What a format knows about one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockFacts {
    /// The block's number.
    pub number: BlockNumber,
    /// What the chain's next block names as its parent.
    pub commitment: Commitment,
    /// The parent this block names; none when the format cannot tell.
    pub parent: Option<Commitment>,
}

/// Reads blocks of one kind of chain.
pub trait Format: Send + Sync + 'static {
    /// The format's name, as the command line and the metadata spell it.
    fn name(&self) -> &'static str;

    /// The facts in these bytes, which were handed over as block `asked`.
    ///
    /// # Errors
    /// `Malformed` when the bytes are no block of this format.
    fn inspect(&self, asked: BlockNumber, bytes: &[u8]) -> Result<BlockFacts, FormatError>;

    /// The genesis commitment that follows from block 0; none when the format cannot tell.
    fn genesis(&self, first: &BlockFacts) -> Option<Commitment>;
}

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

/// Checks that `bytes` is the block that follows `parent`, or block 0 of the chain `genesis` when there is none.
///
/// # Errors
/// Every reason for which a block is not taken.
pub fn check(
    format: &dyn Format,
    parent: Option<&BlockFacts>,
    genesis: Commitment,
    bytes: &[u8],
) -> Result<BlockFacts, FormatError> {
    let asked = BlockNumber::after(parent.map(|parent| parent.number));
    let facts = format.inspect(asked, bytes)?;
    if facts.number != asked {
        return Err(FormatError::WrongNumber { asked, found: facts.number });
    }
    match parent {
        Some(parent) => check_parent(&facts, parent)?,
        None => check_genesis(format, &facts, genesis)?,
    }
    Ok(facts)
}

fn check_parent(facts: &BlockFacts, parent: &BlockFacts) -> Result<(), FormatError> {
    match facts.parent {
        Some(named) if named != parent.commitment => {
            Err(FormatError::WrongParent { number: facts.number, held: parent.commitment, named })
        }
        _ => Ok(()),
    }
}

fn check_genesis(format: &dyn Format, first: &BlockFacts, pinned: Commitment) -> Result<(), FormatError> {
    match format.genesis(first) {
        Some(found) if found != pinned => Err(FormatError::WrongGenesis { pinned, found }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u32, parent: Commitment) -> Vec<u8> {
        NativeBlock { number: number.into(), parent, unix_millis: 1, body: b"body" }.encode()
    }

    fn facts(bytes: &[u8]) -> BlockFacts {
        Native.inspect(0.into(), bytes).expect("a native block")
    }

    const NONE: Commitment = Commitment::from_bytes([0; 32]);

    #[test]
    fn a_native_chain_is_accepted_block_by_block() {
        let genesis = facts(&block(0, NONE));
        assert_eq!(check(&Native, None, genesis.commitment, &block(0, NONE)), Ok(genesis));
        let second = block(1, genesis.commitment);
        assert_eq!(check(&Native, Some(&genesis), genesis.commitment, &second), Ok(facts(&second)));
    }

    #[test]
    fn a_block_that_does_not_follow_is_refused_for_its_reason() {
        let genesis = facts(&block(0, NONE));
        let check =
            |parent, bytes: &[u8]| check(&Native, parent, genesis.commitment, bytes).expect_err("refused");
        let skipped = check(Some(&genesis), &block(2, genesis.commitment));
        assert_eq!(skipped, FormatError::WrongNumber { asked: 1.into(), found: 2.into() });
        assert!(matches!(check(Some(&genesis), &block(1, NONE)), FormatError::WrongParent { .. }));
        assert!(matches!(check(Some(&genesis), b"short"), FormatError::Malformed { .. }));
        assert!(matches!(check(None, &block(0, genesis.commitment)), FormatError::WrongGenesis { .. }));
    }

    #[test]
    fn an_opaque_block_is_any_bytes_at_the_position_asked_for() {
        let genesis = check(&Opaque, None, NONE, b"zero").expect("accepted");
        let next = check(&Opaque, Some(&genesis), NONE, b"").expect("accepted");
        assert_eq!(next.number, 1.into());
    }
}
