//! Real directories of every version that this release reads.
//!
//! Each was written by [`make`] of the release whose version it has, so with
//! `TIDEMARK_STORE_FIXTURE=<a new directory> cargo test -p tidemark-store fixtures`, and is never changed again. It is what
//! a process leaves that died while it wrote: a checkpoint behind block 24, blocks 25 to 29 past it, a torn tail behind
//! those, and a damaged block, number 5.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;

use super::{GENESIS, SMALL, append, payload, prove};
use crate::{BlockStore as _, DiskStore, Metadata, io::RealDisk};

const COUNT: u32 = 30;
const DAMAGED: u32 = 5;
const PROVEN: u32 = 20;

fn open(dir: &Path) -> DiskStore {
    DiskStore::open_on(Arc::new(RealDisk::new(dir)), SMALL, Vec::new(), None).expect("must open")
}

/// Changes one byte of a block, counted from the start of its payload.
fn corrupt(dir: &Path, n: u32, at: usize) {
    for entry in fs::read_dir(dir).expect("listable") {
        let path = entry.expect("listable").path();
        let mut bytes = fs::read(&path).expect("readable");
        let name = path.file_name().expect("named").to_string_lossy().into_owned();
        let found = bytes.windows(payload(n).len()).position(|window| window == payload(n));
        if let Some(found) = found.filter(|_| name.starts_with("blocks-")) {
            bytes[found + at] ^= 1;
            fs::write(&path, bytes).expect("writable");
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes");
    for entry in fs::read_dir(from).expect("listable") {
        let entry = entry.expect("listable");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copies");
    }
}

/// Writes a fixture of this release's version.
fn make(dir: &Path) {
    let live = TempDir::new().expect("temp dir");
    let store = open(live.path());
    store.initialise(Metadata::new("opaque", GENESIS)).expect("must initialise");
    for n in 0..25 {
        append(&store, n..n + 1);
        store.sync().expect("must sync");
    }
    prove(&store, &(1..=PROVEN).collect::<Vec<_>>());
    store.checkpoint().expect("must do");
    append(&store, 25..COUNT);
    prove(&store, &[PROVEN + 2]);
    store.sync().expect("must sync");
    append(&store, COUNT..COUNT + 2);
    copy(live.path(), dir);
    corrupt(dir, COUNT, 4);
    corrupt(dir, DAMAGED, 3);
}

#[test]
fn what_this_release_writes_is_a_fixture() {
    let dir = TempDir::new().expect("temp dir");
    let asked = std::env::var_os("TIDEMARK_STORE_FIXTURE").map(PathBuf::from);
    let dir = asked.as_deref().unwrap_or(dir.path());
    make(dir);
}
