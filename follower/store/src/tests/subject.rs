//! A store under test with a medium beside it, on its disk.

use std::{collections::BTreeSet, sync::Arc};

use super::{SMALL, sim::SimDisk, tally::Tally, try_open_tallied};
use crate::{BlockStore as _, DiskStore, Migration, StoreError, manifest::Manifest};

pub(super) struct Subject {
    disk: SimDisk,
    open: Option<(DiskStore, Arc<Tally>)>,
}

impl Subject {
    pub(super) fn open(disk: &SimDisk) -> Result<Self, StoreError> {
        let open = Some(try_open_tallied(disk, SMALL, Arc::default())?);
        Ok(Self { disk: disk.clone(), open })
    }

    /// A store as the release before makes it.
    pub(super) fn open_old(disk: &SimDisk) -> Result<Self, StoreError> {
        drop(Self::open(disk)?);
        let manifest = Manifest::load(disk)?.expect("there");
        Manifest { version: 1, damaged: None, media: None, proofs: None, ..manifest }.replace(disk)?;
        Self::open(disk)
    }

    pub(super) fn disk(&self) -> &SimDisk {
        &self.disk
    }

    pub(super) fn store(&self) -> &DiskStore {
        &self.open.as_ref().expect("open").0
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.open.as_ref().expect("open").1
    }

    pub(super) fn damaged(&self) -> BTreeSet<u32> {
        self.store().damaged().into_iter().map(|number| number.get()).collect()
    }

    /// Whether it is of the version that keeps damage in its metadata.
    pub(super) fn is_new(&self) -> bool {
        Manifest::load(&self.disk).expect("readable").expect("there").version > 1
    }

    pub(super) fn migrate(&mut self) -> Result<(), StoreError> {
        if self.is_new() {
            return Ok(());
        }
        self.open = None;
        let shared = Arc::new(self.disk.clone());
        let store = DiskStore::open_on(shared.clone(), SMALL, Vec::new(), None)?;
        let mut migration = Migration::of(shared, store)?;
        migration.step(500)?;
        migration.commit()?;
        self.open = Some(try_open_tallied(&self.disk, SMALL, Arc::default())?);
        Ok(())
    }
}
