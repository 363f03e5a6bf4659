//! Opens data directories for the commands.

use std::{path::Path, sync::Arc};

use tidemark_store::{BlockNumber, BlockStore as _, DiskStore, Metadata, StoreError, StoreReader};

use super::ToolError;
use crate::{
    format::{Format, Native, Opaque},
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
    let store = DiskStore::open_within(dir, volume.map(|size| size.0))?;
    if let Some(held) =
        store.metadata().filter(|held| held.format != format.name() && store.tips().applied.is_some())
    {
        let asked = format.name().to_owned();
        return Err(StoreError::OtherFormat { held: held.format, asked }.into());
    }
    let identity = Identity { pod_uid: String::new(), boot_id: String::new() };
    Ok(Arc::new(Replica::new(Box::new(store), format, identity, State::Syncing)))
}

/// Opens a store that is there and that no other process uses.
pub(super) fn open_held(dir: &Path) -> Result<DiskStore, ToolError> {
    let (_, chain, _) = open_readable(dir)?;
    named(&chain.format)?;
    Ok(DiskStore::open_within(dir, None)?)
}

/// Opens a store for reading, which may be in use: its chain, and its published tip.
pub(super) fn open_readable(dir: &Path) -> Result<(StoreReader, Metadata, BlockNumber), ToolError> {
    if !dir.is_dir() {
        return Err(ToolError::NoDirectory { path: dir.to_owned() });
    }
    let reader = StoreReader::open(dir)?;
    let held = reader.metadata().zip(reader.tips().published);
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
    let known: [Box<dyn Format>; 2] = [Box::new(Native), Box::new(Opaque)];
    let found = known.into_iter().find(|format| format.name() == name);
    found.ok_or_else(|| ToolError::UnknownFormat(name.to_owned()))
}
