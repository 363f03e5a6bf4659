//! Opens data directories for the commands.

use std::{path::Path, sync::Arc};

use clap::ValueEnum as _;
use tidemark_store::{BlockNumber, DiskStore, Metadata, StoreReader};

use super::ToolError;
use crate::{
    cli::FormatName,
    format::Format,
    opening,
    replica::{Identity, Replica},
    size::ByteSize,
    state::State,
};

/// Opens a store that no other process uses, making it if there is none, to add blocks of that format.
pub(super) fn open_writable(
    dir: &Path,
    volume: Option<ByteSize>,
    format: &str,
) -> Result<Arc<Replica>, ToolError> {
    let format = named(format)?;
    let store = opening::open(&*format, dir, volume.map(|size| size.0))?;
    let identity = Identity { pod_uid: String::new(), boot_id: String::new() };
    Ok(Arc::new(Replica::new(Box::new(store), format, identity, State::Syncing)))
}

/// Opens a store that is there and that no other process uses.
pub(super) fn open_held(dir: &Path) -> Result<DiskStore, ToolError> {
    let (_, chain, _) = open_readable(dir)?;
    Ok(opening::open(&*named(&chain.format)?, dir, None)?)
}

/// Opens a store for reading, which may be in use: its chain, and the last block that is held, damaged or not.
pub(super) fn open_readable(dir: &Path) -> Result<(StoreReader, Metadata, BlockNumber), ToolError> {
    if !dir.is_dir() {
        return Err(ToolError::NoDirectory { path: dir.to_owned() });
    }
    let reader = StoreReader::open(dir)?;
    let held = reader.metadata().zip(reader.tips().durable);
    let (chain, tip) = held.ok_or_else(|| ToolError::Empty { path: dir.to_owned() })?;
    Ok((reader, chain, tip))
}

/// Free bytes of the file system, for everybody.
pub(super) fn free_bytes(dir: &Path) -> Result<u64, ToolError> {
    let failed = |error: rustix::io::Errno| ToolError::File { path: dir.to_owned(), source: error.into() };
    let volume = rustix::fs::statvfs(dir).map_err(failed)?;
    Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
}

/// The format that metadata and export files call so.
pub(super) fn named(name: &str) -> Result<Box<dyn Format>, ToolError> {
    let found = FormatName::from_str(name, false).map_err(|_| ToolError::UnknownFormat(name.to_owned()))?;
    Ok(found.format()?)
}
