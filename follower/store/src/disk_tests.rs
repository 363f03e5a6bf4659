//! Crashes, damage and failing disks, one store directory each.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{BLOCKS, DiskStore, PROOFS};
use crate::{
    BlockHash, BlockNumber, BlockStore, Commitment, Metadata, StoreError, Tips,
    file::{LogFile, open_log},
    lock::DirLock,
};

const GENESIS: Commitment = Commitment::from_bytes([7; 32]);

fn number(n: usize) -> BlockNumber {
    BlockNumber::new(n.try_into().expect("small"))
}

fn payload(n: usize) -> Vec<u8> {
    vec![u8::try_from(n % 251).expect("below 251"); 20 + n]
}

fn open(dir: &Path) -> DiskStore {
    DiskStore::open(dir).expect("must open")
}

fn fresh(dir: &Path) -> DiskStore {
    let store = open(dir);
    store.initialise(Metadata::new("opaque", GENESIS)).expect("must initialise");
    store
}

fn append(store: &DiskStore, numbers: std::ops::Range<usize>) {
    for n in numbers {
        store.apply(number(n), &[&payload(n)]).expect("must apply");
    }
}

fn prove(store: &DiskStore, numbers: &[usize]) {
    for &n in numbers {
        store.put_proof(number(n), &payload(n)).expect("must take the proof");
    }
}

/// A closed store with blocks 0..count and the proofs named, all published.
fn published(count: usize, proofs: &[usize]) -> TempDir {
    let dir = TempDir::new().expect("temp dir");
    let store = fresh(dir.path());
    append(&store, 0..count);
    prove(&store, proofs);
    store.sync().expect("must sync");
    dir
}

fn check_holds(store: &DiskStore, count: usize) {
    assert_eq!(store.tips().published, BlockNumber::last_of(count));
    for n in 0..count {
        assert_eq!(store.block(number(n)).expect("readable"), Some(payload(n)));
        assert_eq!(store.hash_at(number(n)), Some(BlockHash::of(&payload(n))));
    }
    assert_eq!(store.block(number(count)).expect("readable"), None);
}

#[test]
fn nothing_is_visible_before_its_sync() {
    let dir = TempDir::new().expect("temp dir");
    let store = fresh(dir.path());
    append(&store, 0..3);
    prove(&store, &[1]);
    assert_eq!(store.tips(), Tips { applied: Some(number(2)), published: None, proven: None });
    assert_eq!(store.block(number(0)).expect("readable"), None);
    assert_eq!(store.hash_at(number(0)), None);
    assert!(!store.has_proof(number(1)));
    let tips = store.sync().expect("must sync");
    assert_eq!(tips, Tips { applied: Some(number(2)), published: Some(number(2)), proven: Some(number(1)) });
    check_holds(&store, 3);
}

#[test]
fn everything_published_is_there_after_reopening() {
    let dir = published(5, &[1, 2, 4]);
    let store = open(dir.path());
    check_holds(&store, 5);
    assert_eq!(store.metadata(), Some(Metadata::new("opaque", GENESIS)));
    assert_eq!(store.tips().proven, Some(number(2)));
    assert_eq!(store.proof(number(4)).expect("readable"), Some(payload(4)));
    assert_eq!(store.proof(number(3)).expect("readable"), None);
}

#[test]
fn an_empty_proof_is_a_proof() {
    let dir = published(2, &[]);
    let store = open(dir.path());
    store.put_proof(number(1), &[]).expect("must take the proof");
    store.sync().expect("must sync");
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.proof(number(1)).expect("readable"), Some(Vec::new()));
    assert_eq!(store.tips().proven, Some(number(1)));
}

#[test]
fn a_gap_in_the_proofs_closes_when_the_missing_one_comes() {
    let dir = published(4, &[2, 3]);
    let store = open(dir.path());
    assert_eq!(store.tips().proven, None);
    prove(&store, &[1]);
    assert_eq!(store.sync().expect("must sync").proven, Some(number(3)));
}

