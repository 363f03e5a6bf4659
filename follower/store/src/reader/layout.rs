//! Where in the files of a directory things lie.

use std::path::PathBuf;

use super::{StoreReader, snapshot::Snapshot};
use crate::{
    BlockHash, BlockNumber, StoreError,
    log::Log,
    place::Place,
    position::Position,
    record::{Kind, record_len},
};

/// A file of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The file.
    pub path: PathBuf,
    /// Its length, in bytes; what is not used yet is allocated.
    pub bytes: u64,
    /// The number of its first record; none when the head of the file is damaged.
    pub first: Option<BlockNumber>,
}

/// Where a record lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub path: PathBuf,
    /// Where in it the record starts, in bytes.
    pub offset: u64,
    /// Length of the record, in bytes.
    pub record: u32,
    /// Length of the block or proof in it, in bytes.
    pub len: u32,
    /// BLAKE3 of the block, also where the record is of its proof.
    pub block: BlockHash,
}

impl StoreReader {
    /// The segments of the block log and of the proof log, each in order.
    ///
    /// # Errors
    /// File errors.
    pub fn segments(&self) -> Result<(Vec<Segment>, Vec<Segment>), StoreError> {
        self.steady(|snapshot| Ok((segments(&snapshot.media.blocks)?, segments(&snapshot.media.proofs)?)))
    }

    /// Where the record of a block lies; none when there is none of that number.
    ///
    /// # Errors
    /// `Damaged` when neither log nor indexes know it; file errors.
    pub fn locate(&self, number: BlockNumber) -> Result<Option<Location>, StoreError> {
        self.steady(|snapshot| locate(snapshot, number))
    }

    /// Where the record of a proof lies; none when there is none of that number.
    ///
    /// # Errors
    /// `Damaged` when it is not what was published; file errors.
    pub fn locate_proof(&self, number: BlockNumber) -> Result<Option<Location>, StoreError> {
        self.steady(|snapshot| {
            if number == BlockNumber::GENESIS
                || snapshot.hash_at(number)?.is_none()
                || !snapshot.has_proof(number)?
            {
                return Ok(None);
            }
            let block = snapshot.media.kept(number)?;
            let (place, _) = snapshot.media.reread_proof(&block)?;
            Ok(Some(location(&snapshot.media.proofs, place, block.hash)))
        })
    }
}

fn locate(snapshot: &Snapshot, number: BlockNumber) -> Result<Option<Location>, StoreError> {
    if snapshot.hash_at(number)?.is_none() {
        return Ok(None);
    }
    let block = snapshot.media.kept(number)?;
    Ok(Some(location(&snapshot.media.blocks, block.place, block.hash)))
}

fn location(log: &Log, place: Place, block: BlockHash) -> Location {
    let path = log.disk.path(&log.segment_name(place.at.segment));
    Location { path, offset: place.at.offset.into(), record: record_len(place.len), len: place.len, block }
}

fn segments(log: &Log) -> Result<Vec<Segment>, StoreError> {
    log.segments()?.into_iter().map(|segment| describe(log, segment)).collect()
}

fn describe(log: &Log, segment: u32) -> Result<Segment, StoreError> {
    let head = log.header_at(Position::new(segment, 0))?.filter(|head| head.kind == Kind::Segment);
    let file = log.file(segment).map_err(log.failed("open", segment))?;
    let bytes = file.len().map_err(log.failed("measure", segment))?;
    let path = log.disk.path(&log.segment_name(segment));
    Ok(Segment { path, bytes, first: head.map(|head| head.number) })
}
