//! Reading a directory that another process may be writing: no lock is taken, and nothing is written.
//!
//! Owns how far such a reader may go: to the checkpoint, and then as far as the indexes go without a gap, for their
//! entries are written only for blocks that are synced. What was cut meanwhile shows as another epoch in the manifest,
//! upon which everything is read anew.

mod layout;
mod snapshot;

use std::{
    path::Path,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

pub use self::layout::{Location, Segment};
use self::snapshot::Snapshot;
use crate::{
    BlockHash, BlockNumber, Checked, Metadata, StoreError, Tips,
    io::{Disk, ReadOnly, RealDisk},
};

/// A stopped or live directory, for reading only, up to the tip that was published when it was opened or last refreshed.
pub struct StoreReader {
    disk: Arc<dyn Disk>,
    snapshot: RwLock<Arc<Snapshot>>,
    /// The epoch of the directory when it was opened or last refreshed by the caller.
    since: AtomicU32,
}

impl StoreReader {
    /// Opens the store in `dir`, which is not changed and may be in use.
    ///
    /// # Errors
    /// `BadMetadata`, also when there is no store; `UnknownVersion`; what the file system says.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_on(Arc::new(RealDisk::read_only(dir)))
    }

    pub(crate) fn open_on(disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        let disk: Arc<dyn Disk> = Arc::new(ReadOnly(disk));
        let snapshot = Arc::new(Snapshot::take(&disk)?);
        let since = AtomicU32::new(snapshot.manifest.epoch);
        Ok(Self { disk, snapshot: RwLock::new(snapshot), since })
    }

    /// Goes on to what is published now.
    ///
    /// # Errors
    /// As those of [`StoreReader::open`].
    pub fn refresh(&self) -> Result<Tips, StoreError> {
        let snapshot = self.take()?;
        self.since.store(snapshot.manifest.epoch, Relaxed);
        Ok(snapshot.tips)
    }

    /// Whether all that was read up to block `last` since the directory was opened, or refreshed by the caller, is of one chain:
    /// nothing up to there was cut meanwhile. Without this, what was read before a cut and what was read after it may be of
    /// two chains. In a directory of version 1 any restart of its writer counts as a cut.
    ///
    /// # Errors
    /// As those of [`StoreReader::open`].
    pub fn is_of_one_chain(&self, last: BlockNumber) -> Result<bool, StoreError> {
        Snapshot::take(&self.disk)?.is_whole_since(self.since.load(Relaxed), last)
    }

    /// Reads everything anew.
    fn take(&self) -> Result<Arc<Snapshot>, StoreError> {
        let snapshot = Arc::new(Snapshot::take(&self.disk)?);
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&snapshot);
        Ok(snapshot)
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The version of the directory's format.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.snapshot().manifest.version
    }

    /// The format and genesis the directory is pinned to; none for a fresh one.
    #[must_use]
    pub fn metadata(&self) -> Option<Metadata> {
        self.snapshot().manifest.chain.clone()
    }

    /// How far the store had come. `applied` is never more than `durable` here.
    #[must_use]
    pub fn tips(&self) -> Tips {
        self.snapshot().tips
    }

    /// The damaged blocks that the metadata lists, lowest first, a thousand at most.
    #[must_use]
    pub fn damaged(&self) -> Vec<BlockNumber> {
        self.snapshot().damaged()
    }

    /// The bytes of a block; none when there is none of that number, or no longer.
    ///
    /// # Errors
    /// `Damaged` when the bytes on disk are not those that were published; file errors.
    pub fn block(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, StoreError> {
        self.steady(|snapshot| snapshot.block(number))
    }

    /// The bytes of a proof; none when there is none of that number, or no longer.
    ///
    /// # Errors
    /// `Damaged` when the bytes on disk are not those that were published; file errors.
    pub fn proof(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, StoreError> {
        self.steady(|snapshot| snapshot.proof(number))
    }

    /// The hash of a block; none when there is none of that number, or no longer.
    ///
    /// # Errors
    /// `Damaged` when neither log nor indexes know it; file errors.
    pub fn hash_at(&self, number: BlockNumber) -> Result<Option<BlockHash>, StoreError> {
        self.steady(|snapshot| snapshot.hash_at(number))
    }

    /// Whether there is a proof of that number, damaged or not.
    ///
    /// # Errors
    /// File errors.
    pub fn has_proof(&self, number: BlockNumber) -> Result<bool, StoreError> {
        self.steady(|snapshot| snapshot.has_proof(number))
    }

    /// The blocks from `first` on, with their numbers, up to the tip that is known now.
    pub fn blocks(
        &self,
        first: BlockNumber,
    ) -> impl Iterator<Item = (BlockNumber, Result<Vec<u8>, StoreError>)> + '_ {
        let end = BlockNumber::after(self.tips().durable).get();
        let blocks = (first.get()..end).map(BlockNumber::new);
        blocks.filter_map(|number| Some((number, self.block(number).transpose()?)))
    }

    /// Checks every record, index entry and segment head from block `from` on, about `max_bytes` of them: call it again
    /// with `next` until there is none. Each damaged one is reported, and passed by.
    ///
    /// # Errors
    /// File errors; damage is none.
    pub fn verify(&self, from: BlockNumber, max_bytes: u64) -> Result<Checked, StoreError> {
        loop {
            let snapshot = self.snapshot();
            let checked = snapshot.verify(from, max_bytes)?;
            if checked.findings.is_empty() || !self.was_cut(&snapshot)? {
                return Ok(checked);
            }
        }
    }

    /// Reads again, from a newer state, what failed while something was cut away.
    fn steady<T>(&self, read: impl Fn(&Snapshot) -> Result<T, StoreError>) -> Result<T, StoreError> {
        loop {
            let snapshot = self.snapshot();
            let read = read(&snapshot);
            if read.is_ok() || !self.was_cut(&snapshot)? {
                return read;
            }
        }
    }

    /// Whether the directory has begun another epoch since; if so, it is read anew.
    fn was_cut(&self, snapshot: &Snapshot) -> Result<bool, StoreError> {
        let was_cut = !snapshot.is_of_this_epoch(&*self.disk)?;
        if was_cut {
            self.take()?;
        }
        Ok(was_cut)
    }
}
