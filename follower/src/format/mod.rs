//! What a block is: the facts a format reads out of a block's bytes, and the rules that hold between it and the chain
//! before it.
//!
//! Pure. Byte identity is not decided here: that is always BLAKE3 of the bytes, whatever a chain commits to.

mod error;
#[cfg(test)]
mod fuzz;
mod links;
#[cfg(feature = "miden")]
mod miden;
mod native;
mod opaque;

use std::sync::Arc;

use tidemark_store::{BlockHash, BlockNumber, Commitment, Medium, StoreError, io::Disk};
use tidemark_wire::{blockchain::BlockHeader, primitives::MerklePath};
use tonic::codegen::Bytes;

pub use error::{FormatError, FormatMissing};
#[cfg(feature = "miden")]
pub use miden::Miden;
pub use native::{Native, NativeBlock};
pub use opaque::Opaque;

/// What a format knows about one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockFacts {
    /// The block's number.
    pub number: BlockNumber,
    /// BLAKE3 of its bytes.
    pub hash: BlockHash,
    /// What the chain's next block names as its parent.
    pub commitment: Commitment,
}

/// Opens, on a store's disk, what a format keeps beside the blocks.
pub type MediumFactory = Box<dyn FnOnce(&Arc<dyn Disk>) -> Result<Arc<dyn Medium>, StoreError>>;

/// One kind of chain.
pub trait Format: Send + Sync + 'static {
    /// The format's name, as the command line and the metadata spell it.
    fn name(&self) -> &'static str;

    /// What checks the blocks behind `tip`, the last one held, given with its bytes; from block 0 on when there is none.
    ///
    /// # Errors
    /// When the block held is none of this format. `Kept` when what the format keeps beside the blocks is damaged: it was
    /// dropped, and is rebuilt when the store is opened anew. `Behind` while it waits for a block that is damaged.
    fn open(
        &self,
        genesis: Commitment,
        tip: Option<(BlockNumber, &[u8])>,
    ) -> Result<Box<dyn ChainCheck>, FormatError>;

    /// What the format keeps beside the blocks: the store must be opened with it.
    fn medium(&self) -> Option<MediumFactory> {
        None
    }

    /// What tells a block's header, in formats that know headers.
    fn headers(&self) -> Option<&dyn Headers> {
        None
    }
}

/// Tells headers of blocks held, and proves that they belong to the chain.
pub trait Headers: Send + Sync {
    /// The header of a block; none when it has none.
    fn header(&self, block: &Bytes) -> Option<BlockHeader>;

    /// The path from block `number` to a peak of the Merkle mountain range of the first `count` blocks; none unless all
    /// of them are held and the block is one of them.
    ///
    /// # Errors
    /// `Medium` when what is on disk proves nothing; file errors.
    fn path(&self, number: BlockNumber, count: u32) -> Result<Option<MerklePath>, StoreError>;
}

/// Checks block after block against the chain before it.
///
/// After an error, or when what was checked could not be kept, it is of no more use: open another one.
pub trait ChainCheck: Send + Sync {
    /// The number of the block due next.
    fn next(&self) -> BlockNumber;

    /// Checks that these bytes are the block due next, and moves on to the one after it.
    ///
    /// # Errors
    /// Every reason for which a block is not taken.
    fn check(&mut self, bytes: &[u8]) -> Result<BlockFacts, FormatError>;

    /// Checks blocks that follow each other: the facts of all before the first that is refused, and why that one is.
    fn check_all(&mut self, blocks: &[Bytes]) -> (Vec<BlockFacts>, Result<(), FormatError>) {
        let mut facts = Vec::with_capacity(blocks.len());
        let checked = blocks.iter().try_for_each(|block| {
            facts.push(self.check(block)?);
            Ok(())
        });
        (facts, checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u32, parent: Commitment) -> Vec<u8> {
        NativeBlock { number: number.into(), parent, unix_millis: 1, body: b"body" }.encode()
    }

    const NONE: Commitment = Commitment::from_bytes([0; 32]);

    fn genesis() -> Commitment {
        Commitment::from_bytes(*BlockHash::of(&block(0, NONE)).as_bytes())
    }

    /// What a checker that holds block 0 says to these bytes.
    fn refusal(bytes: &[u8]) -> FormatError {
        let first = block(0, NONE);
        let mut chain = Native.open(genesis(), Some((0.into(), &first))).expect("a native block");
        chain.check(bytes).expect_err("refused")
    }

    #[test]
    fn a_native_chain_is_accepted_block_by_block() {
        let mut chain = Native.open(genesis(), None).expect("nothing is held");
        let first = chain.check(&block(0, NONE)).expect("genesis");
        assert_eq!((first.number, first.commitment), (0.into(), genesis()));
        let second = chain.check(&block(1, genesis())).expect("follows");
        assert_eq!((second.number, second.hash), (1.into(), BlockHash::of(&block(1, genesis()))));
        assert_eq!(chain.next(), 2.into());
    }

    #[test]
    fn a_block_that_does_not_follow_is_refused_for_its_reason() {
        let skipped = refusal(&block(2, genesis()));
        assert_eq!(skipped, FormatError::WrongNumber { asked: 1.into(), found: 2.into() });
        assert!(matches!(refusal(&block(1, NONE)), FormatError::WrongParent { .. }));
        assert!(matches!(refusal(b"short"), FormatError::Malformed { .. }));
        let refused = Native.open(genesis(), None).map(|mut chain| chain.check(&block(0, genesis())));
        assert!(matches!(refused, Ok(Err(FormatError::WrongGenesis { .. }))));
    }

    #[test]
    fn a_group_is_taken_up_to_the_first_block_that_is_refused() {
        let good = [block(0, NONE), block(1, genesis())];
        let group = [&good[0], &good[1], &good[1]].map(|bytes| Bytes::from(bytes.clone()));
        let mut chain = Native.open(genesis(), None).expect("nothing is held");
        let (facts, checked) = chain.check_all(&group);
        assert_eq!(facts.len(), 2);
        assert_eq!(checked, Err(FormatError::WrongNumber { asked: 2.into(), found: 1.into() }));
    }

    #[test]
    fn an_opaque_block_is_any_bytes_at_the_position_asked_for() {
        let mut chain = Opaque.open(NONE, None).expect("nothing is held");
        assert!(chain.check(b"zero").is_ok());
        let next = chain.check(b"").expect("accepted");
        assert_eq!((next.number, next.hash), (1.into(), BlockHash::of(b"")));
    }
}
