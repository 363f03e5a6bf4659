//! Checks all that is on disk of one block: its index entry, header, bytes and proof, and the head of a segment that starts
//! with it. Changes nothing.

use crate::{
    BlockNumber, Finding, Part, StoreError,
    examine::Examined,
    index::Applied,
    log::Log,
    media::Media,
    place::Place,
    position::Position,
    record::{HEADER, Kind, record_len},
};

/// What was read of a block, and what of it is damaged.
pub(crate) struct Check {
    pub(crate) bytes: u64,
    pub(crate) findings: Vec<Finding>,
    pub(crate) examined: Examined,
}

impl Media {
    /// Checks everything of a block, and its proof if it has one, as the disk has it.
    ///
    /// # Errors
    /// File errors; damage is none.
    pub(crate) fn check(&self, number: BlockNumber, has_proof: bool) -> Result<Check, StoreError> {
        let examined = self.examine(number, self.index.reread(number))?;
        let mut found = Found { number, findings: Vec::new() };
        found.add(Part::Entry, examined.entry.as_ref());
        found.add(Part::Header, examined.header.as_ref().filter(|_| examined.payload.is_ok()));
        found.add(Part::Block, examined.payload.as_ref().err());
        let place = examined.kept.map(|block| block.place);
        found.add(Part::Head, place.map_or(Ok(None), |place| head(&self.blocks, place))?.as_ref());
        let mut bytes = place.map_or(0, size);
        if let Some(block) = examined.kept.filter(|_| has_proof) {
            bytes += self.check_proof(&block, &mut found)?;
        }
        Ok(Check { bytes, findings: found.findings, examined })
    }

    fn check_proof(&self, block: &Applied, found: &mut Found) -> Result<u64, StoreError> {
        match self.reread_proof(block) {
            Ok((place, _)) => {
                found.add(Part::ProofHead, head(&self.proofs, place)?.as_ref());
                Ok(size(place))
            }
            Err(error) if error.is_damage() => {
                found.add(Part::Proof, Some(&error));
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }
}

/// Why the head of a segment has to be made anew, if the record at `place` is the first in it.
fn head(log: &Log, place: Place) -> Result<Option<StoreError>, StoreError> {
    let at = Position::new(place.at.segment, 0);
    if place.at.offset != HEADER {
        return Ok(None);
    }
    let head = log.header_at(at)?.filter(|head| head.kind == Kind::Segment);
    Ok(head.is_none().then(|| log.damaged(at, "there is no head of a segment")))
}

fn size(place: Place) -> u64 {
    record_len(place.len).into()
}

struct Found {
    number: BlockNumber,
    findings: Vec<Finding>,
}

impl Found {
    fn add(&mut self, part: Part, error: Option<&StoreError>) {
        if let Some(StoreError::Damaged { path, offset, detail }) = error {
            let (number, path, offset, detail) = (self.number, path.clone(), *offset, detail.clone());
            self.findings.push(Finding { number, part, path, offset, detail });
        }
    }
}
