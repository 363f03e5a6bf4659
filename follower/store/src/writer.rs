//! The writing half of a log: appends batches behind its end, and rolls to a new segment when one is full.
//!
//! Owns the order of a roll: the old segment is synced before the new one has its name, so that a torn tail can
//! only ever be in the last segment.

use std::{io, sync::Arc};

use crate::{
    BlockHash, BlockNumber, StoreError,
    io::DiskFile,
    log::Log,
    place::Place,
    plan::{Run, plan},
    position::Position,
    record::{HEADER, Header, Owner, payload_len, record_len},
    rewrite,
};

/// Bytes of the buffer that are kept from batch to batch: a whole group's.
const KEPT_BUFFER: usize = 9 << 20;
/// The end of the name of a segment that is being made.
pub(crate) const UNFINISHED: &str = ".log.new";

/// A record to be written.
pub(crate) struct Draft<'a> {
    pub(crate) number: BlockNumber,
    pub(crate) owner: Owner,
    pub(crate) hash: BlockHash,
    pub(crate) payload: &'a [u8],
}

/// The only one who writes to a log.
pub(crate) struct LogWriter {
    log: Arc<Log>,
    segment_size: u32,
    active: Option<Active>,
    end: Position,
    /// Everything before this is synced.
    synced: Position,
    /// Written into every record.
    epoch: u32,
    /// Records on their way to the disk; kept so that no batch asks the system for memory anew.
    buffer: Vec<u8>,
    /// Counts rolls.
    pub(crate) rolls: u64,
}

pub(crate) struct Active {
    file: Arc<dyn DiskFile>,
    len: u32,
}

impl LogWriter {
    /// A writer that continues the log from `end`, before which everything is synced, in a new epoch.
    pub(crate) fn open(
        log: &Arc<Log>,
        segment_size: u32,
        end: Position,
        epoch: u32,
    ) -> Result<Self, StoreError> {
        let active = if end == Position::ORIGIN { None } else { Some(Active::open(log, end.segment)?) };
        Ok(Self {
            log: Arc::clone(log),
            segment_size,
            active,
            end,
            synced: end,
            epoch,
            buffer: Vec::new(),
            rolls: 0,
        })
    }

    /// Where the next record goes.
    pub(crate) fn end(&self) -> Position {
        self.end
    }

    /// Up to where everything is durable.
    pub(crate) fn synced(&self) -> Position {
        self.synced
    }

    /// Bytes of a segment.
    pub(crate) fn segment_size(&self) -> u32 {
        self.segment_size
    }

