//! Makes native blocks with random bodies.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use futures::future::BoxFuture;
use rand::Rng as _;
use tidemark_store::{BlockHash, BlockNumber, Commitment};

use super::{BlockSource, ProduceError, ReplayError};
use crate::{
    format::{Native, NativeBlock},
    replica::Replica,
};

const NO_PARENT: Commitment = Commitment::from_bytes([0; 32]);

/// A native chain that grows without end.
pub struct NativeSource {
    body_size: usize,
    first: Vec<u8>,
    parent: Commitment,
}

impl NativeSource {
    /// A chain whose blocks have bodies of that many bytes. Block 0 is made now, and used if the store is empty.
    #[must_use]
    pub fn new(body_size: usize) -> Self {
        let first = make(BlockNumber::GENESIS, NO_PARENT, body_size);
        Self { body_size, first, parent: NO_PARENT }
    }
}

impl BlockSource for NativeSource {
    fn genesis(&self) -> Commitment {
        Native::commitment(&self.first)
    }

    fn resume<'a>(&'a mut self, replica: &'a Arc<Replica>) -> BoxFuture<'a, Result<(), ProduceError>> {
        Box::pin(async move {
            if let Some(tip) = replica.held() {
                let block = replica.block(tip).await?.unwrap_or_default();
                self.parent = Native::commitment(&block);
            }
            Ok(())
        })
    }

    fn next(&mut self, number: BlockNumber) -> Result<Option<Vec<u8>>, ReplayError> {
        Ok(Some(match number {
            BlockNumber::GENESIS => self.first.clone(),
            _ => make(number, self.parent, self.body_size),
        }))
    }

    fn made(&mut self, block: &[u8]) {
        self.parent = Native::commitment(block);
    }

    fn proof(&self, block: &BlockHash) -> Vec<u8> {
        [b"proven ".as_slice(), block.as_bytes()].concat()
    }
}

fn make(number: BlockNumber, parent: Commitment, body_size: usize) -> Vec<u8> {
    let mut body = vec![0; body_size];
    rand::rng().fill_bytes(&mut body);
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let unix_millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
    NativeBlock { number, parent, unix_millis, body: &body }.encode()
}
