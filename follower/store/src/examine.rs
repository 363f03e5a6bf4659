//! What the log and the indexes together say of one block: whether it can be served, and what of it has to be made anew.
//!
//! Owns the decision which of them is right where they disagree. The *entry* (place and hash index, which vouch for each
//! other by 32 bits) and the *header* of the record (64 bits, bound to the store and its place) each say where the block
//! lies and what it hashes to. The one that the payload confirms is right. Where it confirms neither, the block is
//! damaged, and the header is believed before the entry: the log is the truth. Changes nothing.

use crate::{
    BlockNumber, StoreError,
    index::Applied,
    media::Media,
    place::Place,
    position::Position,
    record::{HEADER, Header, Kind},
};

/// How far back a whole entry is looked for, from which the log is walked to a block without one.
const BACK: u32 = 1 << 9;

/// What is known of a block.
pub(crate) struct Examined {
    /// Its place and hash; none when neither log nor indexes vouch for any.
    pub(crate) kept: Option<Applied>,
    /// Its bytes, or why they are damaged.
    pub(crate) payload: Result<Vec<u8>, StoreError>,
    /// Why its index entry has to be made anew.
    pub(crate) entry: Option<StoreError>,
    /// Why the header of its record has to be made anew.
    pub(crate) header: Option<StoreError>,
}

impl Media {
    /// Looks at a block that was synced once; `entry` is what the indexes say of it.
    ///
    /// # Errors
    /// File errors; damage is none.
    pub(crate) fn examine(
        &self,
        number: BlockNumber,
        entry: Result<Applied, StoreError>,
    ) -> Result<Examined, StoreError> {
        let start = match &entry {
            Ok(block) => Some(block.place.at),
            Err(StoreError::Damaged { .. }) => self.locate(number)?,
            Err(_) => None,
        };
        let by_header = start.map_or(Ok(None), |at| self.block_header(at, number))?;
        let by_entry = match entry {
            Err(error) if !error.is_damage() => return Err(error),
            entry => entry,
        };
        let candidates = [by_header, by_entry.as_ref().ok().copied()];
        let mut payload = Err(self.index.damaged(number));
        let mut kept = None;
        for block in candidates.into_iter().flatten() {
            match self.blocks.read_block(&block) {
                Err(error) if !error.is_damage() => return Err(error),
                read if read.is_ok() || kept.is_none() => (kept, payload) = (Some(block), read),
                _ => {}
            }
            if payload.is_ok() {
                break;
            }
        }
        let header = kept.filter(|_| by_header != kept);
        let header =
            header.map(|block| self.blocks.damaged(block.place.at, "the header is not that of the block"));
        let entry =
            (kept.is_none() || by_entry.as_ref().ok() != kept.as_ref()).then(|| self.index.damaged(number));
        Ok(Examined { kept, payload, entry, header })
    }

    /// What the header at `at` says, if it is that of this block.
    fn block_header(&self, at: Position, number: BlockNumber) -> Result<Option<Applied>, StoreError> {
        let header = self.blocks.header_at(at)?;
        let header = header.filter(|header| header.kind == Kind::Block && header.number == number);
        Ok(header.map(|header| applied(&header, at)))
    }

    /// Where the record of a block starts whose entry is damaged: behind the one before it, or in the next segment if its
    /// head says that this one ended there. None if that cannot be told.
    ///
    /// # Errors
    /// File errors.
    pub(crate) fn locate(&self, number: BlockNumber) -> Result<Option<Position>, StoreError> {
        let known = (number.get().saturating_sub(BACK)..number.get()).rev().map(BlockNumber::new);
        let known = known.into_iter().find_map(|number| self.index.get(number).ok());
        let from = known.map_or(0, |block| block.number.next().get());
        if known.is_none() && number.get() > BACK {
            return Ok(None);
        }
        let mut at = match known {
            Some(block) => self.next_start(block.place.end())?,
            None => self.blocks.segments()?.first().map(|_| Position::new(0, HEADER)),
        };
        for between in (from..number.get()).map(BlockNumber::new) {
            let Some(start) = at else { return Ok(None) };
            let Some(block) = self.block_header(start, between)? else { return Ok(None) };
            at = self.next_start(block.place.end())?;
        }
        Ok(at)
    }

    /// Where the record behind `end` starts; none where a damaged head leaves that open.
    fn next_start(&self, end: Position) -> Result<Option<Position>, StoreError> {
        let next = end.segment.saturating_add(1);
        if !self.blocks.has_segment(next) {
            return Ok(Some(end));
        }
        let head = self.blocks.header_at(Position::new(next, 0))?;
        let head = head.filter(|head| head.kind == Kind::Segment);
        Ok(head.map(|head| if head.synced == end { Position::new(next, HEADER) } else { end }))
    }
}

fn applied(header: &Header, at: Position) -> Applied {
    Applied { number: header.number, place: Place { at, len: header.len }, hash: header.hash }
}