#[test]
fn gaps_repetitions_and_stray_proofs_are_refused() {
    let dir = published(2, &[]);
    let store = open(dir.path());
    for offered in [0, 1, 3] {
        let refused = store.apply(number(offered), &[b"x"]).expect_err("must refuse");
        assert!(matches!(refused, StoreError::NotNext { .. }), "{refused}");
    }
    for offered in [0, 2] {
        let refused = store.put_proof(number(offered), b"x").expect_err("must refuse");
        assert!(matches!(refused, StoreError::ProofWithoutBlock { .. }), "{refused}");
    }
    check_holds(&store, 2);
}

#[test]
fn a_crash_at_any_byte_of_the_tail_loses_nothing_published() {
    let dir = published(3, &[]);
    let durable = fs::metadata(dir.path().join(BLOCKS)).expect("there").len();
    let store = open(dir.path());
    append(&store, 3..5);
    drop(store);
    let whole = fs::read(dir.path().join(BLOCKS)).expect("readable");
    for cut in usize::try_from(durable).expect("small")..whole.len() {
        fs::write(dir.path().join(BLOCKS), &whole[..cut]).expect("writable");
        let store = open(dir.path());
        let held = store.tips().published.map_or(0, |tip| tip.index() + 1);
        assert!(held >= 3, "cut at {cut}");
        check_holds(&store, held);
        append(&store, held..6);
        store.sync().expect("must sync");
        drop(store);
        check_holds(&open(dir.path()), 6);
    }
}

#[test]
fn a_corrupt_tail_is_cut_at_any_byte() {
    let dir = published(4, &[]);
    let whole = fs::read(dir.path().join(BLOCKS)).expect("readable");
    let last = whole.len() - payload(3).len() - 52;
    for at in last..whole.len() {
        let mut torn = whole.clone();
        torn[at] ^= 0xff;
        fs::write(dir.path().join(BLOCKS), &torn).expect("writable");
        check_holds(&open(dir.path()), 3);
    }
}

#[test]
fn damage_in_the_middle_is_named_and_nothing_is_deleted() {
    let dir = published(4, &[]);
    let path = dir.path().join(BLOCKS);
    let whole = fs::read(&path).expect("readable");
    let last = whole.len() - payload(3).len() - 52;
    for at in 0..last {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x01;
        fs::write(&path, &damaged).expect("writable");
        let refused = DiskStore::open(dir.path()).err().expect("must refuse").to_string();
        assert!(refused.contains("blocks.log is damaged at byte"), "{refused}");
        assert!(refused.contains("restore the file"), "{refused}");
        assert_eq!(fs::read(&path).expect("readable"), damaged, "byte {at}");
    }
}

#[test]
fn a_payload_that_looks_like_a_record_is_no_proof_of_damage() {
    let dir = published(2, &[]);
    let decoy = fs::read(dir.path().join(BLOCKS)).expect("readable");
    let store = open(dir.path());
    store.apply(number(2), &[&decoy]).expect("must apply");
    drop(store);
    let path = dir.path().join(BLOCKS);
    let mut torn = fs::read(&path).expect("readable");
    let end = torn.len();
    torn[end - 1] ^= 1;
    fs::write(&path, &torn).expect("writable");
    check_holds(&open(dir.path()), 2);
}

#[test]
fn a_read_of_damaged_bytes_fails_instead_of_serving_them() {
    let dir = published(3, &[1]);
    let store = open(dir.path());
    for file in [BLOCKS, PROOFS] {
        let path = dir.path().join(file);
        let mut bytes = fs::read(&path).expect("readable");
        let end = bytes.len();
        bytes[end - 1] ^= 1;
        fs::write(&path, &bytes).expect("writable");
    }
    let refused = store.block(number(2)).expect_err("must refuse");
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
    assert!(store.proof(number(1)).is_err());
    assert_eq!(store.block(number(1)).expect("readable"), Some(payload(1)));
}

