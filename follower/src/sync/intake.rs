//! Where blocks of one session come in: each is checked against the chain before, and a group is committed at once.

use std::sync::Arc;

use tidemark_store::{BlockNumber, Commitment};
use tokio::task::spawn_blocking;
use tonic::codegen::Bytes;

use super::Trouble;
use crate::{
    format::{BlockFacts, ChainCheck, FormatError},
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
    /// Away only while a group is checked.
    chain: Option<Box<dyn ChainCheck>>,
    next: BlockNumber,
}

impl Intake {
    /// An intake that continues the chain held.
    pub(super) async fn open(replica: &Arc<Replica>, genesis: Commitment) -> Result<Self, Trouble> {
        let tip = match replica.published() {
            None => None,
            Some(tip) => Some((tip, replica.block(tip).await?.ok_or(ReplicaError::ShuttingDown)?)),
        };
        let tip = tip.as_ref().map(|(number, bytes)| (*number, bytes.as_ref()));
        let chain = replica.format().open(genesis, tip)?;
        Ok(Self { replica: Arc::clone(replica), next: chain.next(), chain: Some(chain) })
    }

    /// The number of the block due next.
    pub(super) fn next(&self) -> BlockNumber {
        self.next
    }

    /// Checks and commits a group. What was good before the first trouble is kept, and the intake has had its day.
    pub(super) async fn take(&mut self, group: Vec<Result<Fetched, Trouble>>) -> Result<(), Trouble> {
        let (fetched, trouble) = until_trouble(group);
        let bytes: usize = fetched.iter().map(Fetched::len).sum();
        self.replica.metrics.bytes_fetched.inc_by(bytes as u64);
        let (facts, checked) = self.check(&fetched).await?;
        if !facts.is_empty() {
            self.replica.commit(batch(&facts, fetched)).await?;
            self.replica.set_state(State::Syncing, "blocks arrive");
            self.next = BlockNumber::after(facts.last().map(|last| last.number));
        }
        checked?;
        trouble.map_or(Ok(()), Err)
    }

    /// Checks on a thread that may take its time.
    async fn check(&mut self, group: &[Fetched]) -> Result<Checked, Trouble> {
        let blocks: Vec<Bytes> = group.iter().map(|fetched| fetched.block.clone()).collect();
        let mut chain = self.chain.take().ok_or(ReplicaError::ShuttingDown)?;
        let checking = spawn_blocking(move || (chain.check_all(&blocks), chain));
        let (checked, chain) = checking.await.map_err(|_| ReplicaError::ShuttingDown)?;
        self.chain = Some(chain);
        Ok(checked)
    }
}

/// The facts of the blocks that are good, and why the one after them is not.
type Checked = (Vec<BlockFacts>, Result<(), FormatError>);

/// What came before the first trouble, and that trouble.
fn until_trouble(group: Vec<Result<Fetched, Trouble>>) -> (Vec<Fetched>, Option<Trouble>) {
    let mut fetched = Vec::with_capacity(group.len());
    for item in group {
        match item {
            Ok(item) => fetched.push(item),
            Err(trouble) => return (fetched, Some(trouble)),
        }
    }
    (fetched, None)
}

fn batch(facts: &[BlockFacts], fetched: Vec<Fetched>) -> Batch {
    let mut batch = Batch::default();
    for (facts, fetched) in facts.iter().zip(fetched) {
        let proof = fetched.proof.filter(|_| facts.number != BlockNumber::GENESIS);
        batch.blocks.push((facts.number, fetched.block));
        batch.proofs.extend(proof.map(|proof| (facts.number, proof)));
    }
    batch
}
