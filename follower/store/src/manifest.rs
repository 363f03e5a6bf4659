//! The file that says what a data directory is, and up to where it was durable when that was last written down.
//!
//! It is replaced as a whole (temporary file, sync, rename, directory sync), so that a crash leaves the old or the new.

use std::{collections::BTreeMap, io};

use serde::{Deserialize, Serialize};

use crate::{
    BlockNumber, FORMAT_VERSION, Metadata, OLDEST_VERSION, StoreError, io::Disk, position::Position,
    ranges::Ranges, record::StoreId, voids::Voids,
};

pub(crate) const FILE: &str = "metadata.json";
/// The most runs of proofs that are listed.
pub(crate) const PROOF_RUNS: usize = 1024;
/// The end of the name of a file that replaces another.
const UNFINISHED: &str = ".new";

/// What is known to be durable. It never says more than the disk holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// How many blocks.
    pub(crate) blocks: u32,
    /// Where the block log ended behind them.
    pub(crate) blocks_end: Position,
    /// Where the proof log ended.
    pub(crate) proofs_end: Position,
    /// The proven tip.
    pub(crate) proven: Option<BlockNumber>,
}

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) version: u32,
    /// Random; records are bound to it.
    pub(crate) id: String,
    /// Format and genesis, once they are known.
    pub(crate) chain: Option<Metadata>,
    pub(crate) checkpoint: Checkpoint,
    /// Only records of this epoch count behind the checkpoint.
    pub(crate) epoch: u32,
    /// A cut down to the checkpoint was begun, and has to be finished before anything else.
    pub(crate) cutting: bool,
    /// Since version 2: the blocks that are known to be damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) damaged: Option<Ranges>,
    /// Since version 2: the media that follow the block log, and how many blocks of this very chain each holds at least
    /// and can be trusted with at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media: Option<BTreeMap<String, u32>>,
    /// Since version 2, and not in every directory: whose proofs the index knows of the blocks of the checkpoint, the lowest
    /// runs of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proofs: Option<Ranges>,
    /// Since version 2: which records of the block log are what a cut or a crash left behind.
    #[serde(default, skip_serializing_if = "Voids::is_empty")]
    pub(crate) void_blocks: Voids,
    /// The same of the proof log.
    #[serde(default, skip_serializing_if = "Voids::is_empty")]
    pub(crate) void_proofs: Voids,
}

/// The manifest, and what makes a damaged one known.
#[derive(Serialize, Deserialize)]
struct Sealed {
    store: Manifest,
    check: String,
}

impl Manifest {
    /// The manifest of an empty store.
    pub(crate) fn new(id: StoreId) -> Self {
        let (version, checkpoint) = (FORMAT_VERSION, Checkpoint::default());
        let (damaged, media) = (Some(Ranges::default()), Some(BTreeMap::new()));
        Self {
            version,
            id: hex::encode(id),
            chain: None,
            checkpoint,
            epoch: 0,
            cutting: false,
            damaged,
            media,
            proofs: None,
            void_blocks: Voids::default(),
            void_proofs: Voids::default(),
        }
    }

    /// The manifest with block log and proof log ending here as its epoch begins: what lies behind is void from now on. Version
    /// 1 has no place for that.
    pub(crate) fn ending_at(mut self, [blocks, proofs]: [Option<Position>; 2]) -> Self {
        if self.version > 1 {
            blocks.into_iter().for_each(|end| self.void_blocks.note(end, self.epoch));
            proofs.into_iter().for_each(|end| self.void_proofs.note(end, self.epoch));
        }
        self
    }

    pub(crate) fn id(&self) -> Option<StoreId> {
        let mut id = StoreId::default();
        hex::decode_to_slice(&self.id, &mut id).ok().map(|()| id)
    }

    /// The epoch that begins with the next opening or cut.
    pub(crate) fn next_epoch(&self) -> u32 {
        self.epoch.wrapping_add(1)
    }

