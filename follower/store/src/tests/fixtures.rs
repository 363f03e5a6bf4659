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

use super::{
    GENESIS, SMALL, append, check_holds, number, payload, prove,
    sim::{SimDisk, State},
};
use crate::{
    BlockStore as _, DiskStore, FORMAT_VERSION, Metadata, OLDEST_VERSION, StoreReader,
    io::{Disk as _, RealDisk},
};

pub(super) const COUNT: u32 = 30;
pub(super) const DAMAGED: u32 = 5;
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
        let found = bytes.windows(payload(n).len()).rposition(|window| window == payload(n));
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

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/tests/fixtures").join(name)
}

/// A fixture on a simulated disk.
pub(super) fn load(name: &str) -> SimDisk {
    let disk = SimDisk::new(State::default());
    for entry in fs::read_dir(path(name)).expect("listable") {
        let entry = entry.expect("listable");
        let file = disk.create(&entry.file_name().to_string_lossy()).expect("makes");
        file.write_at(&fs::read(entry.path()).expect("readable"), 0).expect("writes");
        file.sync().expect("syncs");
    }
    disk.sync_dir().expect("syncs");
    disk
}

/// Opens a copy, and checks what must be in it.
fn check(dir: &Path, version: u32) {
    let copied = TempDir::new().expect("temp dir");
    copy(dir, copied.path());
    let reader = StoreReader::open(copied.path()).expect("must open");
    assert_eq!((reader.version(), reader.tips().durable), (version, Some(number(COUNT - 1))));
    let store = open(copied.path());
    assert_eq!(store.metadata(), Some(Metadata::new("opaque", GENESIS)));
    let tips = store.tips();
    assert_eq!((tips.durable, tips.proven), (Some(number(COUNT - 1)), Some(number(PROVEN))));
    for n in 0..COUNT {
        let block = store.block(number(n));
        if n == DAMAGED {
            assert!(block.is_err());
        } else {
            assert_eq!(block.expect("readable"), Some(payload(n)));
        }
        let has_proof = (1..=PROVEN).contains(&n) || n == PROVEN + 2;
        assert_eq!(store.proof(number(n)).expect("readable"), has_proof.then(|| payload(n)));
    }
    assert_eq!(
        (store.block(number(COUNT)).expect("readable"), store.damaged()),
        (None, vec![number(DAMAGED)])
    );
    append(&store, COUNT..COUNT + 9);
    store.sync().expect("must sync");
    drop(store);
    let store = open(copied.path());
    assert_eq!(store.tips().durable, Some(number(COUNT + 8)));
    let is_known = version > 1;
    assert_eq!(store.damaged(), if is_known { vec![number(DAMAGED)] } else { vec![] });
    store.repair(number(DAMAGED), &payload(DAMAGED)).expect("must take it");
    check_holds(&store, COUNT + 9);
    drop(store);
    assert_eq!(
        StoreReader::open(copied.path()).expect("must open").version(),
        version,
        "it stays what it is"
    );
}

#[test]
fn directories_of_every_known_version_are_opened_used_and_healed() {
    for version in OLDEST_VERSION..=FORMAT_VERSION {
        check(&path(&format!("v{version}")), version);
    }
}

#[test]
fn what_this_release_writes_is_a_fixture() {
    let dir = TempDir::new().expect("temp dir");
    let asked = std::env::var_os("TIDEMARK_STORE_FIXTURE").map(PathBuf::from);
    let dir = asked.unwrap_or_else(|| dir.path().join("made"));
    make(&dir);
    check(&dir, FORMAT_VERSION);
}
