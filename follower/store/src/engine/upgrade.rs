//! What a migration needs of a store: to know of damage that was found before, and to become of another version.

use std::collections::BTreeMap;

use super::DiskStore;
use crate::{StoreError, manifest::Manifest, ranges::Ranges};

impl DiskStore {
    pub(crate) fn damaged_ranges(&self) -> Ranges {
        self.progress().damaged.clone()
    }

    /// Marks blocks that were found damaged before.
    pub(crate) fn note_damaged(&self, damaged: &Ranges) {
        let mut progress = self.progress_mut();
        let durable = progress.durable;
        damaged
            .iter()
            .filter(|number| *number < durable)
            .for_each(|number| progress.damaged.insert(number, number));
    }

    /// The manifest as it would be now in another version.
    pub(crate) fn manifest_of(&self, version: u32) -> Result<Manifest, StoreError> {
        let writer = self.writer()?;
        let (damaged, media) = (Some(Ranges::default()), Some(BTreeMap::new()));
        Ok(self.listing(&writer, Manifest { version, damaged, media, ..writer.manifest.clone() }))
    }

    /// Makes the directory one of another version, durably.
    pub(crate) fn upgrade(&self, version: u32) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let done = self.begin_epoch(&mut writer).and_then(|()| self.sync_now(&mut writer)).and_then(|()| {
            let checkpoint = self.reached(&writer);
            let (damaged, media) = (Some(Ranges::default()), Some(BTreeMap::new()));
            let manifest = Manifest { version, checkpoint, damaged, media, ..writer.manifest.clone() };
            self.replace_manifest(&mut writer, manifest)
        });
        writer.note(done)
    }
}
