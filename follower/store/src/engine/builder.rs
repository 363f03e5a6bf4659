//! What a store is opened with.

use std::{path::Path, sync::Arc};

use super::{DiskStore, Options};
use crate::{
    Medium, StoreError,
    io::{Disk, RealDisk},
    lock::{DirLock, make_dir},
};

/// Makes a medium on the store's own disk.
pub(crate) type MediumFactory = Box<dyn FnOnce(&Arc<dyn Disk>) -> Result<Arc<dyn Medium>, StoreError>>;

/// What a store is opened with; [`DiskStore::builder`] makes one.
#[derive(Default)]
pub struct StoreBuilder {
    options: Options,
    media: Vec<MediumFactory>,
}

impl StoreBuilder {
    /// The store has `volume` bytes of a file system that is shared with others; none: all of it.
    #[must_use]
    pub fn volume(mut self, volume: Option<u64>) -> Self {
        self.options.volume = volume;
        self
    }

    /// Blocks of another format are refused, before any medium sees them.
    #[must_use]
    pub fn format(mut self, format: &'static str) -> Self {
        self.options.format = Some(format);
        self
    }

    /// One more medium that follows the block log.
    #[must_use]
    pub fn medium(self, medium: Arc<dyn Medium>) -> Self {
        self.medium_on(move |_| Ok(medium))
    }

    /// One more medium, made on the store's own disk: its files lie in the data directory, under names of its own that
    /// end in neither `.log` nor `.new`.
    #[must_use]
    pub fn medium_on(
        mut self,
        make: impl FnOnce(&Arc<dyn Disk>) -> Result<Arc<dyn Medium>, StoreError> + 'static,
    ) -> Self {
        self.media.push(Box::new(make));
        self
    }

    /// Opens the store in `dir`, making it if there is none, and recovers it: a torn tail is cut, everything past the
    /// checkpoint is read, verified, written again and synced before it counts, and each medium follows.
    ///
    /// # Errors
    /// `Locked`, `OtherFormat`, `DurableLost`, `Damaged`, `BadMetadata`, `UnknownVersion`, what a medium says, or what the
    /// file system says.
    pub fn open(self, dir: &Path) -> Result<DiskStore, StoreError> {
        make_dir(dir)?;
        let lock = DirLock::take(dir)?;
        DiskStore::open_on(Arc::new(RealDisk::new(dir)), self.options, self.media, Some(lock))
    }
}
