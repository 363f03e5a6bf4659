//! Where blocks of one session come in: each is checked against the one before, and a group is committed at once.

use std::sync::Arc;

use tidemark_store::{BlockNumber, Commitment};
use tonic::codegen::Bytes;

use super::Trouble;
use crate::{
    format::{self, BlockFacts},
    replica::{Batch, Replica, ReplicaError},
    state::State,
    upstream::Answer,
};

/// A block as it came, with its proof if that came along.
#[derive(Debug, Clone)]
pub(super) struct Fetched {
    pub(super) block: Bytes,
    pub(super) proof: Option<Bytes>,
}

impl Fetched {
    /// How many bytes came.
    pub(super) fn len(&self) -> usize {
        self.block.len() + self.proof.as_ref().map_or(0, Bytes::len)
    }

    /// The block in `answer`, if there is one.
    pub(super) fn from_answer(answer: Answer) -> Option<Self> {
        answer.block.map(|block| Self { block, proof: answer.proof })
    }
}

/// Takes blocks in order, starting behind the published tip.
pub(super) struct Intake {
    replica: Arc<Replica>,
    genesis: Commitment,
    head: Option<BlockFacts>,
}

impl Intake {
    /// An intake that continues the chain held.
    pub(super) async fn open(replica: &Arc<Replica>, genesis: Commitment) -> Result<Self, Trouble> {
        let head = match replica.published() {
            None => None,
            Some(tip) => {
                let bytes = replica.block(tip).await?.ok_or(ReplicaError::ShuttingDown)?;
                Some(replica.format().inspect(tip, &bytes)?)
            }
        };
        Ok(Self { replica: Arc::clone(replica), genesis, head })
    }

    /// The number of the block due next.
    pub(super) fn next(&self) -> BlockNumber {
        BlockNumber::after(self.head.map(|head| head.number))
    }

    /// Checks and commits a group. What was good before the first trouble is kept.
    pub(super) async fn take(&mut self, group: Vec<Result<Fetched, Trouble>>) -> Result<(), Trouble> {
        let mut batch = Batch::default();
        let mut head = self.head;
        let checked = group.into_iter().try_for_each(|fetched| {
            head = Some(self.check(head, fetched?, &mut batch)?);
            Ok(())
        });
        if !batch.blocks.is_empty() {
            self.replica.commit(batch).await?;
            self.replica.set_state(State::Syncing, "blocks arrive");
            self.head = head;
        }
        checked
    }

    fn check(
        &self,
        head: Option<BlockFacts>,
        fetched: Fetched,
        batch: &mut Batch,
    ) -> Result<BlockFacts, Trouble> {
        self.replica.metrics.bytes_fetched.inc_by(fetched.len() as u64);
        let facts = format::check(self.replica.format(), head.as_ref(), self.genesis, &fetched.block)?;
        batch.blocks.push((facts.number, fetched.block));
        let proof = fetched.proof.filter(|_| facts.number != BlockNumber::GENESIS);
        batch.proofs.extend(proof.map(|proof| (facts.number, proof)));
        Ok(facts)
    }
}
