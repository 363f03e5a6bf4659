//! The logs and what is derived from them: opened, cut and synced together.

use std::sync::Arc;

use crate::{
    BlockNumber, StoreError,
    index::BlockIndex,
    io::Disk,
    log::Log,
    manifest::Checkpoint,
    place,
    record::{Kind, StoreId, owner_of},
    recover,
    table::Table,
};

/// Everything that holds data.
pub(super) struct Media {
    pub(super) blocks: Arc<Log>,
    pub(super) proofs: Arc<Log>,
    pub(super) index: BlockIndex,
    pub(super) proof_places: Table<{ place::ENTRY }>,
}

impl Media {
    /// Opens all; index files grow by `growth` entries.
    pub(super) fn open(disk: &Arc<dyn Disk>, id: StoreId, growth: u32) -> Result<Self, StoreError> {
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
    pub(super) fn cut(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.blocks.remove_after(checkpoint.blocks_end.segment)?;
        self.index.cut(checkpoint.blocks)?;
        self.proof_places.clear_from(checkpoint.blocks)
    }

    /// Makes what is derived from the logs durable.
    pub(super) fn sync_derived(&self) -> Result<(), StoreError> {
        self.index.sync()?;
        self.proof_places.sync()
    }

    /// The proof of a block, if it is that of the very block held.
    ///
    /// # Errors
    /// `Damaged` if it is not; file errors.
    pub(super) fn read_proof(&self, number: BlockNumber) -> Result<Vec<u8>, StoreError> {
        let found = recover::proof_place(&self.proof_places, &self.index, number)?;
        let (place, block) = found.ok_or_else(|| self.proof_places.damaged(number.get()))?;
        let (header, proof) = self.proofs.read_record(place)?;
        if (header.number, header.owner) == (number, owner_of(&block)) {
            return Ok(proof);
        }
        Err(self.proofs.damaged(place.at, "the record is of another block"))
    }
}
