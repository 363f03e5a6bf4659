//! One writer per data directory.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    path::Path,
};

use crate::StoreError;

const FILE: &str = "lock";

/// Holds the directory for as long as it lives; the system releases it with the process.
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the directory, or says that another process has it.
    pub(crate) fn take(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(StoreError::Io { action: "lock", path, source }),
        }
    }
}

/// Makes the directory if there is none, and those above it; each that was made counts once its parent is synced.
pub(crate) fn make_dir(dir: &Path) -> Result<(), StoreError> {
    let dir = std::path::absolute(dir).map_err(StoreError::io("find", dir))?;
    let missing: Vec<_> = dir.ancestors().take_while(|dir| !dir.is_dir()).collect();
    fs::create_dir_all(&dir).map_err(StoreError::io("make", &dir))?;
    missing.iter().rev().filter_map(|made| made.parent()).try_for_each(|parent| {
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(StoreError::sync_failed(parent))
    })
}
