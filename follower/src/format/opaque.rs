//! Blocks of a chain that is not understood: any bytes, numbered by position.

use tidemark_store::{BlockHash, BlockNumber, Commitment};

use super::{
    BlockFacts, ChainCheck, Format, FormatError,
    links::{Link, Links},
};

/// Takes a block's number from where it was asked for, and its commitment from BLAKE3 of its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Opaque;

impl Format for Opaque {
    fn name(&self) -> &'static str {
        "opaque"
    }

    fn open(
        &self,
        _genesis: Commitment,
        tip: Option<(BlockNumber, &[u8])>,
    ) -> Result<Box<dyn ChainCheck>, FormatError> {
        Ok(Box::new(Links::open(|asked, bytes| Ok(read(asked, bytes)), None, tip)?))
    }
}

fn read(asked: BlockNumber, bytes: &[u8]) -> Link {
    let hash = BlockHash::of(bytes);
    let commitment = Commitment::from_bytes(*hash.as_bytes());
    Link { facts: BlockFacts { number: asked, hash, commitment }, parent: None }
}
