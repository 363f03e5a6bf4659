//! The store on disk: a block log and a proof log, the indexes that follow them, and the manifest.
//!
//! Owns the order of syncs (blocks, then proofs, then what is visible; the manifest only says what all of them hold)
//! and the rule that a failed sync ends all writing. The block log alone decides the tip.

mod builder;
mod checkpoint;
mod further;
mod mend;
mod open;
mod progress;
mod quarantine;
mod read;
mod repair;
mod upgrade;
mod write;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

pub use self::builder::StoreBuilder;
use self::{progress::Progress, write::Writer};
use crate::{
    BlockHash, BlockNumber, BlockStore, Buffers, Checked, HashedBlock, Metadata, StoreError, Tips, io::Disk,
    lock::DirLock, manifest::Manifest, media::Media,
};

/// What a test may want to be smaller than a volume makes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Bytes of a segment; none: as the volume's size asks for.
    pub(crate) segment_size: Option<u32>,
    /// Bytes of the volume that are this store's; none: all of it.
    pub(crate) volume: Option<u64>,
    /// The format that blocks must be of; none: any.
    pub(crate) format: Option<&'static str>,
    /// Entries by which an index file grows.
    pub(crate) growth: u32,
    /// The longest time between two checkpoints while blocks come.
    pub(crate) checkpoint_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let checkpoint_every = Duration::from_secs(10);
        Self { segment_size: None, volume: None, format: None, growth: 1 << 16, checkpoint_every }
    }
}

/// How many damaged blocks are named at once.
pub(crate) const DAMAGED_SHOWN: usize = 1000;

/// A store in one directory, which no other process may open meanwhile.
pub struct DiskStore {
    disk: Arc<dyn Disk>,
    media: Media,
    chain: RwLock<Option<Metadata>>,
    progress: RwLock<Progress>,
    /// Blocks of which something is to be mended, once somebody has the writer.
    suspects: Mutex<BTreeSet<BlockNumber>>,
    writer: Mutex<Writer>,
    /// The first poison; the writer sets it.
    poison: Arc<OnceLock<String>>,
    checkpoint_every: Duration,
    _lock: Option<DirLock>,
}

impl DiskStore {
    fn progress(&self) -> RwLockReadGuard<'_, Progress> {
        self.progress.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress_mut(&self) -> RwLockWriteGuard<'_, Progress> {
        self.progress.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.poison().map_or(Ok(writer), Err)
    }

    fn is_durable(&self, number: BlockNumber) -> bool {
        number.get() < self.progress().durable
    }

    fn is_damaged(&self, number: BlockNumber) -> bool {
        self.progress().damaged.contains(number.get())
    }
}

impl BlockStore for DiskStore {
    fn metadata(&self) -> Option<Metadata> {
        self.chain.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn initialise(&self, asked: Metadata) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        match self.metadata() {
            Some(held) if held == asked => return Ok(()),
            Some(held) if self.tips().applied.is_some() => return held.admit(&asked),
            _ => {}
        }
        let begun = self.begin_epoch(&mut writer);
        writer.note(begun)?;
        let manifest = Manifest { chain: Some(asked.clone()), ..writer.manifest.clone() };
        let replaced = manifest.replace(&*self.disk);
        writer.note(replaced)?;
        writer.manifest = manifest;
        *self.chain.write().unwrap_or_else(PoisonError::into_inner) = Some(asked);
        Ok(())
    }

    fn apply_hashed(&self, first: BlockNumber, blocks: &[HashedBlock<'_>]) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        if self.metadata().is_none() {
            return Err(StoreError::NotInitialised);
        }
        let expected = BlockNumber::after(self.tips().applied);
        if first != expected {
            return Err(StoreError::NotNext { expected, offered: first });
        }
        let applied = self.apply_now(&mut writer, first, blocks);
        writer.note(applied)
    }

    fn put_proof(&self, number: BlockNumber, proof: &[u8]) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        if number == BlockNumber::GENESIS || self.tips().applied < Some(number) {
            return Err(StoreError::ProofWithoutBlock { number });
        }
        if self.has_proof(number) || writer.has_pending_proof(number) {
            return Ok(());
        }
        let put = self.put_now(&mut writer, number, proof);
        writer.note(put)
    }

    fn sync(&self) -> Result<Tips, StoreError> {
        let mut writer = self.writer()?;
        let synced = self.sync_now(&mut writer);
        writer.note(synced)?;
        if self.has_suspects() {
            let mended = self.mend_suspects(&mut writer);
            writer.note(mended)?;
        }
        if writer.is_checkpoint_due(Instant::now(), self.checkpoint_every) {
            let done = self.checkpoint_now(&mut writer);
            writer.note(done)?;
        }
        Ok(self.tips())
    }

    fn tips(&self) -> Tips {
        self.progress().tips()
    }

    fn block(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_block(number)
    }

    fn proof(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_proof(number)
    }

    fn buffers(&self) -> Buffers {
        self.media.blocks.buffers.clone()
    }

    fn block_at_hand(&self, number: BlockNumber, longest: u32) -> Option<Vec<u8>> {
        self.read_block_at_hand(number, longest)
    }

    fn block_len(&self, number: BlockNumber) -> Result<Option<u32>, StoreError> {
        self.len_of_block(number)
    }

    fn proof_len(&self, number: BlockNumber) -> Result<Option<u32>, StoreError> {
        self.len_of_proof(number)
    }

    fn has_proof(&self, number: BlockNumber) -> bool {
        self.progress().proofs.holds(number)
    }

    fn hash_at(&self, number: BlockNumber) -> Option<BlockHash> {
        self.read_hash(number)
    }

    fn damaged(&self) -> Vec<BlockNumber> {
        self.progress().damaged.iter().take(DAMAGED_SHOWN).map(BlockNumber::new).collect()
    }

    fn poison(&self) -> Option<StoreError> {
        self.poison.get().map(|first| StoreError::Poisoned { first: first.clone() })
    }

    fn repair(&self, number: BlockNumber, bytes: &[u8]) -> Result<Tips, StoreError> {
        let mut writer = self.writer()?;
        let repaired = self.repair_now(&mut writer, number, bytes);
        writer.note(repaired)?;
        Ok(self.tips())
    }

    fn scrub(&self, from: BlockNumber, max_bytes: u64) -> Result<Checked, StoreError> {
        self.scrub_now(from, max_bytes)
    }

    fn truncate(&self, last: BlockNumber) -> Result<Tips, StoreError> {
        let mut writer = self.writer()?;
        let cut = self.truncate_now(&mut writer, last);
        writer.note(cut)?;
        Ok(self.tips())
    }
}

impl Drop for DiskStore {
    /// A clean stop leaves a checkpoint; without one, opening reads a little more.
    fn drop(&mut self) {
        drop(self.checkpoint());
    }
}