#[test]
fn a_proof_that_outlived_its_block_is_forgotten() {
    let dir = published(3, &[1, 2]);
    let whole = fs::read(dir.path().join(BLOCKS)).expect("readable");
    fs::write(dir.path().join(BLOCKS), &whole[..whole.len() - 1]).expect("writable");
    drop(open(dir.path()));
    let store = open(dir.path());
    store.apply(number(2), &[b"another block 2"]).expect("must apply");
    assert_eq!(store.sync().expect("must sync").proven, Some(number(1)));
    drop(store);
    assert!(!open(dir.path()).has_proof(number(2)));
}

#[test]
fn truncating_drops_blocks_and_their_proofs_for_good() {
    let dir = published(5, &[1, 2, 3]);
    let store = open(dir.path());
    let tips = store.truncate(number(1)).expect("must truncate");
    assert_eq!(tips, Tips { applied: Some(number(1)), published: Some(number(1)), proven: Some(number(1)) });
    append(&store, 2..4);
    store.sync().expect("must sync");
    drop(store);
    let store = open(dir.path());
    check_holds(&store, 4);
    assert_eq!(store.tips().proven, Some(number(1)));
    assert!(!store.has_proof(number(3)));
}

#[test]
fn a_directory_has_one_writer() {
    let dir = TempDir::new().expect("temp dir");
    let _first = open(dir.path());
    let refused = DiskStore::open(dir.path()).err().expect("must refuse");
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
}

#[test]
fn a_directory_with_blocks_keeps_its_format_and_genesis() {
    let dir = published(1, &[]);
    let store = open(dir.path());
    let other = Commitment::from_bytes([8; 32]);
    let refused = store.initialise(Metadata::new("opaque", other)).expect_err("must refuse").to_string();
    assert!(refused.contains(&GENESIS.to_string()) && refused.contains(&other.to_string()), "{refused}");
    let refused = store.initialise(Metadata::new("native", GENESIS)).expect_err("must refuse");
    assert!(matches!(refused, StoreError::OtherFormat { .. }), "{refused}");
    store.initialise(Metadata::new("opaque", GENESIS)).expect("the same again is no error");
}

#[test]
fn blocks_before_a_genesis_are_refused() {
    let dir = TempDir::new().expect("temp dir");
    let refused = open(dir.path()).apply(number(0), &[b"x"]).expect_err("must refuse");
    assert!(matches!(refused, StoreError::NotInitialised), "{refused}");
}

#[test]
fn metadata_of_another_version_or_none_at_all_is_named() {
    let dir = published(1, &[]);
    let path = dir.path().join("metadata.json");
    let text = fs::read_to_string(&path).expect("readable");
    for bad in [text.replace("\"version\": 1", "\"version\": 99"), "{".to_owned(), String::new()] {
        fs::write(&path, bad).expect("writable");
        let refused = DiskStore::open(dir.path()).err().expect("must refuse");
        assert!(matches!(refused, StoreError::BadMetadata { .. }), "{refused}");
    }
    fs::remove_file(&path).expect("removable");
    let refused = DiskStore::open(dir.path()).err().expect("must refuse");
    assert!(matches!(refused, StoreError::BadMetadata { .. }), "{refused}");
}

/// A real file whose writes and syncs fail on command; a failing write leaves half of its bytes.
struct FailingFile {
    file: fs::File,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    full: AtomicBool,
    sync: AtomicBool,
}

