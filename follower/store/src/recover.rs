//! What opening makes of the two logs: finishes a cut that was begun, reads what lies past the checkpoint, writes it
//! again and syncs it. The torn tail stays where it is: the epoch that begins makes it void.
//!
//! What was read back after a crash counts only once it is synced anew: after a failed writeback the page cache may
//! hold what the disk does not.

use std::collections::BTreeSet;

use crate::{
    BlockHash, BlockNumber, StoreError,
    index::{Applied, BlockIndex},
    io::Disk,
    log::Log,
    manifest::{Checkpoint, Manifest, PROOF_RUNS},
    media::Media,
    place::{self, Place},
    position::Position,
    proofs::ProofSet,
    record::{Header, owner_of},
    scan::{End, Floor, Found, scan},
    writer::UNFINISHED,
};

/// Bytes of records that are written again at once, about.
const RUN: usize = 1 << 20;
/// Entries collected before they are written.
const FLUSH: usize = 4096;

/// What the block log holds.
pub(crate) struct Blocks {
    pub(crate) count: u32,
    pub(crate) end: End,
    /// Those found damaged on the way.
    pub(crate) damaged: Vec<BlockNumber>,
}

/// What the proof log holds.
pub(crate) struct Proofs {
    pub(crate) held: ProofSet,
    pub(crate) end: End,
}

/// Removes files that were being made when the process ended.
pub(crate) fn remove_unfinished(disk: &dyn Disk) -> Result<(), StoreError> {
    let names = disk.list().map_err(StoreError::io("list", disk.path("")))?;
    let unfinished = names.iter().filter(|name| name.ends_with(UNFINISHED));
    unfinished
        .into_iter()
        .try_for_each(|name| disk.remove(name).map_err(StoreError::io("remove", disk.path(name))))
}

/// Recovers the block log and rolls its indexes forward.
///
/// # Errors
/// `DurableLost` when less is left than was durable; `Damaged` where the log is no chain; file errors.
pub(crate) fn blocks(media: &Media, manifest: &Manifest) -> Result<Blocks, StoreError> {
    let (log, index) = (&*media.blocks, &media.index);
    let (checkpoint, floor) = (&manifest.checkpoint, floor(manifest, manifest.checkpoint.blocks_end));
    let last = BlockNumber::last_of(checkpoint.blocks);
    let behind =
        last.and_then(|last| behind(media, last)).filter(|behind| behind.end <= checkpoint.blocks_end);
    let (from, count) =
        behind.as_ref().map_or((Position::ORIGIN, 0), |behind| (behind.end, checkpoint.blocks));
    let damaged = behind.filter(|behind| behind.is_damaged).and(last).into_iter().collect();
    let again = Again::new(log, checkpoint.blocks_end);
    let mut roll = BlockRoll { again, index, count, in_gap: false, damaged, pending: Vec::new() };
    let end = scan(log, from, floor, &mut |found| roll.take(&found))?;
    if roll.count < checkpoint.blocks {
        let confirmed = BlockNumber::last_of(checkpoint.blocks).unwrap_or(BlockNumber::GENESIS);
        let held = BlockNumber::last_of(roll.count);
        return Err(StoreError::DurableLost { path: log.disk.path(""), confirmed, held });
    }
    roll.again.sync()?;
    roll.flush()?;
    Ok(Blocks { count: roll.count, end, damaged: roll.damaged })
}

fn floor(manifest: &Manifest, end: Position) -> Floor {
    Floor { end, epoch: manifest.epoch }
}

/// What is known of the last block of the checkpoint.
struct Behind {
    end: Position,
    is_damaged: bool,
}

/// Where the last block of the checkpoint ends, if log or indexes know it and the log has something there: bytes that are
/// others now are damage, none at all are a lost tail.
fn behind(media: &Media, last: BlockNumber) -> Option<Behind> {
    let examined = media.examine(last, media.index.get(last)).ok()?;
    let place = examined.kept?.place;
    let is_damaged = examined.payload.is_err();
    let is_lost = is_damaged && media.blocks.is_blank(place).unwrap_or(true);
    (!is_lost).then(|| Behind { end: place.end(), is_damaged })
}

