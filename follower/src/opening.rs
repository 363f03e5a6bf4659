//! Opens a store for one format, with what that format keeps beside the blocks.

use std::path::Path;

use tidemark_store::{BlockStore as _, DiskStore, StoreError};

use crate::format::{Format, FormatError};

/// Opens the store in `dir`, which must hold no block of another format, on `volume` bytes of its file system, or on all
/// of it. What the format keeps beside the blocks is rebuilt if it does not fit them.
///
/// # Errors
/// As those of [`DiskStore::open`]; `OtherFormat` when blocks of another one are held.
pub fn open(format: &dyn Format, dir: &Path, volume: Option<u64>) -> Result<DiskStore, StoreError> {
    let store = open_once(format, dir, volume)?;
    match check(format, &store) {
        Ok(()) => Ok(store),
        Err(unfit) => {
            tracing::warn!("it is rebuilt from the block log: {unfit}");
            drop(store);
            open_once(format, dir, volume)
        }
    }
}

fn open_once(format: &dyn Format, dir: &Path, volume: Option<u64>) -> Result<DiskStore, StoreError> {
    let builder = DiskStore::builder().volume(volume).format(format.name());
    match format.medium() {
        Some(medium) => builder.medium_on(medium).open(dir),
        None => builder.open(dir),
    }
}

/// Whether what is kept fits the last block. A block that is damaged decides nothing: a later session finds out.
fn check(format: &dyn Format, store: &DiskStore) -> Result<(), FormatError> {
    let (Some(metadata), Some(tip)) = (store.metadata(), store.tips().durable) else { return Ok(()) };
    let Ok(Some(block)) = store.block(tip) else { return Ok(()) };
    match format.open(metadata.genesis, Some((tip, &block))) {
        Err(unfit @ FormatError::Kept { .. }) => Err(unfit),
        _ => Ok(()),
    }
}
