//! The file that says what a data directory is: version, format, genesis.
//!
//! It is replaced as a whole (temporary file, sync, rename, directory sync), so that a crash leaves the old or the new.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{Commitment, StoreError, file::sync_dir};

/// The version of the on-disk format this release reads and writes.
pub const FORMAT_VERSION: u32 = 1;

pub(crate) const FILE: &str = "metadata.json";
const TEMPORARY: &str = "metadata.json.new";

/// What a data directory is pinned to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Version of the on-disk format.
    pub version: u32,
    /// Name of the chain's format, as the command line spells it.
    pub format: String,
    /// Genesis commitment of the chain.
    pub genesis: Commitment,
}

impl Metadata {
    /// The metadata of a directory this release makes.
    #[must_use]
    pub fn new(format: impl Into<String>, genesis: Commitment) -> Self {
        Self { version: FORMAT_VERSION, format: format.into(), genesis }
    }

    /// Whether `asked` may be written over what holds this metadata, which has blocks.
    pub(crate) fn admit(&self, asked: &Self) -> Result<(), StoreError> {
        if self.format != asked.format {
            let (held, asked) = (self.format.clone(), asked.format.clone());
            return Err(StoreError::OtherFormat { held, asked });
        }
        if self.genesis != asked.genesis {
            return Err(StoreError::OtherGenesis { held: self.genesis, asked: asked.genesis });
        }
        Ok(())
    }
}

/// Reads the metadata of `dir`; none if it has none yet.
pub(crate) fn load(dir: &Path) -> Result<Option<Metadata>, StoreError> {
    let path = dir.join(FILE);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(StoreError::io("read", &path))?,
    };
    let bad = |detail: String| StoreError::BadMetadata { path: path.clone(), detail };
    let metadata: Metadata = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    if metadata.version != FORMAT_VERSION {
        return Err(bad(format!("version {}, this release reads {FORMAT_VERSION}", metadata.version)));
    }
    Ok(Some(metadata))
}

/// Durably replaces the metadata of `dir`.
pub(crate) fn replace(dir: &Path, metadata: &Metadata) -> Result<(), StoreError> {
    let (path, temporary) = (dir.join(FILE), dir.join(TEMPORARY));
    let bytes = serde_json::to_vec_pretty(metadata).expect("plain data always serialises");
    write_synced(&temporary, &bytes).map_err(StoreError::io("write", &temporary))?;
    fs::rename(&temporary, &path).map_err(StoreError::io("replace", &path))?;
    sync_dir(dir)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