    /// Writes records; they count after the next `sync`.
    ///
    /// # Errors
    /// `DiskFull`, after which nothing was written; `TooLarge`; everything else is poison.
    pub(crate) fn append(&mut self, drafts: &[Draft<'_>]) -> Result<Vec<Place>, StoreError> {
        let lens: Vec<u32> =
            drafts.iter().map(|draft| payload_len(draft.payload)).collect::<Result<_, _>>()?;
        let capacity = self.active.as_ref().map_or(0, |active| active.len);
        let runs = plan(self.end, capacity, self.segment_size, &lens);
        let spares = self.make_spares(&runs)?;
        let mut spares = spares.into_iter();
        let mut places = Vec::with_capacity(lens.len());
        for (index, run) in runs.iter().enumerate() {
            let drafts = &drafts[run.records.clone()];
            if run.new_segment.is_some() {
                let (spare, first) = (spares.next(), drafts.first().map(|draft| draft.number));
                self.roll(spare, first.unwrap_or(BlockNumber::GENESIS)).map_err(StoreError::into_poison)?;
            }
            if let Err(error) = self.write_run(run, drafts) {
                spares.for_each(|spare| Spare::discard(&self.log, spare.segment));
                return Err(if index == 0 { error } else { error.into_poison() });
            }
            places.extend(
                run.at.iter().zip(&lens[run.records.clone()]).map(|(at, len)| Place { at: *at, len: *len }),
            );
        }
        Ok(places)
    }

    /// Makes everything written so far durable; no call to the disk if nothing was.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        if let Some(active) = self.active.as_ref().filter(|_| self.synced != self.end) {
            active.file.sync().map_err(self.log.sync_failed(self.end.segment))?;
            self.synced = self.end;
        }
        Ok(())
    }

    /// Goes on in a new epoch, from `end`, which is at most where it was.
    pub(crate) fn rewind(&mut self, end: Position, epoch: u32) -> Result<(), StoreError> {
        if end.segment != self.end.segment {
            self.active = Some(Active::open(&self.log, end.segment)?);
        }
        (self.end, self.synced, self.epoch) = (end, end, epoch);
        Ok(())
    }

    /// Allocates the segments a batch will need, before any of it is written: here a full disk is soft.
    fn make_spares(&self, runs: &[Run]) -> Result<Vec<Spare>, StoreError> {
        let mut spares = Vec::new();
        let needed = runs.iter().filter_map(|run| Some((run.at.first()?.segment, run.new_segment?)));
        for (segment, len) in needed {
            match Spare::make(&self.log, segment, len) {
                Ok(spare) => spares.push(spare),
                Err(error) => {
                    let made = spares.iter().map(|spare: &Spare| spare.segment).chain([segment]);
                    made.for_each(|segment| Spare::discard(&self.log, segment));
                    return Err(error);
                }
            }
        }
        Ok(spares)
    }

    fn roll(&mut self, spare: Option<Spare>, first: BlockNumber) -> Result<(), StoreError> {
        self.sync()?;
        let Some(spare) = spare else { return Ok(()) };
        let at = Position::new(spare.segment, 0);
        let head = rewrite::head(first, self.end, self.epoch).encode(&self.log.id, at);
        self.active = Some(spare.name(&self.log, &head)?);
        self.end = Position::new(at.segment, HEADER);
        self.synced = self.end;
        self.rolls += 1;
        Ok(())
    }

    fn write_run(&mut self, run: &Run, drafts: &[Draft<'_>]) -> Result<(), StoreError> {
        self.encode(run, drafts);
        let Some(active) = &self.active else { return Ok(()) };
        let written = active.file.write_at(&self.buffer, self.end.offset.into());
        let len = self.buffer.len();
        self.buffer.shrink_to(KEPT_BUFFER);
        match written {
            Ok(()) => {
                self.end.offset = self.end.offset.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
                Ok(())
            }
            Err(error) if is_full(&error) => self.undo(&*active.file, len, error),
            Err(error) => Err(StoreError::write_failed(self.path())(error)),
        }
    }

    fn encode(&mut self, run: &Run, drafts: &[Draft<'_>]) {
        self.buffer.clear();
        for (at, draft) in run.at.iter().zip(drafts) {
            let Draft { number, owner, hash, payload } = *draft;
            let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            let (kind, synced, epoch) = (self.log.kind, self.synced, self.epoch);
            let header = Header { kind, number, len, synced, epoch, owner, hash };
            let end = self.buffer.len() + record_len_of(draft) as usize;
            self.buffer.extend_from_slice(&header.encode(&self.log.id, *at));
            self.buffer.extend_from_slice(payload);
            self.buffer.resize(end, 0);
        }
    }

    /// On some file systems even allocated space can run out: what was written by half is gone before anything follows.
    fn undo(&self, file: &dyn DiskFile, len: usize, full: io::Error) -> Result<(), StoreError> {
        file.write_at(&vec![0; len], self.end.offset.into())
            .map_err(StoreError::write_failed(self.path()))?;
        file.sync().map_err(StoreError::sync_failed(self.path()))?;
        Err(self.log.failed("write", self.end.segment)(full))
    }

    fn path(&self) -> std::path::PathBuf {
        self.log.disk.path(&self.log.segment_name(self.end.segment))
    }
}

impl Active {
    fn open(log: &Log, segment: u32) -> Result<Self, StoreError> {
        let file = log.file(segment).map_err(log.failed("open", segment))?;
        let len = file.len().map_err(log.failed("measure", segment))?;
        Ok(Self { file, len: u32::try_from(len).unwrap_or(u32::MAX) })
    }
}

/// An allocated segment that has not its name yet.
pub(crate) struct Spare {
    segment: u32,
    active: Active,
}

impl Spare {
    pub(crate) fn make(log: &Log, segment: u32, len: u32) -> Result<Self, StoreError> {
        let file = log.disk.create(&spare_name(log, segment)).map_err(log.failed("make", segment))?;
        file.allocate(len.into()).map_err(log.failed("allocate", segment))?;
        Ok(Self { segment, active: Active { file, len } })
    }

    /// Writes its head, and durably gives it its name.
    pub(crate) fn name(self, log: &Log, head: &[u8]) -> Result<Active, StoreError> {
        let segment = self.segment;
        self.active.file.write_at(head, 0).map_err(log.failed("write", segment))?;
        self.active.file.sync().map_err(log.sync_failed(segment))?;
        let renamed = log.disk.rename(&spare_name(log, segment), &log.segment_name(segment));
        renamed.map_err(log.failed("name", segment))?;
        log.disk.sync_dir().map_err(log.sync_failed(segment))?;
        Ok(self.active)
    }

    /// Gives its space back; if that fails too, opening the store does it.
    fn discard(log: &Log, segment: u32) {
        drop(log.disk.remove(&spare_name(log, segment)));
    }
}

fn spare_name(log: &Log, segment: u32) -> String {
    format!("{}{UNFINISHED}", log.segment_stem(segment))
}

fn record_len_of(draft: &Draft<'_>) -> u32 {
    record_len(u32::try_from(draft.payload.len()).unwrap_or(u32::MAX))
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
