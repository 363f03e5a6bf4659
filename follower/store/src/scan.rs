//! Reads a log back: every valid record from a position on, what is damaged, and where the log truly ends.
//!
//! Owns the one decision of recovery. An invalid record is *damage* when it is below the checkpoint and something
//! valid follows, or when a record follows that was written after a sync covering it. Otherwise it is the *torn tail*:
//! the trace of a crash before its sync, even if later records of the same unsynced writes survived. A record of another
//! epoch than the checkpoint's is none behind it, so that what was cut or torn once never counts again. Changes nothing.

use std::{io, sync::Arc};

use crate::{
    BlockHash, BlockNumber, StoreError,
    io::DiskFile,
    log::Log,
    place::Place,
    position::Position,
    record::{ALIGN, HEADER, Header, Kind, may_start},
};

const CHUNK: usize = 1 << 20;
const HEADER_LEN: usize = HEADER as usize;

/// What a scan comes across, in order.
pub(crate) enum Found<'a> {
    /// A valid record.
    Record { header: Header, place: Place, payload: &'a [u8] },
    /// Records up to here are damaged.
    Gap,
    /// A new segment starts, with this block if it holds blocks.
    Segment { first: BlockNumber },
}

/// What is told of everything found.
pub(crate) type Visit<'a> = dyn FnMut(Found<'_>) -> Result<(), StoreError> + 'a;

/// What the checkpoint says of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floor {
    /// Everything before this was synced once.
    pub(crate) end: Position,
    /// Only records of this epoch count behind it.
    pub(crate) epoch: u32,
}

/// Where a log ends.
pub(crate) struct End {
    pub(crate) at: Position,
    /// Whether headers of the last epoch lie there or behind, which must never count.
    pub(crate) has_tail: bool,
}

/// Reads `log` from `from` on, up to where it ends.
///
/// # Errors
/// What `visit` says; file errors.
pub(crate) fn scan(
    log: &Log,
    from: Position,
    floor: Floor,
    visit: &mut Visit<'_>,
) -> Result<End, StoreError> {
    let segments = log.segments()?;
    let mut scan = Scan { log, segments, floor, window: Window::default(), next: None, has_header: false };
    let Some(mut at) = scan.start(from, visit)? else {
        return Ok(End { at: Position::ORIGIN, has_tail: false });
    };
    while let Some(next) = scan.step(at, visit)? {
        at = next;
    }
    Ok(End { at, has_tail: scan.has_header })
}

/// A segment, and its head if that is whole.
type Next = (u32, Option<Header>);

struct Scan<'a> {
    log: &'a Log,
    segments: Vec<u32>,
    floor: Floor,
    window: Window,
    /// A segment, and what follows it.
    next: Option<(u32, Option<Next>)>,
    /// Whether a header was come across at the last step or behind it.
    has_header: bool,
}

