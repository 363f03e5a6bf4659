//! The store as its users meet it: on disk, crashed, damaged, full.

mod crashes;
mod failing_disk;
mod reading;
mod recovery;

use std::path::Path;

use tempfile::TempDir;

use crate::{BlockHash, BlockNumber, BlockStore as _, Commitment, DiskStore, Metadata};

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
