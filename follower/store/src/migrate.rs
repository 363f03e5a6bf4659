//! From format version 1 to 2: every record is verified, since what version 2 promises is that each damaged block is in its
//! metadata's list.
//!
//! Owns the progress file, by which an interrupted migration goes on, and the rule that the directory stays what it is, of
//! use to the release before, until it is committed.

use std::{io, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    BlockHash, BlockNumber, BlockStore as _, DiskStore, FORMAT_VERSION, Finding, StoreError,
    io::{Disk, RealDisk},
    manifest::{self, Manifest},
    ranges::Ranges,
};

/// How far a migration has come.
pub(crate) const PROGRESS: &str = "migration.json";
/// The new metadata, until the migration is committed.
pub(crate) const BESIDE: &str = "metadata.v2.json";

/// What the progress file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// Id of the store.
    id: String,
    /// The version that this leads to.
    to: u32,
    /// How many blocks are verified.
    verified: u32,
    /// Hash of the last of them, by which it is known that nothing was cut below.
    last: Option<String>,
    /// Those of them that are damaged.
    damaged: Ranges,
}

/// The progress, and what makes a damaged one known.
#[derive(Serialize, Deserialize)]
struct Sealed {
    migration: Progress,
    check: String,
}

/// How far a migration has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// How many blocks are verified.
    pub verified: u32,
    /// How many there are.
    pub blocks: u32,
    /// What was found damaged in this step.
    pub findings: Vec<Finding>,
}

impl Migrated {
    /// Whether everything is verified, so that the migration can be committed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.verified >= self.blocks
    }
}

/// A migration of one directory, which nobody else may use meanwhile.
pub struct Migration {
    disk: Arc<dyn Disk>,
    store: DiskStore,
    progress: Progress,
}

impl Migration {
    /// Begins the migration of the directory, or goes on with one that was interrupted.
    ///
    /// # Errors
    /// `NothingToMigrate` when it is of the newest version; those of [`DiskStore::open`].
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let disk = Arc::new(RealDisk::new(dir));
        check_version(&*disk)?;
        Self::of(disk, DiskStore::open(dir)?)
    }

    pub(crate) fn of(disk: Arc<dyn Disk>, store: DiskStore) -> Result<Self, StoreError> {
        let id = check_version(&*disk)?;
        let known = load(&*disk)?.filter(|progress| is_of(progress, &store, &id));
        let progress = known.unwrap_or(Progress { id, to: FORMAT_VERSION, ..Progress::default() });
        store.note_damaged(&progress.damaged);
        Ok(Self { disk, store, progress })
    }

    /// Verifies about `max_bytes` more, and remembers that durably.
    ///
    /// # Errors
    /// `DiskFull`; file errors; poison. Damage is none.
    pub fn step(&mut self, max_bytes: u64) -> Result<Migrated, StoreError> {
        let checked = self.store.scrub(self.progress.verified.into(), max_bytes)?;
        let blocks = BlockNumber::after(self.store.tips().durable).get();
        let verified = checked.next.map_or(blocks, BlockNumber::get);
        let last = BlockNumber::last_of(verified).and_then(|last| self.store.hash_at(last));
        let (last, damaged) = (last.map(|hash| hash.to_string()), self.store.damaged_ranges());
        self.progress = Progress { verified, last, damaged, ..self.progress.clone() };
        self.save()?;
        if verified >= blocks {
            self.store.manifest_of(FORMAT_VERSION)?.write(&*self.disk, BESIDE)?;
        }
        Ok(Migrated { verified, blocks, findings: checked.findings })
    }

    /// Blocks that were found damaged so far, by earlier runs too.
    #[must_use]
    pub fn damaged(&self) -> Vec<BlockNumber> {
        self.progress.damaged.iter().map(BlockNumber::new).collect()
    }

    /// Replaces the old metadata by the new, durably: from now on the directory is of the newest version. What was not
    /// verified yet is now.
    ///
    /// # Errors
    /// As those of [`Migration::step`]. The directory is of the old version then, or of the new one.
    pub fn commit(mut self) -> Result<(), StoreError> {
        while !self.step(u64::MAX)?.is_done() {}
        for number in self.progress.damaged.iter().map(BlockNumber::new) {
            self.store.scrub(number, 1)?;
        }
        self.store.upgrade(FORMAT_VERSION)?;
        remove_left_over(&*self.disk)
    }

    fn save(&self) -> Result<(), StoreError> {
        let sealed = Sealed { migration: self.progress.clone(), check: check(&self.progress) };
        let bytes = serde_json::to_vec_pretty(&sealed).expect("plain data always serialises");
        manifest::replace_file(&*self.disk, PROGRESS, &bytes)
    }
}

fn check(progress: &Progress) -> String {
    let bytes = serde_json::to_vec(progress).expect("plain data always serialises");
    blake3::hash(&bytes).to_hex()[..16].to_owned()
}

/// The id of a store that is there and of an older version.
fn check_version(disk: &dyn Disk) -> Result<String, StoreError> {
    let path = disk.path(manifest::FILE);
    let missing = || StoreError::BadMetadata { path: path.clone(), detail: "it is missing".to_owned() };
    let manifest = Manifest::load(disk)?.ok_or_else(missing)?;
    if manifest.version == FORMAT_VERSION {
        return Err(StoreError::NothingToMigrate { path, version: manifest.version });
    }
    Ok(manifest.id)
}

/// The progress that was saved; none if none can be read, for then all is verified anew.
fn load(disk: &dyn Disk) -> Result<Option<Progress>, StoreError> {
    let bytes = match manifest::read_file(disk, PROGRESS) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(StoreError::io("read", disk.path(PROGRESS)))?,
    };
    let sealed = serde_json::from_slice::<Sealed>(&bytes).ok();
    Ok(sealed.filter(|sealed| sealed.check == check(&sealed.migration)).map(|sealed| sealed.migration))
}

/// Whether what was verified is still what the store holds.
fn is_of(progress: &Progress, store: &DiskStore, id: &str) -> bool {
    let last = BlockNumber::last_of(progress.verified).and_then(|last| store.hash_at(last));
    progress.id == id
        && progress.to == FORMAT_VERSION
        && progress.last == last.map(|hash: BlockHash| hash.to_string())
}

/// Removes what a migration that was committed left behind.
pub(crate) fn remove_left_over(disk: &dyn Disk) -> Result<(), StoreError> {
    let names = disk.list().map_err(StoreError::io("list", disk.path("")))?;
    let left_over = [BESIDE, PROGRESS].into_iter().filter(|name| names.iter().any(|there| there == name));
    left_over
        .into_iter()
        .try_for_each(|name| disk.remove(name).map_err(StoreError::io("remove", disk.path(name))))
}