/// Writes records again that lie past the checkpoint, as many at once as lie side by side.
struct Again<'a> {
    log: &'a Log,
    floor: Position,
    /// Where the run of records starts that is not written yet.
    start: Position,
    run: Vec<u8>,
    touched: BTreeSet<u32>,
}

impl<'a> Again<'a> {
    fn new(log: &'a Log, floor: Position) -> Self {
        Self { log, floor, start: Position::ORIGIN, run: Vec::new(), touched: BTreeSet::new() }
    }

    fn write(&mut self, header: &Header, place: Place, payload: &[u8]) -> Result<(), StoreError> {
        if place.at < self.floor {
            return Ok(());
        }
        if self.end() != place.at || self.run.len() >= RUN {
            self.flush()?;
            self.start = place.at;
        }
        self.run.extend_from_slice(&header.encode(&self.log.id, place.at));
        self.run.extend_from_slice(payload);
        let padded = (place.end().offset - self.start.offset) as usize;
        self.run.resize(padded, 0);
        Ok(())
    }

    fn end(&self) -> Position {
        let len = u32::try_from(self.run.len()).unwrap_or(u32::MAX);
        Position::new(self.start.segment, self.start.offset.saturating_add(len))
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let (segment, run) = (self.start.segment, std::mem::take(&mut self.run));
        if run.is_empty() {
            return Ok(());
        }
        let file = self.log.file(segment).map_err(self.log.failed("open", segment))?;
        file.write_at(&run, self.start.offset.into()).map_err(self.log.failed("write", segment))?;
        self.touched.insert(segment);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.flush()?;
        self.touched.iter().try_for_each(|segment| {
            let file = self.log.file(*segment).map_err(self.log.failed("open", *segment))?;
            file.sync().map_err(self.log.sync_failed(*segment))
        })
    }
}

/// The block log's records on their way into the indexes.
struct BlockRoll<'a> {
    again: Again<'a>,
    index: &'a BlockIndex,
    count: u32,
    in_gap: bool,
    damaged: Vec<BlockNumber>,
    pending: Vec<Applied>,
}

impl BlockRoll<'_> {
    fn take(&mut self, found: &Found<'_>) -> Result<(), StoreError> {
        match found {
            Found::Gap => {
                self.in_gap = true;
                Ok(())
            }
            Found::Segment { first } => self.reach(*first, Position::ORIGIN),
            Found::Record { header, place, payload } => {
                self.reach(header.number, place.at)?;
                self.again.write(header, *place, payload)?;
                self.push(Applied { number: header.number, place: *place, hash: header.hash })
            }
        }
    }

    /// Numbers left out are damaged where a gap was met, and cannot be otherwise.
    fn reach(&mut self, number: BlockNumber, at: Position) -> Result<(), StoreError> {
        if number.get() < self.count || (number.get() > self.count && !self.in_gap) {
            return Err(self.again.log.damaged(at, "the record has not the number that follows"));
        }
        if number.get() > self.count {
            self.flush()?;
            self.damaged.extend((self.count..number.get()).map(BlockNumber::new));
            self.count = number.get();
        }
        self.in_gap = false;
        Ok(())
    }

    fn push(&mut self, block: Applied) -> Result<(), StoreError> {
        let is_durable = block.place.at < self.again.floor;
        self.pending.push(block);
        self.count = self.count.saturating_add(1);
        if is_durable && self.pending.len() >= FLUSH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.index.apply(&std::mem::take(&mut self.pending))
    }
}

/// Recovers the proof log and its index; a proof counts only for the very block it was made for.
///
/// A proof that is lost or damaged is one not held: it will be copied again.
///
/// # Errors
/// File errors.
pub(crate) fn proofs(media: &Media, count: u32, manifest: &Manifest) -> Result<Proofs, StoreError> {
    let (log, places) = (&*media.proofs, &media.proof_places);
    let (checkpoint, floor) = (&manifest.checkpoint, floor(manifest, manifest.checkpoint.proofs_end));
    let trusted = has_proofs(media, checkpoint)?;
    let from = if trusted { checkpoint.proofs_end } else { Position::ORIGIN };
    if !trusted {
        places.clear_from(0)?;
    }
    let held = if trusted { known_proofs(media, count, manifest)? } else { ProofSet::default() };
    let again = Again::new(log, checkpoint.proofs_end);
    let mut roll = ProofRoll { again, media, count, held, pending: Vec::new() };
    let end = scan(log, from, floor, &mut |found| roll.take(&found))?;
    roll.again.sync()?;
    roll.flush()?;
    Ok(Proofs { held: roll.held, end })
}

