//! Where blocks come in: each is checked against the chain before, and what is good is queued or committed.

use std::sync::Arc;

use tidemark_store::{BlockNumber, Commitment};
use tokio::task::spawn_blocking;
use tonic::codegen::Bytes;

use super::{
    Trouble,
    queue::{Item, Queue},
};
use crate::{
    format::{BlockFacts, ChainCheck},
    replica::{Batch, CheckedBlock, Replica, ReplicaError},
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

/// Takes blocks in order, starting behind the last one held.
pub(super) struct Intake {
    replica: Arc<Replica>,
    max_block: usize,
    /// Away only while a group is checked.
    chain: Option<Box<dyn ChainCheck>>,
    next: BlockNumber,
}

impl Intake {
    /// An intake that continues the chain held.
    pub(super) async fn open(replica: &Arc<Replica>, genesis: Commitment) -> Result<Self, Trouble> {
        let tip = match replica.held() {
            None => None,
            Some(tip) => Some((tip, replica.block(tip).await?.ok_or(ReplicaError::ShuttingDown)?)),
        };
        let tip = tip.as_ref().map(|(number, bytes)| (*number, bytes.as_ref()));
        let chain = replica.format().open(genesis, tip)?;
        let max_block = usize::MAX;
        Ok(Self { replica: Arc::clone(replica), max_block, next: chain.next(), chain: Some(chain) })
    }

    /// The same, which takes no block of more bytes than this.
    pub(super) fn limited(self, max_block: usize) -> Self {
        Self { max_block, ..self }
    }

    /// The number of the block due next.
    pub(super) fn next(&self) -> BlockNumber {
        self.next
    }

    /// Checks a group and commits what is good before the first trouble, after which the intake has had its day.
    pub(super) async fn take(&mut self, group: Vec<Result<Fetched, Trouble>>) -> Result<(), Trouble> {
        let (good, checked) = self.check(group).await?;
        if !good.is_empty() {
            self.replica.commit(batch(good)).await?;
        }
        checked
    }

    /// Checks a group and queues what is good before the first trouble, after which the intake has had its day.
    pub(super) async fn queue(
        &mut self,
        queue: &Queue,
        group: Vec<Result<Fetched, Trouble>>,
    ) -> Result<(), Trouble> {
        let (good, checked) = self.check(group).await?;
        for (block, proof) in good {
            queue.put(Item::Block { block, proof }).await;
        }
        checked
    }

    /// What is good before the first trouble, and that trouble. Checks on a thread that may take its time.
    async fn check(
        &mut self,
        group: Vec<Result<Fetched, Trouble>>,
    ) -> Result<(Vec<Checked>, Result<(), Trouble>), Trouble> {
        let (fetched, trouble) = self.until_trouble(group);
        let bytes: usize = fetched.iter().map(Fetched::len).sum();
        self.replica.metrics.bytes_fetched.inc_by(bytes as u64);
        let blocks: Vec<Bytes> = fetched.iter().map(|fetched| fetched.block.clone()).collect();
        let mut chain = self.chain.take().ok_or(ReplicaError::ShuttingDown)?;
        let checking = spawn_blocking(move || (chain.check_all(&blocks), chain));
        let ((facts, checked), chain) = checking.await.map_err(|_| ReplicaError::ShuttingDown)?;
        self.chain = Some(chain);
        self.next = facts.last().map_or(self.next, |last| last.number.next());
        let trouble = checked.map_err(Trouble::from).and(trouble.map_or(Ok(()), Err));
        Ok((facts.iter().zip(fetched).map(checked_block).collect(), trouble))
    }

    /// What came before the first trouble, and that trouble.
    fn until_trouble(&self, group: Vec<Result<Fetched, Trouble>>) -> (Vec<Fetched>, Option<Trouble>) {
        let mut fetched = Vec::with_capacity(group.len());
        for (number, item) in (self.next.get()..).zip(group) {
            match item {
                Ok(item) => match within(self.max_block, number.into(), &item) {
                    Ok(()) => fetched.push(item),
                    Err(trouble) => return (fetched, Some(trouble)),
                },
                Err(trouble) => return (fetched, Some(trouble)),
            }
        }
        (fetched, None)
    }
}

fn within(most: usize, number: BlockNumber, item: &Fetched) -> Result<(), Trouble> {
    if item.block.len() > most {
        return Err(Trouble::TooLarge { number, detail: format!("it has {} bytes", item.block.len()) });
    }
    item.proof.as_ref().map_or(Ok(()), |proof| proof_within(most, number, proof.len()))
}

/// Refuses a proof that no follower of this one would get.
///
/// # Errors
/// `TooLarge`.
pub(super) fn proof_within(most: usize, number: BlockNumber, len: usize) -> Result<(), Trouble> {
    if len <= most {
        return Ok(());
    }
    Err(Trouble::TooLarge { number, detail: format!("its proof has {len} bytes") })
}

/// A block that was checked, and its proof if that came along.
type Checked = (CheckedBlock, Option<Bytes>);

fn checked_block((facts, fetched): (&BlockFacts, Fetched)) -> Checked {
    let proof = fetched.proof.filter(|_| facts.number != BlockNumber::GENESIS);
    (CheckedBlock { number: facts.number, hash: facts.hash, bytes: fetched.block }, proof)
}

fn batch(good: Vec<Checked>) -> Batch {
    let mut batch = Batch::default();
    good.into_iter().for_each(|(block, proof)| batch.add(block, proof));
    batch
}
