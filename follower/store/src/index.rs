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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) number: BlockNumber,
    pub(crate) place: Place,
    pub(crate) hash: BlockHash,
}

/// Place index and hash index, which vouch for each other.
pub(crate) struct BlockIndex {
    /// Number to place: 16 bytes a block.
    places: Table<{ place::ENTRY }>,
    /// Number to BLAKE3: 32 bytes a block.
    hashes: Table<32>,
}

impl BlockIndex {
    pub(crate) const PLACES: &str = "places.idx";
    pub(crate) const HASHES: &str = "hashes.idx";

    /// Opens both; files grow by `growth` entries.
    pub(crate) fn open(disk: &Arc<dyn Disk>, growth: u32) -> Result<Self, StoreError> {
        let places = Table::open(disk, Self::PLACES, growth)?;
        Ok(Self { places, hashes: Table::open(disk, Self::HASHES, growth)? })
    }

    /// Makes sure of the space of the first `count` blocks.
    pub(crate) fn reserve(&self, count: u32) -> Result<(), StoreError> {
        self.places.reserve(count).and_then(|()| self.hashes.reserve(count))
    }

    /// Takes blocks that follow each other and are synced in the log. Taking one again changes nothing.
    pub(crate) fn apply(&self, blocks: &[Applied]) -> Result<(), StoreError> {
        let Some(first) = blocks.first().map(|block| block.number.get()) else { return Ok(()) };
        let places: Vec<_> =
            blocks.iter().map(|block| block.place.encode(block.number, &block.hash)).collect();
        let hashes: Vec<_> = blocks.iter().map(|block| *block.hash.as_bytes()).collect();
        self.places.write(first, &places).and_then(|()| self.hashes.write(first, &hashes))
    }

    /// Makes what was applied and cut durable.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.places.sync().and_then(|()| self.hashes.sync())
    }

    /// Forgets every block from number `count` on.
    pub(crate) fn cut(&self, count: u32) -> Result<(), StoreError> {
        self.places.clear_from(count).and_then(|()| self.hashes.clear_from(count))
    }

    /// Place and hash of a published block.
    ///
    /// # Errors
    /// `Damaged` when the two indexes do not agree.
    pub(crate) fn get(&self, number: BlockNumber) -> Result<Applied, StoreError> {
        let n = number.get();
        let block = Self::join(number, &self.places.read(n)?, self.hashes.read(n)?);
        block.ok_or_else(|| self.damaged(number))
    }

    /// The entry of a block's place, unchecked, if no disk need be waited for.
    pub(crate) fn place_at_hand(&self, number: BlockNumber) -> Option<[u8; place::ENTRY]> {
        self.places.read_at_hand(number.get())
    }

    /// The same as the disk has it now, past the cache.
    ///
    /// # Errors
    /// As those of `get`.
    pub(crate) fn reread(&self, number: BlockNumber) -> Result<Applied, StoreError> {
        let n = number.get();
        let block = Self::join(number, &self.places.reread(n)?, self.hashes.reread(n)?);
        block.ok_or_else(|| self.damaged(number))
    }

    /// What the hash index says of a block, whether or not anything vouches for it.
    ///
    /// # Errors
    /// File errors.
    pub(crate) fn raw_hash(&self, number: BlockNumber) -> Result<BlockHash, StoreError> {
        self.hashes.reread(number.get()).map(BlockHash::from_bytes)
    }

    /// That the two indexes do not agree on a block.
    pub(crate) fn damaged(&self, number: BlockNumber) -> StoreError {
        self.places.damaged(number.get())
    }

    fn join(number: BlockNumber, place: &[u8; place::ENTRY], hash: [u8; 32]) -> Option<Applied> {
        let hash = BlockHash::from_bytes(hash);
        Place::decode(place, number, &hash).map(|place| Applied { number, place, hash })
    }
}
