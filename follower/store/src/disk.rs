//! The store on disk: a block log, a proof log and a metadata file in one locked directory.
//!
//! Owns the order of syncs (blocks before proofs before anything is visible) and the rule that a failed sync ends
//! all writing. The block log alone decides the tip.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::{
    BlockHash, BlockNumber, BlockStore, Metadata, StoreError, Tips,
    file::{LogFile, open_log, sync_dir},
    index::Index,
    lock::DirLock,
    log::{LogReader, LogWriter, Place},
    metadata,
    record::Kind,
};

pub(crate) const BLOCKS: &str = "blocks.log";
pub(crate) const PROOFS: &str = "proofs.log";

/// A store in one directory, which no other process may open meanwhile.
pub struct DiskStore {
    dir: PathBuf,
    metadata: RwLock<Option<Metadata>>,
    index: RwLock<Index>,
    blocks: LogReader,
    proofs: LogReader,
    writer: Mutex<Writer>,
    _lock: DirLock,
}

struct Writer {
    blocks: LogWriter,
    proofs: LogWriter,
    /// Written, but not yet synced.
    pending_proofs: Vec<(BlockNumber, Place)>,
    poisoned: bool,
}

impl DiskStore {
    /// Opens the store in `dir`, making it if there is none, and recovers it: a torn tail is cut, and everything
    /// read back is synced before it counts.
    ///
    /// # Errors
    /// `Locked`, `Damaged`, `BadMetadata`, or what the file system says.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        make_dir(dir)?;
        let lock = DirLock::take(dir)?;
        let blocks = Arc::new(open_log(&dir.join(BLOCKS))?);
        let proofs = Arc::new(open_log(&dir.join(PROOFS))?);
        sync_dir(dir)?;
        Self::recover(dir, lock, blocks, proofs)
    }

    /// Opens what the two files hold; the lock is theirs.
    pub(crate) fn recover(
        dir: &Path,
        lock: DirLock,
        blocks: Arc<dyn LogFile>,
        proofs: Arc<dyn LogFile>,
    ) -> Result<Self, StoreError> {
        let metadata = metadata::load(dir)?;
        if metadata.is_none() {
            let logs = [(&blocks, BLOCKS), (&proofs, PROOFS)];
            logs.into_iter().try_for_each(|(log, name)| must_be_empty(&**log, dir, name))?;
        }
        let (blocks, block_scan) = LogWriter::open(blocks, &dir.join(BLOCKS))?;
        let (mut proofs, proof_scan) = LogWriter::open(proofs, &dir.join(PROOFS))?;
        let mut index = Index::of(&block_scan, &proof_scan).map_err(|offset| not_a_chain(dir, offset))?;
        drop_early_proofs(&mut index, &mut proofs)?;
        Ok(Self {
            dir: dir.to_owned(),
            metadata: RwLock::new(metadata),
            index: RwLock::new(index),
            blocks: blocks.reader(),
            proofs: proofs.reader(),
            writer: Mutex::new(Writer { blocks, proofs, pending_proofs: Vec::new(), poisoned: false }),
            _lock: lock,
        })
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.poisoned { Err(StoreError::Poisoned) } else { Ok(writer) }
    }
}

/// A directory that was made counts once its parent is synced.
fn make_dir(dir: &Path) -> Result<(), StoreError> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir).map_err(StoreError::io("make", dir))?;
    dir.canonicalize().map_err(StoreError::io("find", dir))?.parent().map_or(Ok(()), sync_dir)
}

/// No log is written before the metadata is, so what a log holds without it is somebody's, and is not cut as a torn tail.
fn must_be_empty(log: &dyn LogFile, dir: &Path, name: &str) -> Result<(), StoreError> {
    match log.len().map_err(StoreError::io("measure", dir.join(name)))? {
        0 => Ok(()),
        len => {
            let detail = format!("it is missing, but {name} beside it holds {len} bytes");
            Err(StoreError::BadMetadata { path: dir.join(metadata::FILE), detail })
        }
    }
}