/// The proof log's records on their way into the index.
struct ProofRoll<'a> {
    again: Again<'a>,
    media: &'a Media,
    count: u32,
    held: ProofSet,
    pending: Vec<(BlockNumber, Place, BlockHash)>,
}

impl ProofRoll<'_> {
    fn take(&mut self, found: &Found<'_>) -> Result<(), StoreError> {
        let Found::Record { header, place, payload } = found else { return Ok(()) };
        self.again.write(header, *place, payload)?;
        let block = proven_block(self.media, self.count, header);
        self.pending.extend(block.map(|hash| (header.number, *place, hash)));
        let is_durable = place.at < self.again.floor;
        if is_durable && self.pending.len() >= FLUSH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        for (number, place, hash) in std::mem::take(&mut self.pending) {
            self.media.proof_places.write(number.get(), &[place.encode(number, &hash)])?;
            self.held.insert(number);
        }
        Ok(())
    }
}

/// Whether the log has the end it had at the checkpoint, and the index knows its proven tip; else all is read anew.
fn has_proofs(media: &Media, checkpoint: &Checkpoint) -> Result<bool, StoreError> {
    if media.proof_places.is_new() || !media.proofs.segments()?.contains(&checkpoint.proofs_end.segment) {
        return Ok(false);
    }
    let Some(proven) = checkpoint.proven else { return Ok(true) };
    let place = proof_place(media, proven)?;
    Ok(place.is_some_and(|(place, _)| media.proofs.is_blank(place).is_ok_and(|is_blank| !is_blank)))
}

/// The proofs that the index knew at the checkpoint: those that the manifest lists, and beyond a list that is full, or without
/// one beyond the proven tip, those whose entries say so.
fn known_proofs(media: &Media, count: u32, manifest: &Manifest) -> Result<ProofSet, StoreError> {
    let checkpoint = &manifest.checkpoint;
    let (mut held, first) = match &manifest.proofs {
        Some(listed) if listed.runs() < PROOF_RUNS => (ProofSet::of(listed), count),
        Some(listed) => (ProofSet::of(listed), listed.last().map_or(0, |last| last.saturating_add(1))),
        None => {
            let first = checkpoint.proven.unwrap_or(BlockNumber::GENESIS).next().get();
            (ProofSet::up_to(checkpoint.proven), first)
        }
    };
    for number in (first..count.min(media.proof_places.capacity())).map(BlockNumber::new) {
        let entry = media.proof_places.read(number.get())?;
        if decode(media, &entry, number).is_some() {
            held.insert(number);
        }
    }
    Ok(held)
}

/// The hash of the block a proof belongs to, if that block is held.
fn proven_block(media: &Media, count: u32, proof: &Header) -> Option<BlockHash> {
    let block = (proof.number.get() < count).then(|| media.kept(proof.number).ok())??;
    (owner_of(&block.hash) == proof.owner).then_some(block.hash)
}

/// Where the proof of a block lies, and that block's hash; none if there is no proof.
pub(crate) fn proof_place(
    media: &Media,
    number: BlockNumber,
) -> Result<Option<(Place, BlockHash)>, StoreError> {
    Ok(decode(media, &media.proof_places.read(number.get())?, number))
}

fn decode(media: &Media, entry: &[u8; place::ENTRY], number: BlockNumber) -> Option<(Place, BlockHash)> {
    if entry.iter().all(|byte| *byte == 0) {
        return None;
    }
    let block = media.kept(number).ok()?;
    Place::decode(entry, number, &block.hash).map(|place| (place, block.hash))
}