    /// How many blocks of a medium are of this very chain at most. A version-1 directory does not remember which media were
    /// there when it was cut.
    pub(crate) fn trusted(&self, medium: &str) -> u32 {
        let blocks = self.checkpoint.blocks;
        self.media.as_ref().map_or(blocks, |media| media.get(medium).map_or(0, |held| blocks.min(*held)))
    }

    /// Whether everything is there that its version has, and nothing else.
    fn is_whole(&self) -> bool {
        let has_lists = self.version > 1;
        let has_no_more = self.proofs.is_none() && self.void_blocks.is_empty() && self.void_proofs.is_empty();
        (has_lists || has_no_more)
            && self.id().is_some()
            && self.damaged.is_some() == has_lists
            && self.media.is_some() == has_lists
    }

    fn check(&self) -> String {
        let bytes = serde_json::to_vec(self).expect("plain data always serialises");
        blake3::hash(&bytes).to_hex()[..16].to_owned()
    }

    fn encode(&self) -> Vec<u8> {
        let sealed = Sealed { store: self.clone(), check: self.check() };
        serde_json::to_vec_pretty(&sealed).expect("plain data always serialises")
    }

    /// Reads the manifest; none if there is none.
    ///
    /// # Errors
    /// `UnknownVersion` for that of another release; `BadMetadata` for what is none at all; file errors.
    pub(crate) fn load(disk: &dyn Disk) -> Result<Option<Self>, StoreError> {
        let path = disk.path(FILE);
        let bytes = match read_file(disk, FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(StoreError::io("read", &path))?,
        };
        let bad = |detail: String| StoreError::BadMetadata { path: path.clone(), detail };
        let value: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
        let found = value["store"]["version"].as_u64().ok_or_else(|| bad("it has no version".to_owned()))?;
        let (oldest, known) = (OLDEST_VERSION, FORMAT_VERSION);
        if !(u64::from(oldest)..=u64::from(known)).contains(&found) {
            return Err(StoreError::UnknownVersion { path, found, oldest, known });
        }
        let sealed: Sealed = serde_json::from_value(value).map_err(|error| bad(error.to_string()))?;
        if sealed.check != sealed.store.check() || !sealed.store.is_whole() {
            return Err(bad("it does not match its checksum".to_owned()));
        }
        Ok(Some(sealed.store))
    }

    /// Durably replaces the manifest.
    ///
    /// # Errors
    /// `DiskFull`, after which the old one stands; poison where that is not known.
    pub(crate) fn replace(&self, disk: &dyn Disk) -> Result<(), StoreError> {
        self.write(disk, FILE)
    }

    /// Durably writes the manifest under another name.
    ///
    /// # Errors
    /// As those of `replace`.
    pub(crate) fn write(&self, disk: &dyn Disk, name: &str) -> Result<(), StoreError> {
        replace_file(disk, name, &self.encode())
    }
}

/// Durably replaces a small file as a whole, so that a crash leaves the old or the new.
///
/// # Errors
/// `DiskFull`, after which the old one stands; poison where that is not known.
pub(crate) fn replace_file(disk: &dyn Disk, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let (path, temporary) = (disk.path(name), format!("{name}{UNFINISHED}"));
    let file = disk.create(&temporary).map_err(StoreError::io("make", disk.path(&temporary)))?;
    file.write_at(bytes, 0).map_err(StoreError::io("write", disk.path(&temporary)))?;
    file.sync().map_err(StoreError::sync_failed(&path))?;
    disk.rename(&temporary, name).map_err(StoreError::sync_failed(&path))?;
    disk.sync_dir().map_err(StoreError::sync_failed(path))
}

/// The bytes of a small file.
pub(crate) fn read_file(disk: &dyn Disk, name: &str) -> io::Result<Vec<u8>> {
    let file = disk.open(name)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(0)];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}
