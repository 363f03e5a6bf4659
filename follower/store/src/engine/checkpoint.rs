//! The manifest on its way to the disk: checkpoints, epochs, and the cuts that both begin and end with one.

use std::time::Instant;

use super::{DiskStore, progress::Progress, write::Writer};
use crate::{
    BlockNumber, StoreError,
    manifest::{Checkpoint, Manifest, PROOF_RUNS},
};

/// The most runs of damaged blocks that the manifest lists; what is between the highest counts as damaged then, until the
/// scrubber or a repair finds it whole.
const DAMAGED_RUNS: usize = 4096;

impl DiskStore {
    /// Syncs, and writes down up to where everything is durable, so that opening need not read what lies before.
    ///
    /// # Errors
    /// Poison.
    pub(crate) fn checkpoint(&self) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let done = self.sync_now(&mut writer).and_then(|_| self.checkpoint_now(&mut writer));
        writer.note(done)
    }

    /// Begins the epoch of this opening, and mends the blocks that opening met without a header; on a full disk later, when
    /// something is to be written, or when they are met again.
    pub(super) fn begin_if_there_is_space(&self, headless: &[BlockNumber]) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let begun = self.begin_epoch(&mut writer);
        let mended = begun.and_then(|()| {
            headless.iter().try_for_each(|number| self.mend(&mut writer, *number).map(|_| ()))?;
            if headless.is_empty() { Ok(()) } else { self.media.sync_derived() }
        });
        match mended {
            Err(error) if error.is_disk_full() => Ok(()),
            done => done,
        }
    }

    /// Begins a new epoch behind what was recovered, if that is not done.
    pub(super) fn begin_epoch(&self, writer: &mut Writer) -> Result<(), StoreError> {
        if writer.has_begun {
            return Ok(());
        }
        let (checkpoint, epoch) = (self.reached(writer), writer.manifest.next_epoch());
        let manifest = Manifest { checkpoint, epoch, cutting: false, ..writer.manifest.clone() };
        self.replace_manifest(writer, manifest.ending_at(writer.tails))?;
        writer.has_begun = true;
        Ok(())
    }

    /// Writes down how far everything is. What fails short of poison is tried again when the next one is due: the one
    /// before still stands, and what was published is published.
    pub(super) fn checkpoint_now(&self, writer: &mut Writer) -> Result<(), StoreError> {
        writer.checkpointed = (writer.rolls(), Instant::now());
        let checkpoint = self.reached(writer);
        let manifest = self.listing(writer, Manifest { checkpoint, ..writer.manifest.clone() });
        if manifest == writer.manifest || !writer.has_begun {
            return Ok(());
        }
        match self.replace_manifest(writer, manifest) {
            Err(error) if !error.is_poison() => Ok(()),
            replaced => replaced,
        }
    }

    /// Syncs the media first, for the manifest says what they hold.
    pub(super) fn replace_manifest(&self, writer: &mut Writer, manifest: Manifest) -> Result<(), StoreError> {
        self.media.sync_derived()?;
        writer.further.sync()?;
        let manifest = self.listing(writer, manifest);
        manifest.replace(&*self.disk)?;
        self.media.set_voids(&manifest);
        writer.manifest = manifest;
        Ok(())
    }

    /// A manifest with what is damaged of its blocks, and how far each medium can be trusted, if its version has that.
    pub(super) fn listing(&self, writer: &Writer, mut manifest: Manifest) -> Manifest {
        let count = manifest.checkpoint.blocks;
        if let Some(damaged) = &mut manifest.damaged {
            *damaged = self.progress().damaged.coarse(DAMAGED_RUNS);
        }
        if manifest.version > 1 {
            let mut proofs = self.progress().proofs.lowest(PROOF_RUNS);
            proofs.cut(count);
            manifest.proofs = Some(proofs);
        }
        if let Some(media) = &mut manifest.media {
            media.values_mut().for_each(|held| *held = count.min(*held));
            media.extend(writer.further.held(count));
        }
        manifest
    }

    /// What is synced and indexed. Everything written must be.
    pub(super) fn reached(&self, writer: &Writer) -> Checkpoint {
        let progress = self.progress();
        let (blocks_end, proofs_end) = (writer.blocks.synced(), writer.proofs.synced());
        Checkpoint { blocks: progress.durable, blocks_end, proofs_end, proven: progress.proofs.proven() }
    }

    pub(super) fn truncate_now(&self, writer: &mut Writer, last: BlockNumber) -> Result<(), StoreError> {
        self.begin_epoch(writer)?;
        self.sync_now(writer)?;
        if !self.is_durable(last.next()) || last.next() == last {
            return Ok(());
        }
        let block = self.media.kept(last)?;
        let epoch = writer.manifest.next_epoch();
        let tip = BlockNumber::last_of(self.progress().durable);
        if let (Some(chain), Some(tip)) = (writer.manifest.chain.clone(), tip) {
            self.quarantine(chain, last.next(), tip, epoch)?;
        }
        let blocks_end = block.place.end();
        let mut proofs = self.progress().proofs.clone();
        proofs.cut(last);
        let (blocks, proofs_end) = (last.next().get(), writer.proofs.end());
        let checkpoint = Checkpoint { blocks, blocks_end, proofs_end, proven: proofs.proven() };
        let begun = Manifest { checkpoint, epoch, cutting: true, ..writer.manifest.clone() };
        let begun = begun.ending_at([Some(blocks_end), None]);
        self.replace_manifest(writer, begun.clone())?;
        let cuts = self.progress().cuts + 1;
        let mut damaged = self.progress().damaged.clone();
        damaged.cut(blocks);
        let tip_hash = Some(block.hash);
        *self.progress_mut() = Progress { applied: blocks, durable: blocks, tip_hash, damaged, proofs, cuts };
        let done = self.media.cut(&checkpoint).and_then(|()| writer.further.cut(blocks));
        let done = done.and_then(|()| writer.blocks.rewind(blocks_end, epoch));
        let done = done.and_then(|()| writer.proofs.rewind(proofs_end, epoch));
        let done = done.and_then(|()| self.replace_manifest(writer, Manifest { cutting: false, ..begun }));
        done.map_err(StoreError::into_poison)
    }
}
