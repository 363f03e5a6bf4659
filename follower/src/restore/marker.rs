//! The file in a data directory that says: a restore was begun here and is not finished.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::fs::{self, File};

use super::RestoreError;

const FILE: &str = "restoring";

/// The marker of one data directory.
#[derive(Debug, Clone)]
pub struct Marker {
    dir: PathBuf,
}

impl Marker {
    /// The marker of that data directory.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// Whether a restore is unfinished.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.path().exists()
    }

    /// Sets it, durably: before the first block is copied.
    pub(super) async fn set(&self) -> Result<(), RestoreError> {
        if self.is_set() {
            return Ok(());
        }
        let made = async {
            File::create(self.path()).await?.sync_all().await?;
            self.sync_dir().await
        };
        made.await.map_err(|source| RestoreError::File { path: self.path(), source })
    }

    /// Removes it, durably: before the first block is made.
    pub(super) async fn clear(&self) -> Result<(), RestoreError> {
        let removed = async {
            match fs::remove_file(self.path()).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed.and(self.sync_dir().await),
            }
        };
        removed.await.map_err(|source| RestoreError::File { path: self.path(), source })
    }

    async fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir).await?.sync_all().await
    }
}
