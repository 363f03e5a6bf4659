//! What opening makes of a directory that a crash, a disk or a person has changed.

use std::fs;

use tempfile::TempDir;

use super::{append, check_holds, number, open, payload, published};
use crate::{
    BlockStore as _, DiskStore, StoreError,
    disk::{BLOCKS, PROOFS},
};

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
    let mut decoy = fs::read(dir.path().join(BLOCKS)).expect("readable");
    decoy.extend_from_slice(b"behind two sound records");
    let store = open(dir.path());
    store.apply(number(2), &[&decoy]).expect("must apply");
    drop(store);
    let path = dir.path().join(BLOCKS);
    let mut torn = fs::read(&path).expect("readable");
    let end = torn.len();
    torn[end - 1] ^= 1;
    fs::write(&path, &torn).expect("writable");
    let store = open(dir.path());
    check_holds(&store, 2);
    append(&store, 2..3);
    store.sync().expect("must sync");
    drop(store);
    check_holds(&open(dir.path()), 3);
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
fn a_directory_has_one_writer() {
    let dir = TempDir::new().expect("temp dir");
    let _first = open(dir.path());
    let refused = DiskStore::open(dir.path()).err().expect("must refuse");
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
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
}

#[test]
fn logs_without_metadata_are_refused_and_left_as_they_are() {
    for (name, bytes) in [(BLOCKS, &b"no record at all"[..]), (PROOFS, b"x")] {
        let dir = TempDir::new().expect("temp dir");
        fs::write(dir.path().join(name), bytes).expect("writable");
        let refused = DiskStore::open(dir.path()).err().expect("must refuse").to_string();
        assert!(refused.contains(name) && refused.contains("move the data directory away"), "{refused}");
        assert_eq!(fs::read(dir.path().join(name)).expect("readable"), bytes);
    }
    let dir = published(1, &[]);
    fs::remove_file(dir.path().join("metadata.json")).expect("removable");
    let refused = DiskStore::open(dir.path()).err().expect("must refuse");
    assert!(matches!(refused, StoreError::BadMetadata { .. }), "{refused}");
}
