//! Where a development primary's blocks come from.

use std::sync::Arc;

use futures::future::BoxFuture;
use tidemark_store::{BlockHash, BlockNumber, Commitment};

use super::{ProduceError, ReplayError};
use crate::replica::Replica;

/// Makes or reads the blocks of one chain, in order.
pub trait BlockSource: Send {
    /// The chain's genesis.
    fn genesis(&self) -> Commitment;

    /// Takes up the chain where the store stands.
    fn resume<'a>(&'a mut self, replica: &'a Arc<Replica>) -> BoxFuture<'a, Result<(), ProduceError>>;

    /// The block of that number, which follows the last one made; none at the end of the chain.
    ///
    /// # Errors
    /// When a recording cannot be read.
    fn next(&mut self, number: BlockNumber) -> Result<Option<Vec<u8>>, ReplayError>;

    /// The block is published: the next one follows it.
    fn made(&mut self, block: &[u8]);

    /// The proof of the block with that hash.
    fn proof(&self, block: &BlockHash) -> Vec<u8>;
}
