//! Damage at run time: what a read, the scrubber or opening finds is marked at once, and made anew from what is left where
//! that is possible.
//!
//! Owns what may be made anew from what: an index entry and a proof's absence from the logs, a header and a segment's head
//! from the indexes, a block's bytes from nothing here. Marking needs no writer, so that no read waits for a sync; what was
//! made anew is durable before anybody is told.

use std::sync::MutexGuard;

use super::{DiskStore, write::Writer};
use crate::{
    BlockNumber, Checked, Finding, Part, StoreError, check::Check, examine::Examined, index::Applied,
    position::Position, rewrite::Rewriter,
};

/// Blocks that wait to be mended; more are found again by the next reader or scrubber.
const SUSPECTS: usize = 1 << 10;

impl DiskStore {
    /// Marks a block whose bytes were found damaged, unless something was cut since `cuts` was read.
    pub(super) fn mark(&self, number: BlockNumber, cuts: u64) {
        let mut progress = self.progress_mut();
        if progress.cuts == cuts {
            progress.damaged.insert(number.get(), number.get());
        }
    }

    /// Forgets a proof that was found damaged, in the same way.
    pub(super) fn unprove(&self, number: BlockNumber, cuts: u64) {
        let mut progress = self.progress_mut();
        if progress.cuts == cuts {
            progress.proofs.remove(number);
        }
    }

    /// Has a block mended now if nobody writes, else by whoever does.
    pub(super) fn suspect(&self, number: BlockNumber) {
        let mut suspects = self.suspects();
        if suspects.len() < SUSPECTS {
            suspects.insert(number);
        }
        drop(suspects);
        if let Ok(mut writer) = self.writer.try_lock()
            && writer.may_mend()
        {
            let mended = self.mend_suspects(&mut writer);
            drop(writer.note(mended));
        }
    }

    pub(super) fn has_suspects(&self) -> bool {
        !self.suspects().is_empty()
    }

    /// Mends what reads came across, and writes down what they found damaged. What fails softly is met again.
    pub(super) fn mend_suspects(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let suspects = std::mem::take(&mut *self.suspects());
        let soft = |done: Result<(), StoreError>| {
            done.or_else(|error| if error.is_poison() { Err(error) } else { Ok(()) })
        };
        suspects.into_iter().try_for_each(|number| soft(self.mend(writer, number).map(|_| ())))?;
        self.media.sync_derived()?;
        soft(self.checkpoint_now(writer))
    }

    fn suspects(&self) -> MutexGuard<'_, std::collections::BTreeSet<BlockNumber>> {
        self.suspects.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Checks a block anew and makes good what can be made good of it; its findings.
    pub(super) fn mend(&self, writer: &mut Writer, number: BlockNumber) -> Result<Vec<Finding>, StoreError> {
        if !self.is_durable(number) {
            return Ok(Vec::new());
        }
        self.begin_epoch(writer)?;
        let Check { findings, examined, .. } = self.media.check(number, self.may_have_proof(number)?)?;
        self.note_block(writer, number, &examined)?;
        for finding in &findings {
            self.mend_one(writer, finding, &examined)?;
        }
        Ok(findings)
    }

    /// Marks a block that is damaged. One that is marked and reads whole is put back, for what is read may be in memory only.
    fn note_block(
        &self,
        writer: &Writer,
        number: BlockNumber,
        examined: &Examined,
    ) -> Result<(), StoreError> {
        match (&examined.payload, &examined.kept) {
            (Ok(bytes), Some(kept)) if self.is_damaged(number) => self.put_back(writer, kept, bytes)?,
            (Ok(_), _) => {}
            (Err(_), _) => self.progress_mut().damaged.insert(number.get(), number.get()),
        }
        Ok(())
    }

    fn mend_one(&self, writer: &Writer, finding: &Finding, examined: &Examined) -> Result<(), StoreError> {
        let kept = examined.kept.as_ref();
        match (finding.part, kept) {
            (Part::Entry, Some(kept)) => self.media.index.apply(&[*kept]),
            (Part::Header, Some(kept)) => self.blocks_rewriter(writer).header_of(kept),
            (Part::Head, Some(kept)) => self.restore_head(writer, kept),
            (Part::ProofHead, Some(kept)) => self.restore_proof_head(writer, kept),
            (Part::Proof, _) => self.forget_proof(finding.number),
            _ => Ok(()),
        }
    }

