//! A medium of the tests' own: after each block, a number that every block before it has part in.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use crate::{BlockHash, LoggedBlock, Medium, StoreError, Table, io::Disk};

#[derive(Default)]
pub(super) struct Faults {
    pub(super) unusable: AtomicBool,
    pub(super) sync_fails: AtomicBool,
    pub(super) full: AtomicBool,
}

/// Entry N: BLAKE3 of entry N-1 and block N.
pub(super) struct Tally {
    after: Table<32>,
    pub(super) faults: Arc<Faults>,
    /// The first block and the count of each call.
    pub(super) taken: Mutex<Vec<(u32, usize)>>,
}

impl Tally {
    pub(super) const FILE: &str = "tally.idx";

    pub(super) fn open(disk: &Arc<dyn Disk>, faults: Arc<Faults>) -> Result<Arc<Self>, StoreError> {
        Ok(Arc::new(Self { after: Table::open(disk, Self::FILE, 8)?, faults, taken: Mutex::default() }))
    }

    /// What must be there after these blocks.
    pub(super) fn of<'a>(blocks: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
        blocks.into_iter().fold([0; 32], Self::next)
    }

    fn next(before: [u8; 32], block: &[u8]) -> [u8; 32] {
        *BlockHash::of(&[&before, block].concat()).as_bytes()
    }

    pub(super) fn count(&self) -> u32 {
        self.after.written().expect("readable")
    }

    pub(super) fn after(&self, count: u32) -> [u8; 32] {
        count.checked_sub(1).map_or([0; 32], |last| self.after.read(last).expect("readable"))
    }
}

impl Medium for Tally {
    fn name(&self) -> &str {
        "tally"
    }

    fn durable(&self) -> Option<u32> {
        (!self.faults.unusable.load(Relaxed)).then(|| self.after.written().expect("readable"))
    }

    fn reserve(&self, count: u32) -> Result<(), StoreError> {
        if self.faults.full.load(Relaxed) {
            return Err(StoreError::DiskFull { path: Self::FILE.into() });
        }
        self.after.reserve(count)
    }

    fn apply(&self, blocks: &[LoggedBlock<'_>]) -> Result<(), StoreError> {
        let first = blocks[0].number.get();
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).push((first, blocks.len()));
        let mut after = self.after(first);
        for (block, n) in blocks.iter().zip(first..) {
            assert_eq!((block.number.get(), block.hash), (n, BlockHash::of(block.bytes)));
            after = Self::next(after, block.bytes);
            self.after.write(n, &[after])?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        if self.faults.sync_fails.load(Relaxed) {
            return Err(StoreError::Medium { detail: "the tally is gone".to_owned() });
        }
        self.after.sync()
    }

    fn cut(&self, count: u32) -> Result<(), StoreError> {
        self.after.clear_from(count)
    }
}
