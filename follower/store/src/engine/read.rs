//! Reading what is published: verified, without the writer, and again where something was cut meanwhile.

use super::DiskStore;
use crate::{BlockHash, BlockNumber, StoreError, recover, store::len_of};

impl DiskStore {
    pub(super) fn read_block(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, StoreError> {
        loop {
            let cuts = self.progress().cuts;
            if !self.is_durable(number) {
                return Ok(None);
            }
            if self.is_damaged(number) {
                return Err(self.waits(number));
            }
            let read = self.read_block_once(number, cuts);
            if self.progress().cuts == cuts || read.is_ok() {
                return read.map(Some);
            }
        }
    }

    fn read_block_once(&self, number: BlockNumber, cuts: u64) -> Result<Vec<u8>, StoreError> {
        let entry = self.media.index.get(number);
        if let Ok(Ok(bytes)) = entry.as_ref().map(|block| self.media.blocks.read_block(block)) {
            return Ok(bytes);
        }
        let examined = self.media.examine(number, entry)?;
        if examined.payload.is_err() {
            self.mark(number, cuts);
        }
        self.suspect(number);
        examined.payload
    }

    /// That a block is known to be damaged.
    fn waits(&self, number: BlockNumber) -> StoreError {
        let entry = self.media.index.get(number);
        let detail = format!("block {number} is damaged here, and waits to be fetched again");
        entry.map_or_else(|error| error, |block| self.media.blocks.damaged(block.place.at, &detail))
    }

    pub(super) fn read_proof(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, StoreError> {
        loop {
            let cuts = self.progress().cuts;
            if !self.progress().proofs.holds(number) {
                return Ok(None);
            }
            let read = self.media.read_proof(number);
            if read.is_ok() {
                return read.map(Some);
            }
            if self.progress().cuts == cuts {
                if read.as_ref().is_err_and(StoreError::is_damage) {
                    self.unprove(number, cuts);
                    self.suspect(number);
                }
                return read.map(Some);
            }
        }
    }

    /// A block of at most `longest` bytes that is neither damaged nor on its way to memory.
    pub(super) fn read_block_at_hand(&self, number: BlockNumber, longest: u32) -> Option<Vec<u8>> {
        let cuts = {
            let progress = self.progress();
            let sound = number.get() < progress.durable && !progress.damaged.contains(number.get());
            sound.then_some(progress.cuts)?
        };
        let entry = self.media.index.place_at_hand(number)?;
        let bytes = self.media.blocks.block_at_hand(number, &entry, longest)?;
        (self.progress().cuts == cuts).then_some(bytes)
    }

    /// By the index; by the block itself where that is damaged.
    pub(super) fn len_of_block(&self, number: BlockNumber) -> Result<Option<u32>, StoreError> {
        match self.media.index.get(number) {
            _ if !self.is_durable(number) => Ok(None),
            Ok(block) => Ok(Some(block.place.len)),
            Err(_) => Ok(self.read_block(number)?.map(len_of)),
        }
    }

    /// By the index; by the proof itself where that is damaged.
    pub(super) fn len_of_proof(&self, number: BlockNumber) -> Result<Option<u32>, StoreError> {
        match recover::proof_place(&self.media, number) {
            _ if !self.progress().proofs.holds(number) => Ok(None),
            Ok(Some((place, _))) => Ok(Some(place.len)),
            _ => Ok(self.read_proof(number)?.map(len_of)),
        }
    }

    pub(super) fn read_hash(&self, number: BlockNumber) -> Option<BlockHash> {
        let (durable, tip_hash) = {
            let progress = self.progress();
            (BlockNumber::last_of(progress.durable)?, progress.tip_hash)
        };
        if number == durable && tip_hash.is_some() {
            return tip_hash;
        }
        if number > durable {
            return None;
        }
        match self.media.index.get(number) {
            Ok(block) => Some(block.hash),
            entry => self.media.examine(number, entry).ok()?.kept.map(|block| block.hash),
        }
    }
}