/// A proof written ahead of a block that the crash took could be taken for the proof of whatever comes there next.
fn drop_early_proofs(index: &mut Index, proofs: &mut LogWriter) -> Result<(), StoreError> {
    if !index.has_proofs_beyond_tip() {
        return Ok(());
    }
    let tip = index.tips().published.unwrap_or(BlockNumber::GENESIS);
    proofs.append(Kind::Cut, tip, &[&[]])?;
    proofs.sync()?;
    index.truncate(tip);
    Ok(())
}

fn not_a_chain(dir: &Path, offset: u64) -> StoreError {
    let detail = "the record has not the number that follows".to_owned();
    StoreError::Damaged { path: dir.join(BLOCKS), offset, detail }
}

impl Writer {
    /// Remembers poison, whoever caused it.
    fn note<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        self.poisoned |= result.as_ref().is_err_and(StoreError::is_poison);
        result
    }

    fn has_pending_proof(&self, number: BlockNumber) -> bool {
        self.pending_proofs.iter().any(|(pending, _)| *pending == number)
    }
}

impl BlockStore for DiskStore {
    fn metadata(&self) -> Option<Metadata> {
        self.metadata.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn initialise(&self, asked: Metadata) -> Result<(), StoreError> {
        let _one_at_a_time = self.writer()?;
        match self.metadata() {
            Some(held) if held == asked => return Ok(()),
            Some(held) if self.tips().applied.is_some() => return held.admit(&asked),
            _ => metadata::replace(&self.dir, &asked)?,
        }
        *self.metadata.write().unwrap_or_else(PoisonError::into_inner) = Some(asked);
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
        let appended = writer.blocks.append(Kind::Data, first, blocks);
        let places = writer.note(appended)?;
        self.index_mut().apply(places);
        Ok(())
    }

    fn put_proof(&self, number: BlockNumber, proof: &[u8]) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        if number == BlockNumber::GENESIS || self.tips().applied < Some(number) {
            return Err(StoreError::ProofWithoutBlock { number });
        }
        if self.has_proof(number) || writer.has_pending_proof(number) {
            return Ok(());
        }
        let appended = writer.proofs.append(Kind::Data, number, &[proof]);
        let places = writer.note(appended)?;
        writer.pending_proofs.extend(places.into_iter().map(|place| (number, place)));
        Ok(())
    }

    fn sync(&self) -> Result<Tips, StoreError> {
        let mut writer = self.writer()?;
        let synced = writer.blocks.sync();
        writer.note(synced)?;
        self.index_mut().publish();
        let synced = writer.proofs.sync();
        writer.note(synced)?;
        let proofs = std::mem::take(&mut writer.pending_proofs);
        let mut index = self.index_mut();
        index.publish_proofs(proofs);
        Ok(index.tips())
    }

    fn tips(&self) -> Tips {
        self.index().tips()
    }

    fn block(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, StoreError> {
        let place = self.index().published_block(number);
        place.map(|place| self.blocks.read(place)).transpose()
    }

    fn proof(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, StoreError> {
        let place = self.index().proof(number);
        place.map(|place| self.proofs.read(place)).transpose()
    }

    fn has_proof(&self, number: BlockNumber) -> bool {
        self.index().proof(number).is_some()
    }

    fn hash_at(&self, number: BlockNumber) -> Option<BlockHash> {
        self.index().published_block(number).map(|place| place.hash)
    }

    fn truncate(&self, last: BlockNumber) -> Result<Tips, StoreError> {
        let mut writer = self.writer()?;
        let cut = cut_both(&mut writer, &mut self.index_mut(), last);
        writer.note(cut)?;
        Ok(self.tips())
    }
}

/// Proofs first: blocks without proofs are a chain, proofs without blocks are not.
fn cut_both(writer: &mut Writer, index: &mut Index, last: BlockNumber) -> Result<(), StoreError> {
    writer.proofs.append(Kind::Cut, last, &[&[]])?;
    writer.proofs.sync()?;
    writer.pending_proofs.retain(|(number, _)| *number <= last);
    match index.truncate(last) {
        Some(end) => writer.blocks.cut(end),
        None => Ok(()),
    }
}