impl LogFile for FailingFile {
    fn len(&self) -> io::Result<u64> {
        LogFile::len(&self.file)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        LogFile::read_at(&self.file, into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.faults.full.load(Relaxed) {
            LogFile::write_at(&self.file, &bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        LogFile::write_at(&self.file, bytes, offset)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        LogFile::cut(&self.file, len)
    }

    fn sync(&self) -> io::Result<()> {
        if self.faults.sync.load(Relaxed) {
            return Err(io::Error::other("the disk is gone"));
        }
        LogFile::sync(&self.file)
    }
}

fn failing(dir: &Path) -> (DiskStore, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let file = |name| {
        let file = open_log(&dir.join(name)).expect("must open");
        Arc::new(FailingFile { file, faults: Arc::clone(&faults) })
    };
    let lock = DirLock::take(dir).expect("free");
    let store = DiskStore::recover(dir, lock, file(BLOCKS), file(PROOFS)).expect("must recover");
    (store, faults)
}

#[test]
fn a_full_disk_is_soft_and_applying_resumes() {
    let dir = published(2, &[]);
    let (store, faults) = failing(dir.path());
    faults.full.store(true, Relaxed);
    let refused = store.apply(number(2), &[&payload(2)]).expect_err("must refuse");
    assert!(refused.is_disk_full() && !refused.is_poison(), "{refused}");
    assert!(store.put_proof(number(1), b"proof").is_err());
    check_holds(&store, 2);
    faults.full.store(false, Relaxed);
    append(&store, 2..3);
    prove(&store, &[1]);
    store.sync().expect("must sync");
    drop(store);
    check_holds(&open(dir.path()), 3);
}

#[test]
fn a_failed_sync_publishes_nothing_and_ends_all_writing() {
    let dir = published(2, &[]);
    let (store, faults) = failing(dir.path());
    append(&store, 2..3);
    faults.sync.store(true, Relaxed);
    assert!(store.sync().expect_err("must fail").is_poison());
    faults.sync.store(false, Relaxed);
    check_holds(&store, 2);
    assert!(matches!(store.sync(), Err(StoreError::Poisoned)));
    assert!(matches!(store.apply(number(3), &[b"x"]), Err(StoreError::Poisoned)));
    assert!(matches!(store.put_proof(number(1), b"x"), Err(StoreError::Poisoned)));
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Prove(prop::sample::Index),
    Sync,
    /// The process dies; what was not synced is cut at a random byte of it.
    Crash(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_usize..4).prop_map(Step::Append),
        3 => any::<prop::sample::Index>().prop_map(Step::Prove),
        2 => Just(Step::Sync),
        1 => any::<prop::sample::Index>().prop_map(Step::Crash),
    ]
}

fn crash_logs(dir: &Path, durable: (usize, usize), at: prop::sample::Index) {
    for (name, durable) in [(BLOCKS, durable.0), (PROOFS, durable.1)] {
        let bytes = fs::read(dir.join(name)).expect("readable");
        let kept = durable + at.index(bytes.len() - durable + 1);
        fs::write(dir.join(name), &bytes[..kept]).expect("writable");
    }
}

fn lengths(dir: &Path) -> (usize, usize) {
    let len = |name| fs::read(dir.join(name)).expect("readable").len();
    (len(BLOCKS), len(PROOFS))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_published_once_stays(steps in prop::collection::vec(step(), 1..40)) {
        let dir = TempDir::new().expect("temp dir");
        let mut store = Some(fresh(dir.path()));
        let (mut seen, mut durable) = (Tips::default(), (0, 0));
        for step in steps {
            let held = store.take().expect("open");
            let count = held.tips().applied.map_or(0, |tip| tip.index() + 1);
            match step {
                Step::Append(more) => append(&held, count..count + more),
                Step::Prove(which) if count > 1 => prove(&held, &[1 + which.index(count - 1)]),
                Step::Prove(_) => {}
                Step::Sync => {
                    seen = held.sync().expect("must sync");
                    durable = lengths(dir.path());
                }
                Step::Crash(at) => {
                    drop(held);
                    crash_logs(dir.path(), durable, at);
                    let reopened = open(dir.path());
                    durable = lengths(dir.path());
                    prop_assert!(reopened.tips().published >= seen.published);
                    prop_assert!(reopened.tips().proven >= seen.proven);
                    seen = reopened.tips();
                    store = Some(reopened);
                    continue;
                }
            }
            store = Some(held);
        }
        let store = store.expect("open");
        let count = seen.published.map_or(0, |tip| tip.index() + 1);
        for n in 0..count {
            prop_assert_eq!(store.block(number(n)).expect("readable"), Some(payload(n)));
        }
        for n in 1..=seen.proven.map_or(0, BlockNumber::index) {
            prop_assert_eq!(store.proof(number(n)).expect("readable"), Some(payload(n)));
        }
    }
}
