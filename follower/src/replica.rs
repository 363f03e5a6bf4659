//! What all parts of one follower share: its store, its chain's identity, its tips and its state.
//!
//! Owns the rule that tips reach readers only after the sync that covers them. Decides nothing about upstreams.

mod batch;

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
    time::Instant,
};

use thiserror::Error;
use tidemark_store::{
    BlockHash, BlockNumber, BlockStore, Buffers, Checked, Commitment, HashedBlock, Metadata, StoreError, Tips,
};
use tidemark_wire::primitives::MerklePath;
use tokio::{sync::watch, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use tonic::codegen::Bytes;

pub use self::batch::{Batch, CheckedBlock};
use crate::{format::Format, metrics::Metrics, recent::RecentBlocks, state::State};

/// What can be read by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Blocks.
    Block,
    /// Proofs of blocks.
    Proof,
}

/// The longest block that is read at once where it is in memory: 10 µs to read and verify.
const AT_HAND: u32 = 64 << 10;

/// Who this process is, for whoever tells one start of a pod's container from another.
#[derive(Debug, Clone)]
pub struct Identity {
    /// UID of the pod; empty outside Kubernetes.
    pub pod_uid: String,
    /// Made anew at each start.
    pub boot_id: String,
}

/// Why something could not be read or written.
#[derive(Debug, Error)]
pub enum ReplicaError {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process is shutting down.
    #[error("the follower is shutting down")]
    ShuttingDown,
}

#[derive(Debug, Clone)]
struct Outlook {
    state: State,
    detail: String,
    upstream_tip: Option<BlockNumber>,
    upstream_boot_ids: Vec<String>,
}

impl ReplicaError {
    /// Whether the store takes no more writes, so that the process must exit.
    pub fn is_poison(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_poison())
    }
}

/// One follower's shared parts. Cheap to share; every method takes `&self`.
pub struct Replica {
    store: Box<dyn BlockStore>,
    format: Box<dyn Format>,
    identity: Identity,
    tips: watch::Sender<Tips>,
    outlook: RwLock<Outlook>,
    /// The highest proven tip there has been.
    most_proven: Mutex<Option<BlockNumber>>,
    /// Fires when blocks are dropped; another one takes its place.
    rewound: RwLock<CancellationToken>,
    recent: RwLock<RecentBlocks>,
    buffers: Buffers,
    /// Fires once the store takes no more writes.
    poisoned: CancellationToken,
    /// What is counted.
    pub metrics: Metrics,
}

impl Replica {
    /// A replica on this store, in this state until told otherwise.
    pub fn new(
        store: Box<dyn BlockStore>,
        format: Box<dyn Format>,
        identity: Identity,
        state: State,
    ) -> Self {
        let most_proven = Mutex::new(store.tips().proven);
        let tips = watch::Sender::new(store.tips());
        let outlook = RwLock::new(Outlook {
            state,
            detail: String::new(),
            upstream_tip: None,
            upstream_boot_ids: Vec::new(),
        });
        let (rewound, recent, buffers) = (RwLock::default(), RwLock::default(), store.buffers());
        Self {
            store,
            format,
            identity,
            tips,
            outlook,
            most_proven,
            rewound,
            recent,
            buffers,
            poisoned: CancellationToken::new(),
            metrics: Metrics::default(),
        }
    }

    /// Keeps this many bytes of the newest blocks in memory.
    #[must_use]
    pub fn with_block_cache(self, bytes: u64) -> Self {
        Self { recent: RwLock::new(RecentBlocks::new(bytes)), ..self }
    }

    /// The chain's format.
    pub fn format(&self) -> &dyn Format {
        &*self.format
    }

    /// Who this process is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The pinned genesis; none before the first contact with an upstream.
    pub fn genesis(&self) -> Option<Commitment> {
        self.store.metadata().map(|metadata| metadata.genesis)
    }

    /// Pins the genesis, durably.
    ///
    /// # Errors
    /// `OtherGenesis` or `OtherFormat` when blocks of another chain are held.
    pub async fn pin(self: &Arc<Self>, genesis: Commitment) -> Result<(), ReplicaError> {
        let metadata = Metadata::new(self.format.name(), genesis);
        self.blocking(move |replica| Ok(replica.store.initialise(metadata)?)).await
    }

