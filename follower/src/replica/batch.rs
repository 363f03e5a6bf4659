//! What is written together.

use tidemark_store::{BlockHash, BlockNumber};
use tonic::codegen::Bytes;

/// A block that was checked, and hashed on the way.
#[derive(Debug, Clone)]
pub struct CheckedBlock {
    /// Its number.
    pub number: BlockNumber,
    /// BLAKE3 of its bytes.
    pub hash: BlockHash,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Blocks that follow each other, and proofs of any block held or among them.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    /// The blocks in order.
    pub blocks: Vec<CheckedBlock>,
    /// Proofs, each with the number of its block.
    pub proofs: Vec<(BlockNumber, Bytes)>,
}

impl Batch {
    /// Adds the block that follows, and its proof if that came along.
    pub fn add(&mut self, block: CheckedBlock, proof: Option<Bytes>) {
        self.proofs.extend(proof.map(|proof| (block.number, proof)));
        self.blocks.push(block);
    }
}
