//! The store on disk: a block log and a proof log, the indexes that follow them, and the manifest.
//!
//! Owns the order of syncs (blocks, then proofs, then what is visible; the manifest only says what all of them hold)
//! and the rule that a failed sync ends all writing. The block log alone decides the tip.

mod builder;
mod checkpoint;
mod further;
mod open;
mod progress;
mod write;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

pub use self::builder::StoreBuilder;
use self::{progress::Progress, write::Writer};
use crate::{
    BlockHash, BlockNumber, BlockStore, Metadata, StoreError, Tips, io::Disk, lock::DirLock,
    manifest::Manifest, media::Media,
};

/// What a test may want to be smaller than a volume makes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Bytes of a segment; none: as the volume's size asks for.
    pub(crate) segment_size: Option<u32>,
    /// Bytes of the volume that are this store's; none: all of it.
    pub(crate) volume: Option<u64>,
    /// Entries by which an index file grows.
    pub(crate) growth: u32,
    /// The longest time between two checkpoints while blocks come.
    pub(crate) checkpoint_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_size: None, volume: None, growth: 1 << 16, checkpoint_every: Duration::from_secs(10) }
    }
}

/// A store in one directory, which no other process may open meanwhile.
pub struct DiskStore {
    disk: Arc<dyn Disk>,
    media: Media,
    chain: RwLock<Option<Metadata>>,
    progress: RwLock<Progress>,
    damaged: Vec<BlockNumber>,
    writer: Mutex<Writer>,
    checkpoint_every: Duration,
    _lock: Option<DirLock>,
}

impl DiskStore {
    /// Blocks that opening found damaged. They are refused to readers; everything else is served.
    #[must_use]
    pub fn damaged(&self) -> &[BlockNumber] {
        &self.damaged
    }

    fn progress(&self) -> RwLockReadGuard<'_, Progress> {
        self.progress.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress_mut(&self) -> RwLockWriteGuard<'_, Progress> {
        self.progress.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.poisoned { Err(StoreError::Poisoned) } else { Ok(writer) }
    }

    /// Reads again what failed while something was cut away.
    fn steady<T>(&self, read: impl Fn() -> Option<Result<T, StoreError>>) -> Result<Option<T>, StoreError> {
        loop {
            let cuts = self.progress().cuts;
            match read() {
                Some(Err(_)) if self.progress().cuts != cuts => {}
                done => return done.transpose(),
            }
        }
    }

    fn is_published(&self, number: BlockNumber) -> bool {
        number.get() < self.progress().durable
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

    fn apply(&self, first: BlockNumber, blocks: &[&[u8]]) -> Result<(), StoreError> {
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
        let tips = writer.note(synced)?;
        if writer.is_checkpoint_due(Instant::now(), self.checkpoint_every) {
            let done = self.checkpoint_now(&mut writer);
            writer.note(done)?;
        }
        Ok(tips)
    }

    fn tips(&self) -> Tips {
        self.progress().tips()
    }

    fn block(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, StoreError> {
        self.steady(|| {
            let held = self.is_published(number);
            held.then(|| self.media.index.get(number).and_then(|block| self.media.blocks.read_block(&block)))
        })
    }

    fn proof(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, StoreError> {
        self.steady(|| self.has_proof(number).then(|| self.media.read_proof(number)))
    }

    fn has_proof(&self, number: BlockNumber) -> bool {
        self.progress().proofs.holds(number)
    }

    fn hash_at(&self, number: BlockNumber) -> Option<BlockHash> {
        let (durable, tip_hash) = {
            let progress = self.progress();
            (progress.durable, progress.tip_hash)
        };
        match BlockNumber::last_of(durable) {
            Some(tip) if tip == number => tip_hash,
            Some(tip) if number < tip => self.media.index.get(number).ok().map(|block| block.hash),
            _ => None,
        }
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
