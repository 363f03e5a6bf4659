//! The segments of one log: their names, their open files, and reading single records back, verified.

use std::{
    io::{self, IoSliceMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use crate::{
    BlockHash, BlockNumber, Buffers, StoreError,
    cache::Cache,
    index::Applied,
    io::{Disk, DiskFile, is_unreadable},
    place::{self, Place},
    position::Position,
    record::{HEADER, Header, HeaderBytes, Kind, StoreId, hash_in},
    voids::Voids,
};

/// Segments of one log that are kept open.
const OPEN_FILES: usize = 128;

/// One log, for whoever reads it.
pub(crate) struct Log {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) id: StoreId,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) buffers: Buffers,
    files: Mutex<Cache<u32, Arc<dyn DiskFile>>>,
    voids: RwLock<Voids>,
}

impl Log {
    pub(crate) fn new(
        disk: &Arc<dyn Disk>,
        kind: Kind,
        name: &'static str,
        id: StoreId,
        buffers: Buffers,
    ) -> Self {
        let (files, voids) = (Mutex::new(Cache::new(OPEN_FILES)), RwLock::default());
        Self { name, kind, id, disk: Arc::clone(disk), buffers, files, voids }
    }

    /// Takes it from now on that these records are void.
    pub(crate) fn set_voids(&self, voids: &Voids) {
        *self.voids.write().unwrap_or_else(PoisonError::into_inner) = voids.clone();
    }

    /// The header in these bytes at `at`, if it is one that counts.
    pub(crate) fn decode(&self, bytes: &HeaderBytes, at: Position) -> Option<Header> {
        let header = Header::decode(bytes, &self.id, at)?;
        let voids = self.voids.read().unwrap_or_else(PoisonError::into_inner);
        (!voids.is_void(at, header.epoch)).then_some(header)
    }

    pub(crate) fn segment_name(&self, segment: u32) -> String {
        format!("{}.log", self.segment_stem(segment))
    }

    /// The name without its ending.
    pub(crate) fn segment_stem(&self, segment: u32) -> String {
        format!("{}-{segment:08}", self.name)
    }

    /// The segments there are, in order.
    pub(crate) fn segments(&self) -> Result<Vec<u32>, StoreError> {
        let names = self.disk.list().map_err(StoreError::io("list", self.disk.path("")))?;
        let number = |name: &String| {
            let digits = name.strip_prefix(self.name)?.strip_prefix('-')?.strip_suffix(".log")?;
            digits.parse().ok().filter(|segment| self.segment_name(*segment) == *name)
        };
        let mut segments: Vec<u32> = names.iter().filter_map(number).collect();
        segments.sort_unstable();
        Ok(segments)
    }

    pub(crate) fn file(&self, segment: u32) -> io::Result<Arc<dyn DiskFile>> {
        let (opened, generation) = {
            let mut files = self.files();
            (files.get(segment), files.generation())
        };
        if let Some(file) = opened {
            return Ok(file);
        }
        let file = self.disk.open(&self.segment_name(segment))?;
        self.files().put(generation, segment, Arc::clone(&file));
        Ok(file)
    }

