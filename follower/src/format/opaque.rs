//! Blocks of a chain that is not understood: any bytes, numbered by position.

use tidemark_store::{BlockHash, BlockNumber, Commitment};

use super::{BlockFacts, Format, FormatError};

/// Takes a block's number from where it was asked for, and its commitment from BLAKE3 of its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Opaque;

impl Format for Opaque {
    fn name(&self) -> &'static str {
        "opaque"
    }

    fn inspect(&self, asked: BlockNumber, bytes: &[u8]) -> Result<BlockFacts, FormatError> {
        let commitment = Commitment::from_bytes(*BlockHash::of(bytes).as_bytes());
        Ok(BlockFacts { number: asked, commitment, parent: None })
    }

    fn genesis(&self, _first: &BlockFacts) -> Option<Commitment> {
        None
    }
}
