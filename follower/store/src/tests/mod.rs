//! The store as its users meet it: reading, full, failing, damaged, crashed.

mod archive;
mod crashes;
mod damage;
mod failing_disk;
mod fixtures;
mod fuzz;
mod harm;
mod healing;
mod hooked;
mod lost_writes;
mod media;
mod migration;
mod model;
mod opening;
mod quarantine;
mod reader;
mod reading;
mod recovery;
mod sim;
mod subject;
mod tally;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use sim::{SimDisk, State};
use tally::{Faults, Tally};

use crate::{
    BlockHash, BlockNumber, BlockStore as _, Commitment, DiskStore, Medium, Metadata, StoreError,
    engine::Options, io::Disk,
};

const GENESIS: Commitment = Commitment::from_bytes([7; 32]);

/// Small enough for a few blocks to roll, and for every index page to be filled.
const SMALL: Options = Options {
    format: None,
    segment_size: Some(2048),
    volume: None,
    growth: 8,
    checkpoint_every: Duration::from_secs(1 << 30),
};

fn number(n: u32) -> BlockNumber {
    BlockNumber::new(n)
}

fn payload(n: u32) -> Vec<u8> {
    vec![u8::try_from(n % 251).expect("below 251"); 20 + n as usize]
}

fn try_open(disk: &SimDisk) -> Result<DiskStore, StoreError> {
    DiskStore::open_on(Arc::new(disk.clone()), SMALL, Vec::new(), None)
}

/// The same store with a medium beside it.
fn try_open_tallied(
    disk: &SimDisk,
    options: Options,
    faults: Arc<Faults>,
) -> Result<(DiskStore, Arc<Tally>), StoreError> {
    let made = Arc::new(OnceLock::new());
    let makes = Arc::clone(&made);
    let make = move |disk: &Arc<dyn Disk>| {
        let tally = Tally::open(disk, faults)?;
        Ok(Arc::clone(makes.get_or_init(|| tally)) as Arc<dyn Medium>)
    };
    let store = DiskStore::open_on(Arc::new(disk.clone()), options, vec![Box::new(make)], None)?;
    Ok((store, Arc::clone(made.get().expect("it was made"))))
}

fn open(disk: &SimDisk) -> DiskStore {
    try_open(disk).expect("must open")
}

/// Opens what is there when the process dies now and the machine lives on.
fn killed(disk: &SimDisk) -> (SimDisk, DiskStore) {
    let after = SimDisk::new(disk.state());
    let store = open(&after);
    (after, store)
}

fn fresh() -> (SimDisk, DiskStore) {
    let disk = SimDisk::new(State::default());
    let store = open(&disk);
    store.initialise(Metadata::new("opaque", GENESIS)).expect("must initialise");
    (disk, store)
}

fn append(store: &DiskStore, numbers: std::ops::Range<u32>) {
    for n in numbers {
        store.apply(number(n), &[&payload(n)]).expect("must apply");
    }
}

fn prove(store: &DiskStore, numbers: &[u32]) {
    for &n in numbers {
        store.put_proof(number(n), &payload(n)).expect("must take the proof");
    }
}

/// A store with blocks 0..count and the proofs named, all published.
fn published(count: u32, proofs: &[u32]) -> (SimDisk, DiskStore) {
    let (disk, store) = fresh();
    append(&store, 0..count);
    prove(&store, proofs);
    store.sync().expect("must sync");
    (disk, store)
}

/// 30 blocks over several segments, with a proof of block 1.
fn one_proven() -> (SimDisk, DiskStore) {
    published(30, &[1])
}

fn check_holds(store: &DiskStore, count: u32) {
    assert_eq!(store.tips().published, BlockNumber::last_of(count));
    for n in 0..count {
        assert_eq!(store.block(number(n)).expect("readable"), Some(payload(n)));
        assert_eq!(store.hash_at(number(n)), Some(BlockHash::of(&payload(n))));
    }
    assert_eq!(store.block(number(count)).expect("readable"), None);
    assert_eq!(store.hash_at(number(count)), None);
}