impl Scan<'_> {
    /// The first record's place; none if there is no segment at all.
    fn start(&self, from: Position, visit: &mut Visit<'_>) -> Result<Option<Position>, StoreError> {
        if self.segments.binary_search(&from.segment).is_ok() && from != Position::ORIGIN {
            return Ok(Some(from));
        }
        self.segments.first().map_or(Ok(None), |first| {
            if *first > 0 {
                visit(Found::Gap)?;
            }
            self.enter(*first, visit).map(Some)
        })
    }

    /// Takes the record at `at`, or steps over what is none; none at the log's end.
    fn step(&mut self, at: Position, visit: &mut Visit<'_>) -> Result<Option<Position>, StoreError> {
        let next = self.next_segment(at.segment)?;
        if let Some((next, Some(head))) = next
            && head.synced == at
        {
            return self.enter(next, visit).map(Some);
        }
        let file = self.file(at.segment)?;
        self.has_header = false;
        let read = self.record(&*file, at).map_err(self.log.failed("read", at.segment))?;
        let Some(header) = read else { return self.step_over(&*file, at, next, visit) };
        let place = Place { at, len: header.len };
        visit(Found::Record { header, place, payload: self.window.payload(place) })?;
        Ok(Some(place.end()))
    }

    fn step_over(
        &mut self,
        file: &dyn DiskFile,
        at: Position,
        next: Option<Next>,
        visit: &mut Visit<'_>,
    ) -> Result<Option<Position>, StoreError> {
        let later = self.later(file, at).map_err(self.log.failed("read", at.segment))?;
        let later =
            later.filter(|later| next.and_then(|(_, head)| head).is_none_or(|head| later.at < head.synced));
        let is_damage = next.is_some() || later.is_some_and(|later| at < self.floor.end || later.is_proof);
        match (is_damage, later, next) {
            (true, Some(later), _) => visit(Found::Gap).map(|()| Some(later.at)),
            (true, None, Some((next, _))) => {
                visit(Found::Gap).and_then(|()| self.enter(next, visit)).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn enter(&self, segment: u32, visit: &mut Visit<'_>) -> Result<Position, StoreError> {
        match self.head(segment)? {
            Some(head) => visit(Found::Segment { first: head.number })?,
            None => visit(Found::Gap)?,
        }
        Ok(Position::new(segment, HEADER))
    }

    /// The segment behind this one, and its head if that is whole. Remembered, for it is asked at every record.
    fn next_segment(&mut self, segment: u32) -> Result<Option<Next>, StoreError> {
        if let Some((of, next)) = self.next
            && of == segment
        {
            return Ok(next);
        }
        let next = self.segments.iter().copied().find(|next| *next > segment);
        let next = next.map(|next| Ok::<_, StoreError>((next, self.head(next)?))).transpose()?;
        self.next = Some((segment, next));
        Ok(next)
    }

    fn head(&self, segment: u32) -> Result<Option<Header>, StoreError> {
        let file = self.file(segment)?;
        let head =
            self.log.header(&*file, Position::new(segment, 0)).map_err(self.log.failed("read", segment))?;
        Ok(head.filter(|head| head.kind == Kind::Segment))
    }

    fn file(&self, segment: u32) -> Result<Arc<dyn DiskFile>, StoreError> {
        self.log.file(segment).map_err(self.log.failed("open", segment))
    }

    /// The header of the valid record at `at`, whose payload is in the window then.
    fn record(&mut self, file: &dyn DiskFile, at: Position) -> io::Result<Option<Header>> {
        let Some(bytes) = self.window.read(file, at, HEADER_LEN)? else { return Ok(None) };
        let header = bytes.first_chunk().and_then(|bytes| self.log.decode(bytes, at));
        let header = header.filter(|header| header.kind == self.log.kind);
        let header = header.filter(|header| at < self.floor.end || header.epoch == self.floor.epoch);
        let Some(header) = header else { return Ok(None) };
        self.has_header = true;
        let Some(bytes) = self.window.read(file, at, HEADER_LEN + header.len as usize)? else {
            return Ok(None);
        };
        Ok((BlockHash::of(&bytes[HEADER_LEN..]) == header.hash).then_some(header))
    }

    /// The first valid record behind the invalid one at `bad`, and whether any behind it proves that it was synced.
    fn later(&mut self, file: &dyn DiskFile, bad: Position) -> io::Result<Option<Later>> {
        let mut later: Option<Later> = None;
        let mut from = bad.offset.saturating_add(ALIGN);
        while let Some((at, header)) = self.find(file, Position::new(bad.segment, from))? {
            let is_proof = header.synced > bad;
            let first = later.map_or(at, |later| later.at);
            later = Some(Later { at: first, is_proof });
            if is_proof || bad < self.floor.end {
                break;
            }
            from = Place { at, len: header.len }.end().offset;
        }
        Ok(later)
    }

    /// The first valid record at or behind `from` in its segment.
    fn find(&mut self, file: &dyn DiskFile, from: Position) -> io::Result<Option<(Position, Header)>> {
        let (len, mut at) = (file.len()?, from.offset);
        let mut chunk = vec![0; CHUNK.min(usize::try_from(len).unwrap_or(CHUNK))];
        let zeros = vec![0; chunk.len()];
        while u64::from(at) + u64::from(HEADER) <= len {
            let take = usize::try_from(len - u64::from(at)).unwrap_or(CHUNK).min(chunk.len());
            file.read_at(&mut chunk[..take], at.into())?;
            if chunk[..take] == zeros[..take] {
                at = at.saturating_add(advance(take));
                continue;
            }
            for offset in candidates(&chunk[..take], at) {
                let candidate = Position::new(from.segment, offset);
                if let Some(header) = self.record(file, candidate)? {
                    return Ok(Some((candidate, header)));
                }
            }
            at = at.saturating_add(advance(take));
        }
        Ok(None)
    }
}

/// Bytes of a segment that were read at once.
#[derive(Default)]
struct Window {
    segment: u32,
    start: u32,
    bytes: Vec<u8>,
}

impl Window {
    /// The `len` bytes at a place; none if the file ends before.
    fn read(&mut self, file: &dyn DiskFile, at: Position, len: usize) -> io::Result<Option<&[u8]>> {
        if self.find(at, len).is_none() {
            self.load(file, at, len)?;
        }
        Ok(self.find(at, len).map(|from| &self.bytes[from..from + len]))
    }

    fn find(&self, at: Position, len: usize) -> Option<usize> {
        let from = at.offset.checked_sub(self.start).filter(|_| at.segment == self.segment)? as usize;
        (from + len <= self.bytes.len()).then_some(from)
    }

    fn load(&mut self, file: &dyn DiskFile, at: Position, len: usize) -> io::Result<()> {
        let there = usize::try_from(file.len()?.saturating_sub(at.offset.into())).unwrap_or(usize::MAX);
        (self.segment, self.start) = (at.segment, at.offset);
        self.bytes.resize(there.min(len.max(CHUNK)), 0);
        file.read_at(&mut self.bytes, at.offset.into())
    }

    /// The payload of a record that was read.
    fn payload(&self, place: Place) -> &[u8] {
        let start = Position::new(place.at.segment, place.at.offset.saturating_add(HEADER));
        self.find(start, place.len as usize).map_or(&[], |from| &self.bytes[from..from + place.len as usize])
    }
}

/// What follows an invalid record.
#[derive(Clone, Copy)]
struct Later {
    at: Position,
    /// Whether a record was found that was written when the invalid one had been synced.
    is_proof: bool,
}

/// Where records could start in a chunk that was read from byte `start` on.
fn candidates(chunk: &[u8], start: u32) -> impl Iterator<Item = u32> {
    let fits = chunk.len().saturating_sub(HEADER_LEN - 1);
    (0..fits)
        .step_by(ALIGN as usize)
        .filter(|at| may_start(&chunk[*at..]))
        .filter_map(move |at| u32::try_from(at).ok().and_then(|at| start.checked_add(at)))
}

/// How far a chunk of `take` bytes was searched: its last bytes are too few for a header.
fn advance(take: usize) -> u32 {
    let searched = (take - HEADER_LEN) / ALIGN as usize * ALIGN as usize + ALIGN as usize;
    u32::try_from(searched).unwrap_or(u32::MAX)
}
