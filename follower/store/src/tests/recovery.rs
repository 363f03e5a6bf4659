//! What opening makes of a real directory that a crash or a person has changed.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::{GENESIS, append, check_holds, number, payload, prove};
use crate::{BlockStore as _, DiskStore, Metadata, StoreError, index::BlockIndex};

fn open(dir: &Path) -> DiskStore {
    DiskStore::open(dir).expect("must open")
}

/// A closed store with that many blocks and a proof.
fn published(count: u32) -> TempDir {
    let dir = TempDir::new().expect("temp dir");
    let store = open(dir.path());
    store.initialise(Metadata::new("opaque", GENESIS)).expect("must initialise");
    append(&store, 0..count);
    prove(&store, &[1]);
    store.sync().expect("must sync");
    dir
}

#[test]
fn a_real_directory_is_reopened() {
    let dir = published(5);
    for count in 5..8 {
        let store = open(dir.path());
        check_holds(&store, count);
        assert_eq!(store.proof(number(1)).expect("readable"), Some(payload(1)));
        append(&store, count..count + 1);
        store.sync().expect("must sync");
    }
}

#[test]
fn a_directory_has_one_writer() {
    let dir = TempDir::new().expect("temp dir");
    let _first = open(dir.path());
    let refused = DiskStore::open(dir.path()).err().expect("must refuse");
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
}

#[test]
fn metadata_of_another_version_names_both_and_the_way_out() {
    let dir = published(2);
    let path = dir.path().join("metadata.json");
    let text = fs::read_to_string(&path).expect("readable");
    fs::write(&path, text.replace("\"version\": 2", "\"version\": 99")).expect("writable");
    let refused = DiskStore::open(dir.path()).err().expect("must refuse").to_string();
    for part in ["version 99", "versions 1 to 2", "run the release that wrote it"] {
        assert!(refused.contains(part), "{refused}");
    }
}

#[test]
fn metadata_that_is_damaged_or_missing_is_named() {
    let dir = published(2);
    let path = dir.path().join("metadata.json");
    let text = fs::read_to_string(&path).expect("readable");
    let changed = text.replace("\"blocks\": 2", "\"blocks\": 1");
    assert_ne!(changed, text);
    for bad in [changed, "{".to_owned(), String::new()] {
        fs::write(&path, bad).expect("writable");
        let refused = DiskStore::open(dir.path()).err().expect("must refuse");
        assert!(matches!(refused, StoreError::BadMetadata { .. }), "{refused}");
    }
}

#[test]
fn logs_without_metadata_are_refused_and_left_as_they_are() {
    for name in ["blocks-00000000.log", "proofs.log", "places.idx"] {
        let dir = TempDir::new().expect("temp dir");
        fs::write(dir.path().join(name), b"somebody's").expect("writable");
        let refused = DiskStore::open(dir.path()).err().expect("must refuse").to_string();
        assert!(refused.contains(name) && refused.contains("move the data directory away"), "{refused}");
        assert_eq!(fs::read(dir.path().join(name)).expect("readable"), b"somebody's");
    }
}

#[test]
fn segments_that_were_never_finished_are_removed() {
    let dir = published(2);
    let unfinished = dir.path().join("blocks-00000001.log.new");
    fs::write(&unfinished, b"half").expect("writable");
    check_holds(&open(dir.path()), 2);
    assert!(!unfinished.exists());
}

#[test]
fn a_proof_is_never_found_again_for_another_block() {
    let dir = published(5);
    let store = open(dir.path());
    store.truncate(number(0)).expect("must truncate");
    store.apply(number(1), &[b"another block 1"]).expect("must apply");
    store.sync().expect("must sync");
    drop(store);
    fs::remove_file(dir.path().join("proof-places.idx")).expect("removable");
    let store = open(dir.path());
    assert_eq!(store.tips().published, Some(number(1)));
    assert!(!store.has_proof(number(1)));
}

#[test]
fn an_index_that_is_lost_is_rebuilt_from_the_log() {
    let dir = published(300);
    for lost in [BlockIndex::PLACES, BlockIndex::HASHES, "proof-places.idx"] {
        fs::remove_file(dir.path().join(lost)).expect("removable");
        let store = open(dir.path());
        check_holds(&store, 300);
        assert_eq!(store.proof(number(1)).expect("readable"), Some(payload(1)), "{lost}");
        assert_eq!(store.tips().proven, Some(number(1)));
    }
}
