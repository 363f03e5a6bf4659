//! Reads a whole log back: every valid record, and where the log truly ends.
//!
//! Owns the one decision of recovery: an invalid record with nothing valid after it is a torn tail, the trace of a
//! crash before its sync; an invalid record with a valid one after it is damage. It changes nothing on disk.

use std::{io, path::Path};

use crate::{
    StoreError,
    file::LogFile,
    record::{HEADER, Header},
};

const CHUNK: usize = 1 << 20;

/// A record, and where its payload starts.
pub(crate) struct Entry {
    pub(crate) header: Header,
    pub(crate) payload_at: u64,
}

/// What a log holds.
pub(crate) struct Scan {
    pub(crate) entries: Vec<Entry>,
    /// Where the last valid record ends, in bytes. What lies beyond is a torn tail.
    pub(crate) end: u64,
}

/// Reads and verifies every record of `file`.
///
/// # Errors
/// `Damaged` when an invalid record has a valid one after it; file errors.
pub(crate) fn scan(file: &dyn LogFile, path: &Path) -> Result<Scan, StoreError> {
    let len = file.len().map_err(StoreError::io("measure", path))?;
    let mut scan = Scan { entries: Vec::new(), end: 0 };
    let mut payload = Vec::new();
    let read = StoreError::io("read", path);
    match fill(file, len, &mut scan, &mut payload) {
        Ok(None) => Ok(scan),
        Ok(Some(later)) => Err(StoreError::Damaged {
            path: path.to_owned(),
            offset: scan.end,
            detail: format!("a valid record follows at byte {later}"),
        }),
        Err(error) => Err(read(error)),
    }
}

/// Adds records to `scan` until one is invalid; then says where a valid one follows, if one does.
fn fill(file: &dyn LogFile, len: u64, scan: &mut Scan, payload: &mut Vec<u8>) -> io::Result<Option<u64>> {
    while let Some(header) = record_at(file, len, scan.end, payload)? {
        scan.entries.push(Entry { header, payload_at: scan.end + HEADER as u64 });
        scan.end += header.record_len();
    }
    if scan.end == len { Ok(None) } else { valid_after(file, len, scan.end, payload) }
}

fn header_at(file: &dyn LogFile, len: u64, offset: u64) -> io::Result<Option<Header>> {
    if len.saturating_sub(offset) < HEADER as u64 {
        return Ok(None);
    }
    let mut bytes = [0; HEADER];
    file.read_at(&mut bytes, offset)?;
    Ok(Header::decode(&bytes).filter(|header| header.record_len() <= len - offset))
}

fn record_at(file: &dyn LogFile, len: u64, offset: u64, payload: &mut Vec<u8>) -> io::Result<Option<Header>> {
    let Some(header) = header_at(file, len, offset)? else { return Ok(None) };
    payload.resize(header.len as usize, 0);
    file.read_at(payload, offset + HEADER as u64)?;
    Ok((blake3::hash(payload).as_bytes() == header.hash.as_bytes()).then_some(header))
}

/// Where the first valid record after the invalid one at `bad` starts.
///
/// Where the invalid record's header is sound, the search starts behind its payload: a payload is somebody else's
/// bytes, and may look like a record.
fn valid_after(file: &dyn LogFile, len: u64, bad: u64, payload: &mut Vec<u8>) -> io::Result<Option<u64>> {
    let from = header_at(file, len, bad)?.map_or(bad + 1, |header| bad + header.record_len());
    let mut chunk = vec![0; CHUNK + HEADER];
    let mut at = from;
    while at + HEADER as u64 <= len {
        let take = usize::try_from(len - at).unwrap_or(usize::MAX).min(chunk.len());
        file.read_at(&mut chunk[..take], at)?;
        for start in candidates(&chunk[..take]) {
            let offset = at + start as u64;
            if record_at(file, len, offset, payload)?.is_some() {
                return Ok(Some(offset));
            }
        }
        at += (take - HEADER + 1) as u64;
    }
    Ok(None)
}

/// Where in `chunk` something starts that decodes as a header.
fn candidates(chunk: &[u8]) -> impl Iterator<Item = usize> {
    chunk
        .array_windows::<HEADER>()
        .enumerate()
        .filter(|(_, bytes)| bytes.starts_with(b"TM") && Header::decode(bytes).is_some())
        .map(|(start, _)| start)
}
