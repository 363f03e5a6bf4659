//! A state of one's own, kept consistent with the chain: what a node's `apply_block` does, as one more medium.
//!
//! Here it is a ledger of how many bytes the chain has after each block. Run it with a directory to keep the store in.

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
};

use tidemark_store::{
    BlockNumber, BlockStore as _, Commitment, DiskStore, LoggedBlock, Medium, Metadata, StoreError, Table,
    io::Disk,
};

/// Entries by which the ledger's file grows.
const GROWTH: u32 = 1 << 12;

/// The state after block N is entry N: one more than the bytes of all blocks up to N, so that no entry is blank.
struct Ledger {
    after: Table<8>,
}

impl Ledger {
    fn open(disk: &Arc<dyn Disk>) -> Result<Self, StoreError> {
        Ok(Self { after: Table::open(disk, "ledger.idx", GROWTH)? })
    }

    /// Bytes of the first `count` blocks.
    fn bytes_of(&self, count: u32) -> Result<u64, StoreError> {
        let Some(last) = count.checked_sub(1) else { return Ok(0) };
        Ok(u64::from_le_bytes(self.after.read(last)?).saturating_sub(1))
    }

    /// The state transition; a real one would check the block against the state, too.
    fn apply_block(bytes_before: u64, block: &LoggedBlock<'_>) -> u64 {
        bytes_before + block.bytes.len() as u64
    }
}

impl Medium for Ledger {
    fn name(&self) -> &str {
        "ledger"
    }

    fn durable(&self) -> Option<u32> {
        self.after.written().ok()
    }

    fn reserve(&self, count: u32) -> Result<(), StoreError> {
        self.after.reserve(count)
    }

    fn apply(&self, blocks: &[LoggedBlock<'_>]) -> Result<(), StoreError> {
        let Some(first) = blocks.first().map(|block| block.number.get()) else { return Ok(()) };
        let mut bytes = self.bytes_of(first)?;
        let mut entries = Vec::with_capacity(blocks.len());
        for block in blocks {
            bytes = Self::apply_block(bytes, block);
            entries.push((bytes + 1).to_le_bytes());
        }
        self.after.write(first, &entries)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.after.sync()
    }

    fn cut(&self, count: u32) -> Result<(), StoreError> {
        self.after.clear_from(count)
    }
}

fn open(dir: &Path) -> Result<(DiskStore, Arc<Ledger>), StoreError> {
    let ledger = Arc::new(std::sync::OnceLock::new());
    let made = Arc::clone(&ledger);
    let store = DiskStore::builder().medium_on(move |disk| {
        let ledger = Arc::new(Ledger::open(disk)?);
        Ok(Arc::clone(made.get_or_init(|| ledger)) as Arc<dyn Medium>)
    });
    let store = store.open(dir)?;
    let ledger = ledger.get().map(Arc::clone);
    ledger
        .map(|ledger| (store, ledger))
        .ok_or(StoreError::Medium { detail: "the ledger was not made".to_owned() })
}

/// Adds three blocks to the store in `dir`, and returns how many bytes the chain has then.
///
/// # Errors
/// What the store says.
pub(crate) fn run(dir: &Path) -> Result<u64, StoreError> {
    let (store, ledger) = open(dir)?;
    store.initialise(Metadata::new("opaque", Commitment::from_bytes([1; 32])))?;
    let next = BlockNumber::after(store.tips().durable);
    store.apply(next, &[b"one", b"three", b"eleven"])?;
    store.sync()?;
    ledger.bytes_of(BlockNumber::after(store.tips().durable).get())
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir: PathBuf = std::env::args_os().nth(1).ok_or("name a directory to keep the store in")?.into();
    println!("the chain in {} has {} bytes now", dir.display(), run(&dir)?);
    Ok(())
}