    pub(super) fn blocks_rewriter(&self, writer: &Writer) -> Rewriter<'_> {
        Rewriter { log: &self.media.blocks, epoch: writer.manifest.epoch }
    }

    /// The head of the segment that starts with this block, or the whole file if that is gone.
    fn restore_head(&self, writer: &Writer, first: &Applied) -> Result<(), StoreError> {
        let Some(end) = self.end_before(first.number) else { return Ok(()) };
        let segment = first.place.at.segment;
        if self.media.blocks.is_missing(segment) {
            let len = writer.blocks.segment_size().max(self.extent(first));
            return self.blocks_rewriter(writer).segment(segment, len, first.number, end);
        }
        self.blocks_rewriter(writer).head(segment, first.number, end)
    }

    /// Makes the file of a block's segment anew if that is gone; its blocks are damaged then, each for itself.
    pub(super) fn restore_missing(&self, writer: &Writer, block: &Applied) -> Result<(), StoreError> {
        let segment = block.place.at.segment;
        if !self.media.blocks.is_missing(segment) {
            return Ok(());
        }
        let before = (0..block.number.get()).rev().map(BlockNumber::new);
        let before = before.map_while(|number| self.media.index.get(number).ok());
        let ours = before.take_while(|before| before.place.at.segment == segment);
        self.restore_head(writer, &ours.last().unwrap_or(*block))
    }

    /// Where the block before this one ends; none if the indexes do not know.
    fn end_before(&self, number: BlockNumber) -> Option<Position> {
        match number.get().checked_sub(1) {
            None => Some(Position::ORIGIN),
            Some(before) => self.media.index.get(before.into()).ok().map(|block| block.place.end()),
        }
    }

    /// Bytes of a segment that hold its blocks from the first on, as far as the indexes know them.
    fn extent(&self, first: &Applied) -> u32 {
        let numbers = (first.number.get()..self.progress().durable).map(BlockNumber::new);
        let blocks = numbers.filter_map(|number| self.media.index.get(number).ok());
        let ours = blocks.take_while(|block| block.place.at.segment == first.place.at.segment);
        ours.map(|block| block.place.end().offset).last().unwrap_or(0)
    }

    fn restore_proof_head(&self, writer: &Writer, block: &Applied) -> Result<(), StoreError> {
        let Ok((place, _)) = self.media.reread_proof(block) else { return Ok(()) };
        let segment = place.at.segment;
        let end =
            segment.checked_sub(1).map_or(Ok(Position::ORIGIN), |before| self.media.proofs.walk(before))?;
        let rewriter = Rewriter { log: &self.media.proofs, epoch: writer.manifest.epoch };
        rewriter.head(segment, block.number, end)
    }

    /// A damaged proof is one not held: it is copied again.
    fn forget_proof(&self, number: BlockNumber) -> Result<(), StoreError> {
        self.progress_mut().proofs.remove(number);
        self.media.forget_proof(number)
    }

    /// Whether a proof is held, or one was found damaged whose entry is still there.
    fn may_have_proof(&self, number: BlockNumber) -> Result<bool, StoreError> {
        let is_held = self.progress().proofs.holds(number);
        Ok(is_held || self.media.has_proof(number)?)
    }

    pub(super) fn scrub_now(&self, from: BlockNumber, max_bytes: u64) -> Result<Checked, StoreError> {
        let mut checked = Checked::default();
        for number in (from.get()..u32::MAX).map(BlockNumber::new) {
            if !self.is_durable(number) {
                break;
            }
            if checked.bytes >= max_bytes {
                checked.next = Some(number);
                break;
            }
            checked.bytes += self.scrub_block(number, &mut checked.findings)?;
        }
        if !checked.findings.is_empty() {
            self.writer()?.note(self.media.sync_derived())?;
        }
        Ok(checked)
    }

    /// Checks without the writer; only what is found is looked at again and mended with it.
    fn scrub_block(&self, number: BlockNumber, findings: &mut Vec<Finding>) -> Result<u64, StoreError> {
        let cuts = self.progress().cuts;
        let has_proof = self.progress().proofs.holds(number);
        let check = self.media.check(number, has_proof);
        if self.progress().cuts != cuts {
            return Ok(0);
        }
        let check = check?;
        if !check.findings.is_empty() || self.is_damaged(number) {
            let mut writer = self.writer()?;
            let mended = self.sync_now(&mut writer).and_then(|_| self.mend(&mut writer, number));
            findings.extend(writer.note(mended)?);
            let noted = self.checkpoint_now(&mut writer);
            writer.note(noted)?;
        }
        Ok(check.bytes)
    }
}