    /// Genesis and published tip, once block 0 is served: what makes a store ready.
    pub fn serving(&self) -> Option<(Commitment, BlockNumber)> {
        self.genesis().zip(self.published())
    }

    /// How far the store has come, unpublished blocks included.
    pub fn tips(&self) -> Tips {
        self.store.tips()
    }

    /// The highest block that may be served.
    pub fn published(&self) -> Option<BlockNumber> {
        self.tips.borrow().published
    }

    /// The highest block that is synced here, after which the next one is fetched.
    pub fn held(&self) -> Option<BlockNumber> {
        self.tips.borrow().durable
    }

    /// Published tips as they rise.
    pub fn watch_tips(&self) -> watch::Receiver<Tips> {
        self.tips.subscribe()
    }

    /// What the replica is doing about its upstream. Healing is shown where nothing else is wrong.
    pub fn state(&self) -> State {
        let state = self.outlook().state;
        match state {
            State::Syncing | State::UpstreamStalled if !self.damaged().is_empty() => State::Healing,
            state => state,
        }
    }

    /// Why the replica is in its state, for people; empty where the state says it all.
    pub fn state_detail(&self) -> String {
        let damaged = self.damaged();
        match damaged.first() {
            Some(first) if self.state() == State::Healing => {
                format!(
                    "{} blocks are damaged on disk, from block {first} on: fetching them again",
                    damaged.len()
                )
            }
            _ => self.outlook().detail.clone(),
        }
    }

    /// The damaged blocks that are known, lowest first, some of them if there are many.
    pub fn damaged(&self) -> Vec<BlockNumber> {
        self.store.damaged()
    }

    /// The tip the upstream reported last.
    pub fn upstream_tip(&self) -> Option<BlockNumber> {
        self.outlook().upstream_tip
    }

    /// The stores this replica gets its blocks through, its upstream first.
    pub fn upstream_boot_ids(&self) -> Vec<String> {
        self.outlook().upstream_boot_ids.clone()
    }

    /// Remembers through whom blocks come from now on; nobody between two sessions.
    pub fn follows_through(&self, boot_ids: Vec<String>) {
        self.outlook.write().unwrap_or_else(PoisonError::into_inner).upstream_boot_ids = boot_ids;
    }

    fn outlook(&self) -> RwLockReadGuard<'_, Outlook> {
        self.outlook.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and says so when it is another one.
    pub fn set_state(&self, state: State, detail: &str) {
        let mut outlook = self.outlook.write().unwrap_or_else(PoisonError::into_inner);
        if outlook.state != state {
            let from = outlook.state.name();
            if state.is_trouble() {
                tracing::warn!(from, to = state.name(), detail, "state changed");
            } else {
                tracing::info!(from, to = state.name(), detail, "state changed");
            }
            outlook.state = state;
        }
        outlook.detail = if state.is_trouble() { detail.to_owned() } else { String::new() };
    }

    /// Remembers the tip an upstream reported last; not the highest ever, which a single absurd answer would fix.
    pub fn saw_upstream_tip(&self, tip: BlockNumber) {
        self.outlook.write().unwrap_or_else(PoisonError::into_inner).upstream_tip = Some(tip);
    }

    /// Writes, syncs and then publishes a batch; the returned tips are what readers see from now on.
    ///
    /// # Errors
    /// What the store says. Poison means that the process must exit.
    pub async fn commit(self: &Arc<Self>, batch: Batch) -> Result<Tips, ReplicaError> {
        self.blocking(move |replica| replica.commit_now(&batch)).await
    }

