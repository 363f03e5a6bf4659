//! One append-only log: writes batches of records behind its end, and reads single payloads back, verified.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    BlockHash, BlockNumber, StoreError,
    file::LogFile,
    record::{HEADER, Header, Kind},
    scan::{Scan, scan},
};

/// Where a payload lies, and what it must hash to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) hash: BlockHash,
}

/// The reading half of a log; cheap to clone.
#[derive(Clone)]
pub(crate) struct LogReader {
    file: Arc<dyn LogFile>,
    path: PathBuf,
}

impl LogReader {
    /// The payload at `place`.
    ///
    /// # Errors
    /// `Damaged` when the bytes there are not those that were written.
    pub(crate) fn read(&self, place: Place) -> Result<Vec<u8>, StoreError> {
        let mut payload = vec![0; place.len as usize];
        self.file.read_at(&mut payload, place.offset).map_err(|error| self.unreadable(place, error))?;
        if BlockHash::of(&payload) == place.hash {
            return Ok(payload);
        }
        Err(self.damaged(place, "the payload does not match its checksum"))
    }

    fn unreadable(&self, place: Place, error: io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged(place, "the file ends inside the payload"),
            _ => StoreError::io("read", &self.path)(error),
        }
    }

    fn damaged(&self, place: Place, detail: &str) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), offset: place.offset, detail: detail.to_owned() }
    }
}

/// The writing half of a log.
pub(crate) struct LogWriter {
    file: Arc<dyn LogFile>,
    path: PathBuf,
    end: u64,
    dirty: bool,
}

impl LogWriter {
    /// Reads the log back, and cuts a torn tail durably, so that no later record can land behind it.
    pub(crate) fn open(file: Arc<dyn LogFile>, path: &Path) -> Result<(Self, Scan), StoreError> {
        let scan = scan(&*file, path)?;
        let mut writer = Self { file, path: path.to_owned(), end: scan.end, dirty: true };
        writer.cut(scan.end)?;
        Ok((writer, scan))
    }

    pub(crate) fn reader(&self) -> LogReader {
        LogReader { file: Arc::clone(&self.file), path: self.path.clone() }
    }

    /// Writes records behind the end, numbered from `first` on, in one write. They count after the next `sync`.
    pub(crate) fn append(
        &mut self,
        kind: Kind,
        first: BlockNumber,
        payloads: &[&[u8]],
    ) -> Result<Vec<Place>, StoreError> {
        let mut bytes = Vec::with_capacity(payloads.iter().map(|payload| HEADER + payload.len()).sum());
        let mut places = Vec::with_capacity(payloads.len());
        let mut number = first;
        for payload in payloads {
            let header = Header::of(kind, number, payload)?;
            bytes.extend_from_slice(&header.encode());
            let offset = self.end + bytes.len() as u64;
            bytes.extend_from_slice(payload);
            places.push(Place { offset, len: header.len, hash: header.hash });
            number = number.next();
        }
        self.write(&bytes)?;
        Ok(places)
    }

    /// A write that failed halfway is undone, so that the log ends where it did before.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.dirty = true;
        if let Err(error) = self.file.write_at(bytes, self.end) {
            self.file
                .cut(self.end)
                .map_err(|source| StoreError::SyncFailed { path: self.path.clone(), source })?;
            return Err(StoreError::io("write", &self.path)(error));
        }
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Makes everything written so far durable; no call to the disk if nothing was.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        if self.dirty {
            self.file.sync().map_err(|source| StoreError::SyncFailed { path: self.path.clone(), source })?;
            self.dirty = false;
        }
        Ok(())
    }

    /// Durably drops everything from byte `end` on.
    pub(crate) fn cut(&mut self, end: u64) -> Result<(), StoreError> {
        self.file.cut(end).map_err(StoreError::io("cut", &self.path))?;
        self.end = end;
        self.dirty = true;
        self.sync()
    }
}
