//! In which groups a follower wrote its blocks, read out of its log: each record says up to where the log was synced
//! when it was written, so that those of one group say the same.

use std::{
    fs::{self, File},
    io::{BufReader, Read as _},
    path::Path,
};

use anyhow::{Result, ensure};

/// Length of a record's header, and of a segment's.
const HEADER: usize = 72;
/// Records start at multiples of this many bytes.
const ALIGN: usize = 8;
const BLOCK: &[u8] = b"TMb1";

type Header = [u8; HEADER];
type Synced = [u8; 8];

/// Bytes of each group in the stopped store in `dir`, in the order in which they were written.
///
/// # Errors
/// If the log cannot be read or holds no block.
pub fn of(dir: &Path) -> Result<Vec<usize>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        segments.extend((name.starts_with("blocks-") && name.ends_with(".log")).then_some(name));
    }
    segments.sort_unstable();
    let mut groups = Groups::default();
    for segment in segments {
        add_segment(File::open(dir.join(segment))?, &mut groups)?;
    }
    ensure!(!groups.bytes.is_empty(), "no blocks are in the log in {}", dir.display());
    Ok(groups.bytes)
}

#[derive(Default)]
struct Groups {
    bytes: Vec<usize>,
    synced: Option<Synced>,
}

impl Groups {
    fn add(&mut self, synced: Synced, bytes: usize) {
        match self.bytes.last_mut() {
            Some(group) if self.synced == Some(synced) => *group += bytes,
            _ => self.bytes.push(bytes),
        }
        self.synced = Some(synced);
    }
}

fn add_segment(file: File, groups: &mut Groups) -> Result<()> {
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut header: Header = [0; HEADER];
    reader.read_exact(&mut header)?;
    while reader.read_exact(&mut header).is_ok() && header.starts_with(BLOCK) {
        let (synced, bytes) = record(&header);
        groups.add(synced, bytes);
        reader.seek_relative(i64::try_from(bytes - HEADER)?)?;
    }
    Ok(())
}

/// Up to where the log was synced, and the length of the whole record.
fn record(header: &Header) -> (Synced, usize) {
    let len = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
    let mut synced = Synced::default();
    synced.copy_from_slice(&header[12..20]);
    (synced, (HEADER + len).next_multiple_of(ALIGN))
}

#[cfg(test)]
mod tests {
    use tidemark_store::{BlockStore as _, Commitment, DiskStore, Metadata};

    use super::*;

    #[test]
    fn groups_are_those_that_were_synced_together() {
        let dir = tempfile::tempdir().expect("temp dir");
        let store = DiskStore::open(dir.path()).expect("opens");
        store.initialise(Metadata::new("opaque", Commitment::from_bytes([7; 32]))).expect("pins");
        let mut first = 0;
        for count in [3, 1, 2] {
            store.apply(first.into(), &[b"block".as_slice(); 3][..count]).expect("writes");
            store.sync().expect("syncs");
            first += u32::try_from(count).expect("few");
        }
        drop(store);
        assert_eq!(of(dir.path()).expect("reads"), [240, 80, 160]);
    }
}
