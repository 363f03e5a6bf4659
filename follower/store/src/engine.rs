//! The store on disk: a block log and a proof log, the indexes that follow them, and the manifest.
//!
//! Owns the order of syncs (blocks, then proofs, then what is visible; the manifest only says what all of them hold)
//! and the rule that a failed sync ends all writing. The block log alone decides the tip.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use crate::{
    BlockHash, BlockNumber, BlockStore, Metadata, StoreError, Tips,
    index::{Applied, BlockIndex},
    io::{Disk, RealDisk},
    lock::{DirLock, make_dir},
    log::Log,
    manifest::{self, Checkpoint, Manifest},
    place::{self, Place},
    proofs::ProofSet,
    record::{Kind, Owner, owner_of},
    recover,
    segment_size::segment_size,
    table::Table,
    writer::{Draft, LogWriter},
};

const PROOF_PLACES: &str = "proof-places.idx";

/// What a test may want to be smaller than a volume makes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Bytes of a segment; none: as the volume's size asks for.
    pub(crate) segment_size: Option<u32>,
    /// Entries by which an index file grows.
    pub(crate) growth: u32,
    /// The longest time between two checkpoints while blocks come.
    pub(crate) checkpoint_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_size: None, growth: 1 << 16, checkpoint_every: Duration::from_secs(10) }
    }
}

/// A store in one directory, which no other process may open meanwhile.
pub struct DiskStore {
    disk: Arc<dyn Disk>,
    blocks: Arc<Log>,
    proofs: Arc<Log>,
    index: BlockIndex,
    proof_places: Table<{ place::ENTRY }>,
    chain: RwLock<Option<Metadata>>,
    progress: RwLock<Progress>,
    damaged: Vec<BlockNumber>,
    writer: Mutex<Writer>,
    checkpoint_every: Duration,
    _lock: Option<DirLock>,
}

/// How far the store has come, for readers.
struct Progress {
    /// How many blocks are written.
    applied: u32,
    /// How many of them are synced and indexed.
    published: u32,
    tip_hash: Option<BlockHash>,
    proofs: ProofSet,
}

struct Writer {
    blocks: LogWriter,
    proofs: LogWriter,
    /// Written, but not yet synced.
    pending_blocks: Vec<Applied>,
    pending_proofs: Vec<Applied>,
    manifest: Manifest,
    /// Rolls of both logs when the manifest was last replaced, and when that was.
    checkpointed: (u64, Instant),
    poisoned: bool,
}

