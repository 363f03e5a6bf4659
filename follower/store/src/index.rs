//! What is where, in memory: built from the logs on open, and what the tips are computed from. Does no I/O.

use crate::{
    BlockNumber, Tips,
    log::Place,
    record::{HEADER, Kind},
    scan::{Entry, Scan},
};

/// The places of all blocks and proofs.
#[derive(Default)]
pub(crate) struct Index {
    /// Of every applied block, from genesis on.
    blocks: Vec<Place>,
    /// How many of them are published.
    published: usize,
    /// Of every published proof, by number.
    proofs: Vec<Option<Place>>,
    proven: Option<BlockNumber>,
}

impl Index {
    /// The index of two logs that are durable as scanned. Says at which byte the block log stops being a chain, if
    /// it does.
    pub(crate) fn of(blocks: &Scan, proofs: &Scan) -> Result<Self, u64> {
        let mut index = Self::default();
        for entry in &blocks.entries {
            if entry.header.kind != Kind::Data || entry.header.number.index() != index.blocks.len() {
                return Err(entry.payload_at - HEADER as u64);
            }
            index.blocks.push(place(entry));
        }
        index.publish();
        proofs.entries.iter().for_each(|entry| index.replay_proof(entry));
        index.advance_proven();
        Ok(index)
    }

    fn replay_proof(&mut self, entry: &Entry) {
        match entry.header.kind {
            Kind::Data => self.set_proof(entry.header.number, place(entry)),
            Kind::Cut => self.proofs.truncate(entry.header.number.index() + 1),
        }
    }

    /// Whether proofs are held of blocks that are not: the trace of a crash between the two logs' writes.
    pub(crate) fn has_proofs_beyond_tip(&self) -> bool {
        self.proofs.len() > self.blocks.len()
    }

    pub(crate) fn tips(&self) -> Tips {
        let applied = BlockNumber::last_of(self.blocks.len());
        Tips { applied, published: BlockNumber::last_of(self.published), proven: self.proven }
    }

    pub(crate) fn published_block(&self, number: BlockNumber) -> Option<Place> {
        self.blocks[..self.published].get(number.index()).copied()
    }

    pub(crate) fn proof(&self, number: BlockNumber) -> Option<Place> {
        self.proofs.get(number.index()).copied().flatten()
    }

    pub(crate) fn apply(&mut self, places: Vec<Place>) {
        self.blocks.extend(places);
    }

    /// Everything applied is synced now.
    pub(crate) fn publish(&mut self) {
        self.published = self.blocks.len();
    }

    /// The proofs in `synced` are published with this.
    pub(crate) fn publish_proofs(&mut self, synced: impl IntoIterator<Item = (BlockNumber, Place)>) {
        synced.into_iter().for_each(|(number, place)| self.set_proof(number, place));
        self.advance_proven();
    }

    fn set_proof(&mut self, number: BlockNumber, place: Place) {
        if self.proofs.len() <= number.index() {
            self.proofs.resize(number.index() + 1, None);
        }
        self.proofs[number.index()] = Some(place);
    }

    /// Drops everything above `last`, and says where in the block log it starts.
    pub(crate) fn truncate(&mut self, last: BlockNumber) -> Option<u64> {
        let kept = last.index() + 1;
        let dropped_at = self.blocks.get(kept).map(|place| place.offset - HEADER as u64);
        self.blocks.truncate(kept);
        self.published = self.published.min(kept);
        self.proofs.truncate(kept);
        self.proven = self.proven.filter(|proven| *proven <= last);
        self.proven = self.proven.or_else(|| self.recount_proven());
        dropped_at
    }

    fn advance_proven(&mut self) {
        self.proven = self.recount_proven();
    }

    /// Counts on from what is proven already.
    fn recount_proven(&self) -> Option<BlockNumber> {
        let mut proven = self.proven;
        let mut next = proven.unwrap_or(BlockNumber::GENESIS).next();
        while next.index() < self.published && self.proof(next).is_some() {
            proven = Some(next);
            next = next.next();
        }
        proven
    }
}

fn place(entry: &Entry) -> Place {
    Place { offset: entry.payload_at, len: entry.header.len, hash: entry.header.hash }
}
