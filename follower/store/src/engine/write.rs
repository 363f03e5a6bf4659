//! Writing and publishing: what is written is pending until the sync that covers it, and readable after.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use super::{DiskStore, further::FurtherMedia};
use crate::{
    BlockHash, BlockNumber, HashedBlock, StoreError,
    index::Applied,
    manifest::Manifest,
    position::Position,
    record::{Owner, owner_of},
    writer::{Draft, LogWriter},
};

/// What only one at a time may have.
pub(super) struct Writer {
    pub(super) blocks: LogWriter,
    pub(super) proofs: LogWriter,
    /// Written, but not yet synced.
    pub(super) pending_blocks: Vec<Applied>,
    pub(super) pending_proofs: Vec<Applied>,
    pub(super) further: FurtherMedia,
    pub(super) manifest: Manifest,
    /// Where block log and proof log ended at opening, if something lay behind that must never count.
    pub(super) tails: [Option<Position>; 2],
    /// Whether the epoch of this opening is on disk; nothing is written before it is.
    pub(super) has_begun: bool,
    /// Rolls of both logs when the manifest was last replaced, and when that was.
    pub(super) checkpointed: (u64, Instant),
    /// The first poison, which everybody may see.
    pub(super) poison: Arc<OnceLock<String>>,
}

impl Writer {
    /// Remembers the first poison, whoever caused it.
    pub(super) fn note<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result
            && error.is_poison()
        {
            self.poison.get_or_init(|| error.to_string());
        }
        result
    }

    fn is_poisoned(&self) -> bool {
        self.poison.get().is_some()
    }

    pub(super) fn has_pending_proof(&self, number: BlockNumber) -> bool {
        self.pending_proofs.iter().any(|pending| pending.number == number)
    }

    /// Whether nothing waits for a sync, so that the manifest may be replaced at once.
    pub(super) fn may_mend(&self) -> bool {
        !self.is_poisoned() && self.pending_blocks.is_empty() && self.pending_proofs.is_empty()
    }

    pub(super) fn rolls(&self) -> u64 {
        self.blocks.rolls + self.proofs.rolls
    }

    pub(super) fn is_checkpoint_due(&self, now: Instant, every: Duration) -> bool {
        let (rolls, at) = self.checkpointed;
        rolls != self.rolls() || now.saturating_duration_since(at) >= every
    }
}

impl DiskStore {
    pub(super) fn apply_now(
        &self,
        writer: &mut Writer,
        first: BlockNumber,
        blocks: &[HashedBlock<'_>],
    ) -> Result<(), StoreError> {
        self.begin_epoch(writer)?;
        let drafts: Vec<_> = numbered(first, blocks).collect();
        let count = drafts.last().map_or(first.get(), |last| last.number.next().get());
        self.media.index.reserve(count)?;
        let durable = self.progress().durable;
        writer.further.catch_up(&self.media, durable)?;
        writer.further.reserve(count)?;
        let places = writer.blocks.append(&drafts)?;
        let written = drafts.iter().zip(places);
        let written = written.map(|(draft, place)| Applied { number: draft.number, place, hash: draft.hash });
        writer.pending_blocks.extend(written);
        writer.further.keep(blocks);
        self.progress_mut().applied = count;
        Ok(())
    }

    pub(super) fn put_now(
        &self,
        writer: &mut Writer,
        number: BlockNumber,
        proof: &[u8],
    ) -> Result<(), StoreError> {
        self.begin_epoch(writer)?;
        let pending = writer.pending_blocks.iter().find(|block| block.number == number);
        let block = pending.map_or_else(|| self.media.kept(number), |block| Ok(*block))?;
        self.media.proof_places.reserve(number.next().get())?;
        let hash = BlockHash::of(proof);
        let draft = Draft { number, owner: owner_of(&block.hash), hash, payload: proof };
        let places = writer.proofs.append(&[draft])?;
        writer.pending_proofs.extend(places.into_iter().map(|place| Applied { place, ..block }));
        Ok(())
    }

    pub(super) fn sync_now(&self, writer: &mut Writer) -> Result<(), StoreError> {
        writer.blocks.sync()?;
        let blocks = std::mem::take(&mut writer.pending_blocks);
        self.media.index.apply(&blocks).map_err(StoreError::into_poison)?;
        writer.further.apply(&blocks)?;
        self.progress_mut().publish(&blocks);
        writer.proofs.sync()?;
        let proofs = std::mem::take(&mut writer.pending_proofs);
        for proof in &proofs {
            let entry = proof.place.encode(proof.number, &proof.hash);
            self.media.proof_places.write(proof.number.get(), &[entry]).map_err(StoreError::into_poison)?;
        }
        let mut progress = self.progress_mut();
        proofs.iter().for_each(|proof| progress.proofs.insert(proof.number));
        Ok(())
    }
}

fn numbered<'a>(first: BlockNumber, blocks: &'a [HashedBlock<'a>]) -> impl Iterator<Item = Draft<'a>> {
    let numbers = std::iter::successors(Some(first), |number| Some(number.next()));
    numbers.zip(blocks).map(|(number, block)| Draft {
        number,
        owner: Owner::default(),
        hash: block.hash(),
        payload: block.bytes(),
    })
}
