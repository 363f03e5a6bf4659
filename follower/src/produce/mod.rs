//! The development primary: makes blocks at an interval, and their proofs a while later.
//!
//! Owns when blocks and proofs appear; what they are is their source's business.

mod native;
mod proofs;
mod replay;
mod source;

use std::{path::PathBuf, sync::Arc, time::Duration};

use thiserror::Error;
use tidemark_store::{BlockHash, BlockNumber, StoreError};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tonic::codegen::Bytes;

use self::proofs::ProofSchedule;
pub use self::{
    native::NativeSource,
    replay::{ReplayError, ReplaySource},
    source::BlockSource,
};
use crate::{
    replica::{Batch, CheckedBlock, Replica, ReplicaError},
    state::State,
};

/// What the user chose.
#[derive(Debug, Clone, Copy)]
pub struct ProduceOptions {
    /// The time between two blocks.
    pub block_interval: Duration,
    /// The time from a block to its proof.
    pub proof_delay: Duration,
    /// The last block to make; none: no end.
    pub last: Option<BlockNumber>,
}

/// Why producing ended.
#[derive(Debug, Error)]
pub enum ProduceError {
    /// The store refused or failed.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The recording cannot be read.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The data directory holds blocks that are not those of the recording.
    #[error("block {number} in the data directory is not the one in {file}: use another data directory, or that chain's recording", file = file.display())]
    OtherChain {
        /// The first block that differs.
        number: BlockNumber,
        /// The recording.
        file: PathBuf,
    },
}

impl ProduceError {
    fn is_disk_full(&self) -> bool {
        matches!(self, Self::Replica(ReplicaError::Store(error)) if StoreError::is_disk_full(error))
    }
}

/// Continues the chain in the replica's store, until something ends the process.
///
/// # Errors
/// `OtherChain` when the store's blocks are not the source's; what the store or the recording says.
pub async fn run(
    replica: Arc<Replica>,
    source: Box<dyn BlockSource>,
    options: ProduceOptions,
) -> Result<(), ProduceError> {
    let mut producer = Producer::resume(replica, source, options).await?;
    let mut ticks = interval_at(Instant::now() + options.block_interval, options.block_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let step = tokio::select! {
            _ = ticks.tick(), if !producer.done => producer.make_block().await,
            number = producer.proofs.due() => producer.make_proof(number).await,
        };
        producer.survive(step)?;
    }
}

struct Producer {
    replica: Arc<Replica>,
    source: Box<dyn BlockSource>,
    options: ProduceOptions,
    proofs: ProofSchedule,
    done: bool,
}

impl Producer {
    async fn resume(
        replica: Arc<Replica>,
        mut source: Box<dyn BlockSource>,
        options: ProduceOptions,
    ) -> Result<Self, ProduceError> {
        source.resume(&replica).await?;
        let mut proofs = ProofSchedule::default();
        let unproven = 1..=replica.held().map_or(0, BlockNumber::get);
        let unproven = unproven.map(BlockNumber::new).filter(|number| !replica.has_proof(*number));
        unproven.for_each(|number| proofs.add(number, Instant::now() + options.proof_delay));
        let mut producer = Self { replica, source, options, proofs, done: false };
        if producer.replica.held().is_none() {
            producer.replica.pin(producer.source.genesis()).await?;
            producer.make_block().await?;
        }
        Ok(producer)
    }

    /// A full disk ends nothing: the same block is made again at the next tick.
    fn survive(&self, step: Result<(), ProduceError>) -> Result<(), ProduceError> {
        match step {
            Err(error) if error.is_disk_full() => {
                self.replica.set_state(State::DiskFull, &error.to_string());
                Ok(())
            }
            other => other,
        }
    }

    async fn make_block(&mut self) -> Result<(), ProduceError> {
        let number = BlockNumber::after(self.replica.held());
        let block = if self.options.last.is_some_and(|last| number > last) {
            None
        } else {
            self.source.next(number)?
        };
        let Some(block) = block else {
            tracing::info!(
                tip = number.get().saturating_sub(1),
                "the chain is complete; serving it from now on"
            );
            self.done = true;
            return Ok(());
        };
        let blocks =
            vec![CheckedBlock { number, hash: BlockHash::of(&block), bytes: Bytes::from(block.clone()) }];
        self.replica.commit(Batch { blocks, ..Batch::default() }).await?;
        self.replica.set_state(State::Producing, "blocks are made");
        self.source.made(&block);
        if number != BlockNumber::GENESIS {
            self.proofs.add(number, Instant::now() + self.options.proof_delay);
        }
        Ok(())
    }

    async fn make_proof(&mut self, number: BlockNumber) -> Result<(), ProduceError> {
        let proof = self.replica.hash_at(number).map(|hash| self.source.proof(&hash));
        let proofs = proof.map(|proof| (number, Bytes::from(proof))).into_iter().collect();
        let committed = self.replica.commit(Batch { proofs, ..Batch::default() }).await;
        if committed.is_err() {
            self.proofs.add_first(number, Instant::now() + self.options.block_interval);
        }
        committed?;
        Ok(())
    }
}

pub(crate) async fn sleep_to(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