    fn commit_now(&self, batch: &Batch) -> Result<Tips, ReplicaError> {
        let began = Instant::now();
        if let Some(first) = batch.blocks.first() {
            let hashed = batch.blocks.iter().map(|block| HashedBlock::hashed(&block.bytes, block.hash));
            self.store.apply_hashed(first.number, &hashed.collect::<Vec<_>>())?;
        }
        let put = batch.proofs.iter().try_for_each(|(number, proof)| self.store.put_proof(*number, proof));
        let applied = Instant::now();
        if let Err(error) = self.store.sync() {
            self.refresh();
            return Err(error.into());
        }
        self.metrics.committed(batch, applied - began, applied.elapsed());
        self.remember(&batch.blocks);
        self.tips.send_modify(|tips| *tips = self.store.tips());
        self.prove(self.store.tips().proven);
        put?;
        Ok(*self.tips.borrow())
    }

    /// Drops every block and proof above `last`; the store keeps what it drops in quarantine. Readers see the lower tip
    /// before anything else takes the place of what was dropped.
    ///
    /// # Errors
    /// What the store says. Poison means that the process must exit.
    pub async fn rewind(self: &Arc<Self>, last: BlockNumber) -> Result<(), ReplicaError> {
        self.blocking(move |replica| {
            let tips = replica.store.truncate(last)?;
            replica.recent.write().unwrap_or_else(PoisonError::into_inner).clear();
            std::mem::take(&mut *replica.rewound.write().unwrap_or_else(PoisonError::into_inner)).cancel();
            *replica.most_proven.lock().unwrap_or_else(PoisonError::into_inner) = tips.proven;
            replica.tips.send_replace(tips);
            Ok(())
        })
        .await
    }

    fn prove(&self, proven: Option<BlockNumber>) {
        let mut most = self.most_proven.lock().unwrap_or_else(PoisonError::into_inner);
        *most = most.max(proven);
    }

    /// The lowest proof that was held and is no longer.
    pub fn lost_proof(&self) -> Option<BlockNumber> {
        let most = *self.most_proven.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.tips().proven.unwrap_or(BlockNumber::GENESIS).next();
        // The proven tip is lower while a block is damaged, too.
        Some(next).filter(|next| Some(*next) <= most && !self.has_proof(*next))
    }

    /// Puts the bytes of a damaged block back in place, and publishes what that makes whole.
    ///
    /// # Errors
    /// `OtherBytes` when these are not the bytes that were published; what else the store says.
    pub async fn repair(self: &Arc<Self>, number: BlockNumber, bytes: Bytes) -> Result<(), ReplicaError> {
        self.blocking(move |replica| {
            replica.store.repair(number, &bytes)?;
            replica.refresh();
            Ok(())
        })
        .await
    }

    /// Checks about `max_bytes` of what is on disk, from block `from` on.
    ///
    /// # Errors
    /// What the store says. Damage is none: it is marked.
    pub async fn scrub(self: &Arc<Self>, from: BlockNumber, max_bytes: u64) -> Result<Checked, ReplicaError> {
        self.blocking(move |replica| {
            let checked = replica.store.scrub(from, max_bytes)?;
            replica.refresh();
            Ok(checked)
        })
        .await
    }

    /// Shows readers the tips as they are now: what a read found damaged is no longer published.
    fn refresh(&self) {
        self.tips.send_if_modified(|tips| {
            let before = std::mem::replace(tips, self.store.tips());
            before != *tips
        });
    }

    /// Fires when blocks are dropped that were served: whoever was sent some of them must not be sent what follows on the
    /// other chain as if it followed them.
    pub fn rewound(&self) -> CancellationToken {
        self.rewound.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, blocks: &[CheckedBlock]) {
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        blocks.iter().for_each(|block| recent.push(block.number, block.bytes.clone()));
    }

    fn recent(&self, kind: Kind, number: BlockNumber) -> Option<Bytes> {
        if kind == Kind::Proof || self.tips.borrow().durable < Some(number) {
            return None;
        }
        self.recent.read().unwrap_or_else(PoisonError::into_inner).get(number)
    }