impl DiskStore {
    /// Opens the store in `dir`, making it if there is none, and recovers it: a torn tail is cut, and everything past
    /// the checkpoint is read, verified, written again and synced before it counts.
    ///
    /// # Errors
    /// `Locked`, `DurableLost`, `Damaged`, `BadMetadata`, `UnknownVersion`, or what the file system says.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        make_dir(dir)?;
        let lock = DirLock::take(dir)?;
        Self::open_on(Arc::new(RealDisk::new(dir)), Options::default(), Some(lock))
    }

    /// Opens the store on a disk that nobody else uses.
    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        options: Options,
        lock: Option<DirLock>,
    ) -> Result<Self, StoreError> {
        let manifest = match Manifest::load(&*disk)? {
            Some(manifest) => manifest,
            None => begin(&*disk)?,
        };
        recover::remove_unfinished(&*disk)?;
        let id = manifest.id().unwrap_or_default();
        let blocks = Arc::new(Log::new(&disk, Kind::Block, "blocks", id));
        let proofs = Arc::new(Log::new(&disk, Kind::Proof, "proofs", id));
        let index = BlockIndex::open(&disk, options.growth)?;
        let proof_places = Table::open(&disk, PROOF_PLACES, options.growth)?;
        if manifest.cutting {
            cut_media(&manifest, &blocks, &index, &proof_places)?;
        }
        let held = recover::blocks(&blocks, &index, &manifest)?;
        let proven = recover::proofs(&proofs, &proof_places, &index, held.count, &manifest)?;
        let size = match options.segment_size {
            Some(size) => size,
            None => segment_size(disk.volume().map_err(StoreError::io("measure", disk.path("")))?),
        };
        let epoch = manifest.epoch.wrapping_add(1);
        let writer = Writer {
            blocks: LogWriter::open(&blocks, size, held.end, epoch)?,
            proofs: LogWriter::open(&proofs, size, proven.end, epoch)?,
            pending_blocks: Vec::new(),
            pending_proofs: Vec::new(),
            checkpointed: (0, Instant::now()),
            poisoned: false,
            manifest,
        };
        let tip = BlockNumber::last_of(held.count);
        let tip_hash = tip.and_then(|tip| index.get(tip).ok()).map(|block| block.hash);
        let progress = Progress { applied: held.count, published: held.count, tip_hash, proofs: proven.held };
        let store = Self {
            chain: RwLock::new(writer.manifest.chain.clone()),
            progress: RwLock::new(progress),
            damaged: held.damaged,
            writer: Mutex::new(writer),
            checkpoint_every: options.checkpoint_every,
            _lock: lock,
            disk,
            blocks,
            proofs,
            index,
            proof_places,
        };
        store.begin_epoch()?;
        Ok(store)
    }

    /// Blocks that opening found damaged. They are refused to readers; everything else is served.
    #[must_use]
    pub fn damaged(&self) -> &[BlockNumber] {
        &self.damaged
    }

    /// Syncs, and writes down up to where everything is durable, so that opening need not read what lies before.
    ///
    /// # Errors
    /// Poison; a full disk is none, for the checkpoint before still stands.
    pub(crate) fn checkpoint(&self) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let done = self.sync_now(&mut writer).and_then(|_| self.checkpoint_now(&mut writer));
        writer.note(done)
    }

    /// Begins a new epoch behind what was recovered.
    fn begin_epoch(&self) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let (checkpoint, epoch) = (self.reached(&writer), writer.manifest.epoch.wrapping_add(1));
        let manifest = Manifest { checkpoint, epoch, cutting: false, ..writer.manifest.clone() };
        self.replace_manifest(&mut writer, manifest)
    }

    fn checkpoint_now(&self, writer: &mut Writer) -> Result<(), StoreError> {
        writer.checkpointed = (writer.rolls(), Instant::now());
        let checkpoint = self.reached(writer);
        if checkpoint == writer.manifest.checkpoint {
            return Ok(());
        }
        let manifest = Manifest { checkpoint, ..writer.manifest.clone() };
        match self.replace_manifest(writer, manifest) {
            Err(error) if error.is_disk_full() => Ok(()),
            replaced => replaced,
        }
    }

    /// Syncs the media first, for the manifest says what they hold.
    fn replace_manifest(&self, writer: &mut Writer, manifest: Manifest) -> Result<(), StoreError> {
        self.index.media().into_iter().try_for_each(|medium| medium.sync())?;
        self.proof_places.sync()?;
        manifest.replace(&*self.disk)?;
        writer.manifest = manifest;
        Ok(())
    }

    /// What is synced and indexed. Everything written must be.
    fn reached(&self, writer: &Writer) -> Checkpoint {
        let progress = self.progress();
        let (blocks_end, proofs_end) = (writer.blocks.synced(), writer.proofs.synced());
        Checkpoint { blocks: progress.published, blocks_end, proofs_end, proven: progress.proofs.proven() }
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

    fn is_published(&self, number: BlockNumber) -> bool {
        number.get() < self.progress().published
    }

    fn apply_now(&self, writer: &mut Writer, first: BlockNumber, blocks: &[&[u8]]) -> Result<(), StoreError> {
        let drafts: Vec<_> = numbered(first, blocks).collect();
        let count = drafts.last().map_or(first.get(), |last| last.number.next().get());
        self.index.media().into_iter().try_for_each(|medium| medium.reserve(count))?;
        let places = writer.blocks.append(&drafts)?;
        let written = drafts.iter().zip(places);
        let written = written.map(|(draft, place)| Applied { number: draft.number, place, hash: draft.hash });
        writer.pending_blocks.extend(written);
        self.progress_mut().applied = count;
        Ok(())
    }

    fn put_now(&self, writer: &mut Writer, number: BlockNumber, proof: &[u8]) -> Result<(), StoreError> {
        let pending = writer.pending_blocks.iter().find(|block| block.number == number);
        let block = pending.map_or_else(|| self.index.get(number), |block| Ok(*block))?;
        self.proof_places.reserve(number.next().get())?;
        let hash = BlockHash::of(proof);
        let draft = Draft { number, owner: owner_of(&block.hash), hash, payload: proof };
        let places = writer.proofs.append(&[draft])?;
        writer.pending_proofs.extend(places.into_iter().map(|place| Applied { place, ..block }));
        Ok(())
    }

    fn sync_now(&self, writer: &mut Writer) -> Result<Tips, StoreError> {
        writer.blocks.sync()?;
        let blocks = std::mem::take(&mut writer.pending_blocks);
        self.index.apply(&blocks).map_err(StoreError::into_poison)?;
        self.progress_mut().publish(&blocks);
        writer.proofs.sync()?;
        let proofs = std::mem::take(&mut writer.pending_proofs);
        for proof in &proofs {
            let entry = proof.place.encode(proof.number, &proof.hash);
            self.proof_places.write(proof.number.get(), &[entry]).map_err(StoreError::into_poison)?;
        }
        let mut progress = self.progress_mut();
        proofs.iter().for_each(|proof| progress.proofs.insert(proof.number));
        Ok(progress.tips())
    }

    fn truncate_now(&self, writer: &mut Writer, last: BlockNumber) -> Result<(), StoreError> {
        self.sync_now(writer)?;
        if !self.is_published(last.next()) || last.next() == last {
            return Ok(());
        }
        let block = self.index.get(last)?;
        let blocks_end = block.place.end();
        let mut proofs = self.progress().proofs.clone();
        proofs.cut(last);
        let (blocks, proofs_end) = (last.next().get(), writer.proofs.end());
        let checkpoint = Checkpoint { blocks, blocks_end, proofs_end, proven: proofs.proven() };
        let epoch = writer.manifest.epoch.wrapping_add(1);
        let begun = Manifest { checkpoint, epoch, cutting: true, ..writer.manifest.clone() };
        self.replace_manifest(writer, begun.clone())?;
        *self.progress_mut() =
            Progress { applied: blocks, published: blocks, tip_hash: Some(block.hash), proofs };
        let done = self.cut(&begun).and_then(|()| writer.blocks.rewind(blocks_end, epoch));
        let done = done.and_then(|()| writer.proofs.rewind(proofs_end, epoch));
        let done = done.and_then(|()| self.replace_manifest(writer, Manifest { cutting: false, ..begun }));
        done.map_err(StoreError::into_poison)
    }

    fn cut(&self, begun: &Manifest) -> Result<(), StoreError> {
        cut_media(begun, &self.blocks, &self.index, &self.proof_places)
    }

    fn proof_place(&self, number: BlockNumber) -> Result<(Place, Owner), StoreError> {
        let found = recover::proof_place(&self.proof_places, &self.index, number)?;
        let found = found.map(|(place, block)| (place, owner_of(&block)));
        found.ok_or_else(|| self.proof_places.damaged(number.get()))
    }

    fn read_proof(&self, number: BlockNumber) -> Result<Vec<u8>, StoreError> {
        let (place, owner) = self.proof_place(number)?;
        let (header, proof) = self.proofs.read_record(place)?;
        if (header.number, header.owner) == (number, owner) {
            return Ok(proof);
        }
        Err(self.proofs.damaged(place.at, "the record is of another block"))
    }
}

