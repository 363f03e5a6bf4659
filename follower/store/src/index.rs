//! What is derived from the block log: where each block lies, and what it hashes to.
//!
//! Entries are written for synced blocks only, so that none can outlive its block. The log decides; a medium that
//! lost something is rolled forward from it.

use std::sync::Arc;

use crate::{
    BlockHash, BlockNumber, StoreError,
    io::Disk,
    place::{self, Place},
    table::Table,
};

/// A block that is synced in the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Applied {
    pub(crate) number: BlockNumber,
    pub(crate) place: Place,
    pub(crate) hash: BlockHash,
}

/// Something kept consistent with the block log, block by block.
pub(crate) trait Medium: Send + Sync {
    /// Makes sure of the space of the first `count` blocks.
    fn reserve(&self, count: u32) -> Result<(), StoreError>;
    /// Takes blocks that follow each other and are synced in the log. Taking one again changes nothing.
    fn apply(&self, blocks: &[Applied]) -> Result<(), StoreError>;
    /// Makes what was applied durable.
    fn sync(&self) -> Result<(), StoreError>;
    /// Forgets every block from `count` on.
    fn cut(&self, count: u32) -> Result<(), StoreError>;
}

/// Number to place: 16 bytes a block.
struct Places(Table<{ place::ENTRY }>);

/// Number to BLAKE3: 32 bytes a block.
struct Hashes(Table<32>);

impl Medium for Places {
    fn reserve(&self, count: u32) -> Result<(), StoreError> {
        self.0.reserve(count)
    }

    fn apply(&self, blocks: &[Applied]) -> Result<(), StoreError> {
        let entries: Vec<_> =
            blocks.iter().map(|block| block.place.encode(block.number, &block.hash)).collect();
        self.0.write(first(blocks), &entries)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.0.sync()
    }

    fn cut(&self, count: u32) -> Result<(), StoreError> {
        self.0.clear_from(count)
    }
}

impl Medium for Hashes {
    fn reserve(&self, count: u32) -> Result<(), StoreError> {
        self.0.reserve(count)
    }

    fn apply(&self, blocks: &[Applied]) -> Result<(), StoreError> {
        let entries: Vec<_> = blocks.iter().map(|block| *block.hash.as_bytes()).collect();
        self.0.write(first(blocks), &entries)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.0.sync()
    }

    fn cut(&self, count: u32) -> Result<(), StoreError> {
        self.0.clear_from(count)
    }
}

fn first(blocks: &[Applied]) -> u32 {
    blocks.first().map_or(0, |block| block.number.get())
}

/// Place index and hash index, which vouch for each other.
pub(crate) struct BlockIndex {
    places: Places,
    hashes: Hashes,
}

impl BlockIndex {
    pub(crate) const PLACES: &str = "places.idx";
    pub(crate) const HASHES: &str = "hashes.idx";

    /// Opens both; files grow by `growth` entries.
    pub(crate) fn open(disk: &Arc<dyn Disk>, growth: u32) -> Result<Self, StoreError> {
        let places = Places(Table::open(disk, Self::PLACES, growth)?);
        Ok(Self { places, hashes: Hashes(Table::open(disk, Self::HASHES, growth)?) })
    }

    /// Everything that follows the block log.
    pub(crate) fn media(&self) -> [&dyn Medium; 2] {
        [&self.places, &self.hashes]
    }

    /// Hands blocks that follow each other to every medium.
    pub(crate) fn apply(&self, blocks: &[Applied]) -> Result<(), StoreError> {
        self.media().into_iter().try_for_each(|medium| medium.apply(blocks))
    }

    /// Place and hash of a published block.
    ///
    /// # Errors
    /// `Damaged` when the two indexes do not agree.
    pub(crate) fn get(&self, number: BlockNumber) -> Result<Applied, StoreError> {
        let n = number.get();
        let block = Self::join(number, &self.places.0.read(n)?, self.hashes.0.read(n)?);
        block.ok_or_else(|| self.places.0.damaged(n))
    }

    fn join(number: BlockNumber, place: &[u8; place::ENTRY], hash: [u8; 32]) -> Option<Applied> {
        let hash = BlockHash::from_bytes(hash);
        Place::decode(place, number, &hash).map(|place| Applied { number, place, hash })
    }
}