    /// The header at a place that may hold one; none if it does not, or if the file ends before.
    pub(crate) fn header(&self, file: &dyn DiskFile, at: Position) -> io::Result<Option<Header>> {
        let mut bytes: HeaderBytes = [0; HEADER as usize];
        match file.read_at(&mut bytes, at.offset.into()) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            read => read.map(|()| self.decode(&bytes, at)),
        }
    }

    /// The header at a place; none if there is none, for whatever cause but a failing disk.
    ///
    /// # Errors
    /// File errors.
    pub(crate) fn header_at(&self, at: Position) -> Result<Option<Header>, StoreError> {
        match self.file(at.segment).and_then(|file| self.header(&*file, at)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_unreadable(&error) => Ok(None),
            read => read.map_err(self.failed("read", at.segment)),
        }
    }

    /// Whether nothing was ever written where a record should be.
    pub(crate) fn is_blank(&self, place: Place) -> io::Result<bool> {
        let mut bytes = vec![0; HEADER as usize + place.len as usize];
        self.file(place.at.segment)?.read_at(&mut bytes, place.at.offset.into())?;
        Ok(bytes.iter().all(|byte| *byte == 0))
    }

    /// Whether the segment is there.
    pub(crate) fn has_segment(&self, segment: u32) -> bool {
        self.file(segment).is_ok()
    }

    /// The payload of a block.
    ///
    /// # Errors
    /// `Damaged` when the bytes there are not those of that block.
    pub(crate) fn read_block(&self, block: &Applied) -> Result<Vec<u8>, StoreError> {
        let file = self.file(block.place.at.segment).map_err(self.unreadable(block.place.at))?;
        self.payload(&*file, block.place, &block.hash)
    }

    /// The payload of a block that an index entry names, if no disk need be waited for, and nothing is damaged. The entry
    /// vouches for the hash in the record's header, which saves reading the hash elsewhere.
    pub(crate) fn block_at_hand(
        &self,
        number: BlockNumber,
        entry: &[u8; place::ENTRY],
        longest: u32,
    ) -> Option<Vec<u8>> {
        let place = Place::unchecked(entry);
        let file = self.files().get(place.at.segment).filter(|_| place.len <= longest)?;
        let (mut header, mut payload) = ([0; HEADER as usize], vec![0; place.len as usize]);
        let into = &mut [IoSliceMut::new(&mut header), IoSliceMut::new(&mut payload)];
        file.read_at_hand(into, place.at.offset.into()).ok()?;
        let hash = BlockHash::of(&payload);
        (hash == hash_in(&header)).then_some(())?;
        Place::decode(entry, number, &hash).map(|_| payload)
    }

    /// The header and payload of the record at `place`.
    ///
    /// # Errors
    /// `Damaged` when there is none.
    pub(crate) fn read_record(&self, place: Place) -> Result<(Header, Vec<u8>), StoreError> {
        let file = self.file(place.at.segment).map_err(self.unreadable(place.at))?;
        let header = self.header(&*file, place.at).map_err(self.unreadable(place.at))?;
        let header = header.filter(|header| header.kind == self.kind && header.len == place.len);
        let header = header.ok_or_else(|| self.damaged(place.at, "there is no record"))?;
        Ok((header, self.payload(&*file, place, &header.hash)?))
    }

    fn payload(&self, file: &dyn DiskFile, place: Place, hash: &BlockHash) -> Result<Vec<u8>, StoreError> {
        let mut payload = self.buffers.take(place.len as usize);
        file.read_at(&mut payload, payload_offset(place)).map_err(self.unreadable(place.at))?;
        if BlockHash::of(&payload) == *hash {
            return Ok(payload);
        }
        Err(self.damaged(place.at, "the payload does not match its checksum"))
    }

    pub(crate) fn unreadable(&self, at: Position) -> impl Fn(io::Error) -> StoreError {
        move |error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged(at, "the file ends inside the record"),
            io::ErrorKind::NotFound => self.damaged(at, "the file is missing"),
            _ if is_unreadable(&error) => self.damaged(at, "the disk cannot read it"),
            _ => self.failed("read", at.segment)(error),
        }
    }

    pub(crate) fn damaged(&self, at: Position, detail: &str) -> StoreError {
        let path = self.disk.path(&self.segment_name(at.segment));
        StoreError::Damaged { path, offset: at.offset.into(), detail: detail.to_owned() }
    }

    pub(crate) fn failed(&self, action: &'static str, segment: u32) -> impl FnOnce(io::Error) -> StoreError {
        StoreError::io(action, self.disk.path(&self.segment_name(segment)))
    }

    pub(crate) fn sync_failed(&self, segment: u32) -> impl FnOnce(io::Error) -> StoreError {
        StoreError::sync_failed(self.disk.path(&self.segment_name(segment)))
    }

    /// Durably removes the segments behind `last`.
    pub(crate) fn remove_after(&self, last: u32) -> Result<(), StoreError> {
        let later: Vec<u32> = self.segments()?.into_iter().filter(|segment| *segment > last).collect();
        for segment in later.iter().rev() {
            self.disk.remove(&self.segment_name(*segment)).map_err(self.failed("remove", *segment))?;
        }
        self.files().clear();
        self.disk.sync_dir().map_err(self.sync_failed(last))
    }

    fn files(&self) -> MutexGuard<'_, Cache<u32, Arc<dyn DiskFile>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn payload_offset(place: Place) -> u64 {
    u64::from(place.at.offset) + u64::from(HEADER)
}