/// Nothing is written before the manifest is, so what lies beside a missing one is somebody's, and is left as it is.
fn begin(disk: &dyn Disk) -> Result<Manifest, StoreError> {
    let names = disk.list().map_err(StoreError::io("list", disk.path("")))?;
    if let Some(name) = names.iter().find(|name| name.ends_with(".log") || name.ends_with(".idx")) {
        let detail = format!("it is missing, but {name} is there");
        return Err(StoreError::BadMetadata { path: disk.path(manifest::FILE), detail });
    }
    let manifest = Manifest::new(rand::random());
    manifest.replace(disk)?;
    Ok(manifest)
}

/// Drops what lies behind the checkpoint of a cut that was begun. The block log's own segment needs no change: what
/// follows is of an earlier epoch.
fn cut_media(
    begun: &Manifest,
    blocks: &Log,
    index: &BlockIndex,
    proof_places: &Table<{ place::ENTRY }>,
) -> Result<(), StoreError> {
    blocks.remove_after(begun.checkpoint.blocks_end.segment)?;
    index.media().into_iter().try_for_each(|medium| medium.cut(begun.checkpoint.blocks))?;
    proof_places.clear_from(begun.checkpoint.blocks)
}

fn numbered<'a>(first: BlockNumber, blocks: &'a [&'a [u8]]) -> impl Iterator<Item = Draft<'a>> {
    let numbers = std::iter::successors(Some(first), |number| Some(number.next()));
    numbers.zip(blocks).map(|(number, payload)| Draft {
        number,
        owner: Owner::default(),
        hash: BlockHash::of(payload),
        payload,
    })
}

impl Progress {
    fn tips(&self) -> Tips {
        let published = BlockNumber::last_of(self.published);
        let proven = self.proofs.proven().min(published);
        Tips { applied: BlockNumber::last_of(self.applied), published, proven }
    }

    fn publish(&mut self, blocks: &[Applied]) {
        if let Some(last) = blocks.last() {
            self.published = last.number.next().get();
            self.tip_hash = Some(last.hash);
        }
    }
}

impl Writer {
    /// Remembers poison, whoever caused it.
    fn note<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        self.poisoned |= result.as_ref().is_err_and(StoreError::is_poison);
        result
    }

    fn has_pending_proof(&self, number: BlockNumber) -> bool {
        self.pending_proofs.iter().any(|pending| pending.number == number)
    }

    fn rolls(&self) -> u64 {
        self.blocks.rolls + self.proofs.rolls
    }

    fn is_checkpoint_due(&self, now: Instant, every: Duration) -> bool {
        let (rolls, at) = self.checkpointed;
        rolls != self.rolls() || now.saturating_duration_since(at) >= every
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
        if !self.is_published(number) {
            return Ok(None);
        }
        let read = self.index.get(number).and_then(|block| self.blocks.read_block(&block));
        // A cut may have taken it meanwhile.
        if self.is_published(number) { read.map(Some) } else { Ok(None) }
    }

    fn proof(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, StoreError> {
        if !self.has_proof(number) {
            return Ok(None);
        }
        let read = self.read_proof(number);
        if self.has_proof(number) { read.map(Some) } else { Ok(None) }
    }

    fn has_proof(&self, number: BlockNumber) -> bool {
        self.progress().proofs.holds(number)
    }

    fn hash_at(&self, number: BlockNumber) -> Option<BlockHash> {
        let (published, tip_hash) = {
            let progress = self.progress();
            (progress.published, progress.tip_hash)
        };
        match BlockNumber::last_of(published) {
            Some(tip) if tip == number => tip_hash,
            Some(tip) if number < tip => self.index.get(number).ok().map(|block| block.hash),
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
