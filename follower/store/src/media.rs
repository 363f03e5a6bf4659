//! The logs and the indexes derived from them: opened, cut and synced together.

use std::sync::Arc;

use crate::{
    BlockNumber, Buffers, StoreError,
    index::{Applied, BlockIndex},
    io::Disk,
    log::Log,
    manifest::{Checkpoint, Manifest},
    place::{self, Place},
    record::{Kind, owner_of},
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
    pub(crate) fn open(disk: &Arc<dyn Disk>, manifest: &Manifest, growth: u32) -> Result<Self, StoreError> {
        let (buffers, id) = (Buffers::default(), manifest.id().unwrap_or_default());
        let log = |kind, name| Arc::new(Log::new(disk, kind, name, id, buffers.clone()));
        let proof_places = Table::open(disk, "proof-places.idx", growth)?;
        let index = BlockIndex::open(disk, growth)?;
        let (blocks, proofs) = (log(Kind::Block, "blocks"), log(Kind::Proof, "proofs"));
        let media = Self { blocks, proofs, index, proof_places };
        media.set_voids(manifest);
        Ok(media)
    }

    /// Takes the records for void that the manifest says are.
    pub(crate) fn set_voids(&self, manifest: &Manifest) {
        self.blocks.set_voids(&manifest.void_blocks);
        self.proofs.set_voids(&manifest.void_proofs);
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

    /// Place and hash of a block, by the log where the indexes do not know it.
    ///
    /// # Errors
    /// `Damaged` if the log does not either; file errors.
    pub(crate) fn kept(&self, number: BlockNumber) -> Result<Applied, StoreError> {
        match self.index.get(number) {
            Ok(block) => Ok(block),
            entry => self.examine(number, entry)?.kept.ok_or_else(|| self.index.damaged(number)),
        }
    }

    /// Whether the index knows a proof of that block.
    ///
    /// # Errors
    /// File errors.
    pub(crate) fn has_proof(&self, number: BlockNumber) -> Result<bool, StoreError> {
        Ok(recover::proof_place(self, number)?.is_some())
    }

    /// The proof of a block, if it is that of the very block held.
    ///
    /// # Errors
    /// `Damaged` if it is not; file errors.
    pub(crate) fn read_proof(&self, number: BlockNumber) -> Result<Vec<u8>, StoreError> {
        let entry = self.proof_places.read(number.get())?;
        Ok(self.proof_at(&self.kept(number)?, &entry)?.1)
    }

    /// The same as the disk has it now, past the cache, and where its record is.
    ///
    /// # Errors
    /// As those of `read_proof`.
    pub(crate) fn reread_proof(&self, block: &Applied) -> Result<(Place, Vec<u8>), StoreError> {
        let entry = self.proof_places.reread(block.number.get())?;
        self.proof_at(block, &entry)
    }

    /// Blanks the entry of a proof.
    ///
    /// # Errors
    /// File errors.
    pub(crate) fn forget_proof(&self, number: BlockNumber) -> Result<(), StoreError> {
        self.proof_places.write(number.get(), &[[0; place::ENTRY]])
    }

    fn proof_at(&self, block: &Applied, entry: &[u8; place::ENTRY]) -> Result<(Place, Vec<u8>), StoreError> {
        let Applied { number, hash, .. } = *block;
        let place = Place::decode(entry, number, &hash);
        let place = place.ok_or_else(|| self.proof_places.damaged(number.get()))?;
        let (header, proof) = self.proofs.read_record(place)?;
        if (header.number, header.owner) == (number, owner_of(&hash)) {
            return Ok((place, proof));
        }
        Err(self.proofs.damaged(place.at, "the record is of another block"))
    }
}
