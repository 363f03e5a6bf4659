//! The logs and the indexes derived from them: opened, cut and synced together.

use std::sync::Arc;

use crate::{
    BlockNumber, StoreError,
    index::BlockIndex,
    io::Disk,
    log::Log,
    manifest::Checkpoint,
    place::{self, Place},
    record::{Kind, StoreId, owner_of},
    recover,
    table::Table,
};

/// Everything that holds data.
pub(crate) struct Media {
    pub(crate) blocks: Arc<Log>,
    pub(crate) proofs: Arc<Log>,
    pub(crate) index: BlockIndex,
    pub(crate) proof_places: Table<{ place::ENTRY }>,
}

impl Media {
    /// Opens all; index files grow by `growth` entries.
    pub(crate) fn open(disk: &Arc<dyn Disk>, id: StoreId, growth: u32) -> Result<Self, StoreError> {
        let log = |kind, name| Arc::new(Log::new(disk, kind, name, id));
        let proof_places = Table::open(disk, "proof-places.idx", growth)?;
        let index = BlockIndex::open(disk, growth)?;
        Ok(Self {
            blocks: log(Kind::Block, "blocks"),
            proofs: log(Kind::Proof, "proofs"),
            index,
            proof_places,
        })
    }

    /// Drops what lies behind the checkpoint. The block log's own segment needs no change: what follows there is of an
    /// earlier epoch.
    pub(crate) fn cut(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.blocks.remove_after(checkpoint.blocks_end.segment)?;
        self.index.cut(checkpoint.blocks)?;
        self.proof_places.clear_from(checkpoint.blocks)
    }

    /// Makes what is derived from the logs durable.
    pub(crate) fn sync_derived(&self) -> Result<(), StoreError> {
        self.index.sync()?;
        self.proof_places.sync()
    }

    /// The bytes of a block that was synced once, by the log where the indexes do not know it.
    ///
    /// # Errors
    /// `Damaged` if they are not what was published; file errors.
    pub(crate) fn read_block(&self, number: BlockNumber) -> Result<Vec<u8>, StoreError> {
        let entry = self.index.get(number);
        match entry.as_ref().map(|block| self.blocks.read_block(block)) {
            Ok(Ok(bytes)) => Ok(bytes),
            _ => self.examine(number, entry)?.payload,
        }
    }

    /// Whether the index knows a proof of that block.
    ///
    /// # Errors
    /// File errors.
    pub(crate) fn has_proof(&self, number: BlockNumber) -> Result<bool, StoreError> {
        Ok(recover::proof_place(&self.proof_places, &self.index, number)?.is_some())
    }

    /// The proof of a block, if it is that of the very block held.
    ///
    /// # Errors
    /// `Damaged` if it is not; file errors.
    pub(crate) fn read_proof(&self, number: BlockNumber) -> Result<Vec<u8>, StoreError> {
        let entry = self.proof_places.read(number.get())?;
        Ok(self.proof_at(number, &entry)?.1)
    }

    /// The same as the disk has it now, past the cache, and where its record is.
    ///
    /// # Errors
    /// As those of `read_proof`.
    pub(crate) fn reread_proof(&self, number: BlockNumber) -> Result<(Place, Vec<u8>), StoreError> {
        let entry = self.proof_places.reread(number.get())?;
        self.proof_at(number, &entry)
    }

    fn proof_at(
        &self,
        number: BlockNumber,
        entry: &[u8; place::ENTRY],
    ) -> Result<(Place, Vec<u8>), StoreError> {
        let found = recover::decode(entry, &self.index, number);
        let (place, block) = found.ok_or_else(|| self.proof_places.damaged(number.get()))?;
        let (header, proof) = self.proofs.read_record(place)?;
        if (header.number, header.owner) == (number, owner_of(&block)) {
            return Ok((place, proof));
        }
        Err(self.proofs.damaged(place.at, "the record is of another block"))
    }
}
