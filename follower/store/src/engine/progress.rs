//! How far the store has come, for readers. Pure.

use crate::{BlockHash, BlockNumber, Tips, index::Applied, proofs::ProofSet, ranges::Ranges};

/// How far the store has come, for readers.
pub(super) struct Progress {
    /// How many blocks are written.
    pub(super) applied: u32,
    /// How many of them are synced and indexed.
    pub(super) durable: u32,
    /// Of the published tip; none where it is damaged.
    pub(super) tip_hash: Option<BlockHash>,
    /// Those of them whose bytes are damaged, as far as is known.
    pub(super) damaged: Ranges,
    /// The published ones.
    pub(super) proofs: ProofSet,
    /// How often something was cut away since the store was opened.
    pub(super) cuts: u64,
}

impl Progress {
    pub(super) fn tips(&self) -> Tips {
        let durable = BlockNumber::last_of(self.durable);
        let published = match self.damaged.first() {
            Some(lowest) => BlockNumber::last_of(lowest.min(self.durable)),
            None => durable,
        };
        let proven = self.proofs.proven().min(published);
        Tips { applied: BlockNumber::last_of(self.applied), durable, published, proven }
    }

    pub(super) fn publish(&mut self, blocks: &[Applied]) {
        if let Some(last) = blocks.last() {
            self.durable = last.number.next().get();
            self.tip_hash = Some(last.hash);
        }
    }
}
