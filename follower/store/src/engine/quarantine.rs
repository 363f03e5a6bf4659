//! What a cut drops is kept first: one export file per cut in `quarantine/`, synced under its name before the cut begins.
//!
//! The files are never read or removed by the store. What is damaged has no bytes to keep, and is left out.

use std::{
    io::{self, BufWriter, Write},
    sync::Arc,
};

use super::DiskStore;
use crate::{
    BlockNumber, Metadata, StoreError,
    archive::{self, ArchiveError, Head},
    io::{Disk, DiskFile},
};

/// The directory in the data directory that keeps what was dropped.
pub(crate) const DIR: &str = "quarantine";
/// The end of the name of a file that is being written.
const UNFINISHED: &str = ".new";
const BUFFER: usize = 1 << 18;

impl DiskStore {
    /// Keeps blocks `first` to `last` and their proofs before epoch `epoch` begins with dropping them.
    ///
    /// # Errors
    /// `DiskFull`, after which nothing is there that was not before; poison.
    pub(super) fn quarantine(
        &self,
        chain: Metadata,
        first: BlockNumber,
        last: BlockNumber,
        epoch: u32,
    ) -> Result<(), StoreError> {
        let dir = self.disk.dir(DIR).map_err(StoreError::io("make", self.disk.path(DIR)))?;
        self.disk.sync_dir().map_err(StoreError::sync_failed(self.disk.path(DIR)))?;
        let name = format!("blocks-{first:010}-{last:010}-epoch-{epoch:010}.export");
        let unfinished = format!("{name}{UNFINISHED}");
        let written = self.write_quarantine(&*dir, &unfinished, &Head { chain, first, last: Some(last) });
        if written.is_err() {
            drop(dir.remove(&unfinished));
        }
        written?;
        let path = dir.path(&name);
        dir.rename(&unfinished, &name).map_err(StoreError::io("name", &path))?;
        dir.sync_dir().map_err(StoreError::sync_failed(path))
    }

    fn write_quarantine(&self, dir: &dyn Disk, name: &str, head: &Head) -> Result<(), StoreError> {
        let path = dir.path(name);
        let file = dir.create(name).map_err(StoreError::io("make", &path))?;
        let failed = |error| match error {
            ArchiveError::Io { source, .. } => StoreError::io("write", &path)(source),
            other => StoreError::io("write", &path)(io::Error::other(other)),
        };
        let out = BufWriter::with_capacity(BUFFER, Appending { file: Arc::clone(&file), at: 0 });
        let mut archive = archive::Writer::begin(out, head).map_err(failed)?;
        let last = head.last.unwrap_or(head.first).get();
        for number in (head.first.get()..=last).map(BlockNumber::new) {
            if let Some(block) = whole(self.media.read_block(number))? {
                archive.block(number, &block).map_err(failed)?;
            }
            if let Some(proof) = self.kept_proof(number)? {
                archive.proof(number, &proof).map_err(failed)?;
            }
        }
        archive.finish().map_err(failed)?;
        file.sync().map_err(StoreError::sync_failed(&path))
    }

    fn kept_proof(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, StoreError> {
        let is_held = self.progress().proofs.holds(number);
        if is_held { whole(self.media.read_proof(number)) } else { Ok(None) }
    }
}

/// What was read, unless it is damaged.
fn whole(read: Result<Vec<u8>, StoreError>) -> Result<Option<Vec<u8>>, StoreError> {
    match read {
        Err(error) if error.is_damage() => Ok(None),
        read => read.map(Some),
    }
}

/// Removes files that were being written when the process ended.
pub(super) fn remove_unfinished(disk: &dyn Disk) -> Result<(), StoreError> {
    let has_dir = disk.list().map_err(StoreError::io("list", disk.path("")))?.iter().any(|name| name == DIR);
    if !has_dir {
        return Ok(());
    }
    let dir = disk.dir(DIR).map_err(StoreError::io("open", disk.path(DIR)))?;
    let names = dir.list().map_err(StoreError::io("list", dir.path("")))?;
    let unfinished = names.iter().filter(|name| name.ends_with(UNFINISHED));
    unfinished
        .into_iter()
        .try_for_each(|name| dir.remove(name).map_err(StoreError::io("remove", dir.path(name))))
}

struct Appending {
    file: Arc<dyn DiskFile>,
    at: u64,
}

impl Write for Appending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
