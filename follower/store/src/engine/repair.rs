//! Puts the bytes of a damaged block back where they were, once they are proven to be those that were published.
//!
//! Owns the order that makes it crash-safe: first the indexes durably know hash and place, so that the header may be torn;
//! then the record is written over what is damaged anyway, and synced; only then is the block taken from the list. A record
//! that reads whole is written all the same: after a failed writeback memory may hold what the disk does not.

use super::{DiskStore, write::Writer};
use crate::{
    BlockHash, BlockNumber, StoreError, examine::Examined, index::Applied, place::Place, position::Position,
    record::payload_len,
};

impl DiskStore {
    pub(super) fn repair_now(
        &self,
        writer: &mut Writer,
        number: BlockNumber,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        self.begin_epoch(writer)?;
        self.sync_now(writer)?;
        if !self.is_durable(number) {
            return Err(StoreError::NoSuchBlock { number });
        }
        let examined = self.media.examine(number, self.media.index.reread(number))?;
        let kept = self.kept(writer, &examined, number, bytes)?;
        self.put_back(writer, &kept, bytes)?;
        self.mend(writer, number)?;
        self.checkpoint_now(writer)?;
        let durable = self.progress().durable;
        writer.further.catch_up(&self.media, durable)
    }

    /// Writes a record in its place, and takes the block from the list once that is durable.
    pub(super) fn put_back(&self, writer: &Writer, kept: &Applied, bytes: &[u8]) -> Result<(), StoreError> {
        self.media.index.apply(&[*kept])?;
        self.media.index.sync()?;
        self.restore_missing(writer, kept)?;
        self.blocks_rewriter(writer).record(kept, bytes)?;
        self.progress_mut().damaged.remove(kept.number.get());
        Ok(())
    }

    /// Where the block lies, if `bytes` are what was published there.
    ///
    /// The kept hash is the one that log or indexes vouch for. Where neither does, a hash index entry that equals the whole
    /// hash of `bytes` vouches for them, and the neighbours for the place.
    fn kept(
        &self,
        writer: &Writer,
        examined: &Examined,
        number: BlockNumber,
        bytes: &[u8],
    ) -> Result<Applied, StoreError> {
        let (hash, len) = (BlockHash::of(bytes), payload_len(bytes)?);
        if let Some(kept) = examined.kept {
            let is_it = kept.hash == hash && kept.place.len == len;
            return is_it.then_some(kept).ok_or(StoreError::OtherBytes {
                number,
                kept: kept.hash,
                offered: hash,
            });
        }
        let raw = self.media.index.raw_hash(number)?;
        if raw != hash {
            return Err(StoreError::HashLost { number });
        }
        let at = self.media.locate(number)?.ok_or(StoreError::HashLost { number })?;
        let kept = Applied { number, place: Place { at, len }, hash };
        self.fits(writer, &kept)?.then_some(kept).ok_or(StoreError::HashLost { number })
    }

    /// Whether the record would end where the next one starts.
    fn fits(&self, writer: &Writer, kept: &Applied) -> Result<bool, StoreError> {
        let end = kept.place.end();
        if !self.is_durable(kept.number.next()) {
            return Ok(end == writer.blocks.end());
        }
        let Ok(next) = self.media.index.get(kept.number.next()) else { return Ok(false) };
        if next.place.at.segment == end.segment {
            return Ok(next.place.at == end);
        }
        let head = self.media.blocks.header_at(Position::new(next.place.at.segment, 0))?;
        Ok(head.is_some_and(|head| head.synced == end))
    }
}
