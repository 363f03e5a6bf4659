//! Disks that are full or fail to sync.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{append, check_holds, number, open, payload, prove, published};
use crate::{
    BlockStore as _, DiskStore, StoreError,
    disk::{BLOCKS, PROOFS},
    file::{LogFile, open_log},
    lock::DirLock,
};

/// A real file whose writes and syncs fail on command; a failing write leaves half of its bytes.
struct FailingFile {
    file: fs::File,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    full: AtomicBool,
    sync: AtomicBool,
}

impl LogFile for FailingFile {
    fn len(&self) -> io::Result<u64> {
        LogFile::len(&self.file)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        LogFile::read_at(&self.file, into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.faults.full.load(Relaxed) {
            LogFile::write_at(&self.file, &bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        LogFile::write_at(&self.file, bytes, offset)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        LogFile::cut(&self.file, len)
    }

    fn sync(&self) -> io::Result<()> {
        if self.faults.sync.load(Relaxed) {
            return Err(io::Error::other("the disk is gone"));
        }
        LogFile::sync(&self.file)
    }
}

fn failing(dir: &Path) -> (DiskStore, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let file = |name| {
        let file = open_log(&dir.join(name)).expect("must open");
        Arc::new(FailingFile { file, faults: Arc::clone(&faults) })
    };
    let lock = DirLock::take(dir).expect("free");
    let store = DiskStore::recover(dir, lock, file(BLOCKS), file(PROOFS)).expect("must recover");
    (store, faults)
}

#[test]
fn a_full_disk_is_soft_and_applying_resumes() {
    let dir = published(2, &[]);
    let (store, faults) = failing(dir.path());
    let before = fs::metadata(dir.path().join(BLOCKS)).expect("there").len();
    faults.full.store(true, Relaxed);
    let refused = store.apply(number(2), &[&payload(2)]).expect_err("must refuse");
    assert!(refused.is_disk_full() && !refused.is_poison(), "{refused}");
    assert!(store.put_proof(number(1), b"proof").is_err());
    assert_eq!(fs::metadata(dir.path().join(BLOCKS)).expect("there").len(), before, "no half record stays");
    check_holds(&store, 2);
    faults.full.store(false, Relaxed);
    append(&store, 2..3);
    prove(&store, &[1]);
    store.sync().expect("must sync");
    drop(store);
    check_holds(&open(dir.path()), 3);
}

#[test]
fn a_failed_sync_publishes_nothing_and_ends_all_writing() {
    let dir = published(2, &[]);
    let (store, faults) = failing(dir.path());
    append(&store, 2..3);
    faults.sync.store(true, Relaxed);
    assert!(store.sync().expect_err("must fail").is_poison());
    faults.sync.store(false, Relaxed);
    check_holds(&store, 2);
    assert!(matches!(store.sync(), Err(StoreError::Poisoned)));
    assert!(matches!(store.apply(number(3), &[b"x"]), Err(StoreError::Poisoned)));
    assert!(matches!(store.put_proof(number(1), b"x"), Err(StoreError::Poisoned)));
}
