//! Makes anew, in place, what is damaged of a log: records, their headers, the heads of segments, whole segment files.
//!
//! What is written over was damaged before, or is written as it was, so that a crash on the way leaves nothing worse
//! than it was; a write that fails is no poison for the same reason. A sync that fails is.

use std::io;

use crate::{
    BlockHash, BlockNumber, StoreError,
    index::Applied,
    log::Log,
    position::Position,
    record::{HEADER, Header, Kind, Owner, record_len},
    writer::Spare,
};

/// Writes in an epoch that has begun.
pub(crate) struct Rewriter<'a> {
    pub(crate) log: &'a Log,
    pub(crate) epoch: u32,
}

impl Rewriter<'_> {
    /// Writes a whole record where it was, durably.
    pub(crate) fn record(&self, block: &Applied, payload: &[u8]) -> Result<(), StoreError> {
        let mut bytes = self.header(block);
        bytes.extend_from_slice(payload);
        bytes.resize(record_len(block.place.len) as usize, 0);
        self.write(block.place.at, &bytes)
    }

    /// Writes the header of a record whose payload is whole, durably.
    pub(crate) fn header_of(&self, block: &Applied) -> Result<(), StoreError> {
        self.write(block.place.at, &self.header(block))
    }

    /// Writes the head of a segment that starts with block `first`, where the log before it ends at `end`, durably.
    pub(crate) fn head(&self, segment: u32, first: BlockNumber, end: Position) -> Result<(), StoreError> {
        let at = Position::new(segment, 0);
        self.write(at, &self.head_bytes(at, first, end))
    }

    /// Makes a segment file of `len` bytes anew that is gone, with nothing in it but its head, durably.
    pub(crate) fn segment(
        &self,
        segment: u32,
        len: u32,
        first: BlockNumber,
        end: Position,
    ) -> Result<(), StoreError> {
        let at = Position::new(segment, 0);
        let spare = Spare::make(self.log, segment, len)?;
        spare.name(self.log, &self.head_bytes(at, first, end)).map(|_| ())
    }

    fn header(&self, block: &Applied) -> Vec<u8> {
        let Applied { number, place, hash } = *block;
        let (kind, owner, synced) = (self.log.kind, Owner::default(), place.at);
        let header = Header { kind, number, len: place.len, synced, epoch: self.epoch, owner, hash };
        header.encode(&self.log.id, place.at).to_vec()
    }

    fn head_bytes(&self, at: Position, first: BlockNumber, end: Position) -> Vec<u8> {
        head(first, end, self.epoch).encode(&self.log.id, at).to_vec()
    }

    fn write(&self, at: Position, bytes: &[u8]) -> Result<(), StoreError> {
        let file = self.log.file(at.segment).map_err(self.log.failed("open", at.segment))?;
        file.write_at(bytes, at.offset.into()).map_err(self.log.failed("write", at.segment))?;
        file.sync().map_err(self.log.sync_failed(at.segment))
    }
}

/// The head of a segment.
pub(crate) fn head(first: BlockNumber, end: Position, epoch: u32) -> Header {
    let (owner, hash) = (Owner::default(), BlockHash::from_bytes([0; 32]));
    Header { kind: Kind::Segment, number: first, len: 0, synced: end, epoch, owner, hash }
}

impl Log {
    /// Where the records of a segment end, as far as their headers are whole.
    pub(crate) fn walk(&self, segment: u32) -> Result<Position, StoreError> {
        let mut at = Position::new(segment, HEADER);
        while let Some(header) = self.header_at(at)?.filter(|header| header.kind == self.kind) {
            at.offset = at.offset.saturating_add(record_len(header.len));
        }
        Ok(at)
    }

    /// Whether the file of a segment is gone.
    pub(crate) fn is_missing(&self, segment: u32) -> bool {
        self.file(segment).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }
}