    /// How many bytes a block or proof has, by two small reads at most; none if it is not held. Waits for the disk.
    ///
    /// # Errors
    /// `Damaged` when the index no longer knows.
    pub fn len_of(&self, kind: Kind, number: BlockNumber) -> Result<Option<usize>, ReplicaError> {
        if let Some(block) = self.recent(kind, number) {
            return Ok(Some(block.len()));
        }
        let len = match kind {
            Kind::Block => self.store.block_len(number),
            Kind::Proof => self.store.proof_len(number),
        };
        self.note_poison();
        Ok(len?.map(|len| len as usize))
    }

    /// A block that is in memory, if it is small: reading it costs less than to ask another thread to. None does not mean
    /// that there is no such block.
    pub fn at_hand(&self, kind: Kind, number: BlockNumber) -> Option<Bytes> {
        if kind == Kind::Proof {
            return None;
        }
        self.recent(kind, number).or_else(|| self.store.block_at_hand(number, AT_HAND).map(Bytes::from))
    }

    /// The bytes of a block or proof. Waits for the disk.
    ///
    /// # Errors
    /// `Damaged` when the disk no longer holds what was published.
    pub fn read_now(&self, kind: Kind, number: BlockNumber) -> Result<Option<Bytes>, ReplicaError> {
        if let Some(block) = self.recent(kind, number) {
            return Ok(Some(block));
        }
        let read = match kind {
            Kind::Block => self.store.block(number),
            Kind::Proof => self.store.proof(number),
        };
        self.note_poison();
        if read.as_ref().is_err_and(StoreError::is_damage) {
            self.refresh();
        }
        Ok(read?.map(|bytes| Bytes::from_owner(Lent { bytes, home: self.buffers.clone() })))
    }

    /// The bytes of a published block.
    ///
    /// # Errors
    /// `Damaged` when the disk no longer holds what was published.
    pub async fn block(self: &Arc<Self>, number: BlockNumber) -> Result<Option<Bytes>, ReplicaError> {
        self.blocking(move |replica| replica.read_now(Kind::Block, number)).await
    }

    /// The bytes of a published proof, which may be none at all.
    ///
    /// # Errors
    /// `Damaged` when the disk no longer holds what was published.
    pub async fn proof(self: &Arc<Self>, number: BlockNumber) -> Result<Option<Bytes>, ReplicaError> {
        self.blocking(move |replica| replica.read_now(Kind::Proof, number)).await
    }

    /// The path from a block's header to a peak above the first `count` blocks, in formats that know headers; none while
    /// some of these are not held.
    ///
    /// # Errors
    /// When what is on disk proves nothing.
    pub async fn header_path(
        self: &Arc<Self>,
        number: BlockNumber,
        count: u32,
    ) -> Result<Option<MerklePath>, ReplicaError> {
        self.blocking(move |replica| match replica.format.headers() {
            Some(headers) => Ok(headers.path(number, count)?),
            None => Ok(None),
        })
        .await
    }

    /// Whether a proof is published, from memory.
    pub fn has_proof(&self, number: BlockNumber) -> bool {
        self.store.has_proof(number)
    }

    /// The hash of a published block: the tip's from memory, any other by two small reads at most.
    pub fn hash_at(&self, number: BlockNumber) -> Option<BlockHash> {
        self.store.hash_at(number)
    }

    /// Waits until the store takes no more writes, whoever met the cause: the process must exit.
    pub async fn poisoned(&self) -> ReplicaError {
        self.poisoned.cancelled().await;
        self.store.poison().map_or(ReplicaError::ShuttingDown, ReplicaError::Store)
    }

    fn note_poison(&self) {
        if self.store.poison().is_some() {
            self.poisoned.cancel();
        }
    }

    /// Does `work` where it may wait for the disk.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, ReplicaError> + Send + 'static,
    ) -> Result<T, ReplicaError> {
        let replica = Arc::clone(self);
        let done = spawn_blocking(move || {
            let done = work(&replica);
            replica.note_poison();
            if matches!(&done, Err(ReplicaError::Store(error)) if error.is_damage()) {
                replica.refresh();
            }
            done
        });
        done.await.unwrap_or(Err(ReplicaError::ShuttingDown))
    }
}

/// Bytes whose buffer is given back after use.
struct Lent {
    bytes: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.give(std::mem::take(&mut self.bytes));
    }
}
