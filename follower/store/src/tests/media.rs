//! A medium beside the log is rolled forward, cut and rebuilt, and its failures are the store's.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::{
    GENESIS, SMALL, append, number, payload,
    sim::{SimDisk, State},
    tally::{Faults, Tally},
    try_open_tallied,
};
use crate::{BlockStore as _, DiskStore, Metadata, StoreError};

fn open(disk: &SimDisk) -> (DiskStore, Arc<Tally>) {
    open_with(disk, Arc::default()).expect("must open")
}

fn open_with(disk: &SimDisk, faults: Arc<Faults>) -> Result<(DiskStore, Arc<Tally>), StoreError> {
    try_open_tallied(disk, SMALL, faults)
}

fn published(count: u32) -> (SimDisk, DiskStore, Arc<Tally>) {
    let disk = SimDisk::new(State::default());
    let (store, tally) = open(&disk);
    store.initialise(Metadata::new("opaque", GENESIS)).expect("must initialise");
    append(&store, 0..count);
    store.sync().expect("must sync");
    (disk, store, tally)
}

fn check(tally: &Tally, count: u32) {
    let blocks: Vec<_> = (0..count).map(payload).collect();
    assert_eq!(tally.after(count), Tally::of(blocks.iter().map(Vec::as_slice)));
    assert_eq!(tally.after(count + 1), [0; 32], "nothing behind the tip");
}

#[test]
fn a_medium_takes_blocks_once_they_are_synced() {
    let (_, store, tally) = published(3);
    check(&tally, 3);
    store.apply(number(3), &[&payload(3), &payload(4)]).expect("must apply");
    append(&store, 5..6);
    check(&tally, 3);
    store.sync().expect("must sync");
    check(&tally, 6);
    assert_eq!(*tally.taken.lock().expect("free"), [(0, 3), (3, 3)], "a call a group");
}

#[test]
fn a_medium_that_lost_something_is_rolled_forward_from_the_checkpoint_at_most() {
    let (disk, store, _) = published(5);
    store.checkpoint().expect("must do");
    append(&store, 5..9);
    store.sync().expect("must sync");
    let (_, tally) = open(&SimDisk::new(disk.state()));
    check(&tally, 9);
    assert_eq!(*tally.taken.lock().expect("free"), [(5, 4)]);
}

#[test]
fn a_medium_that_is_lost_or_unusable_is_rebuilt() {
    let (disk, store, _) = published(70);
    drop(store);
    let faults = Arc::<Faults>::default();
    faults.unusable.store(true, Relaxed);
    let (store, tally) = open_with(&disk, faults).expect("must open");
    check(&tally, 70);
    assert_eq!(*tally.taken.lock().expect("free"), [(0, 64), (64, 6)]);
    drop(store);
    disk.forget(Tally::FILE);
    check(&open(&disk).1, 70);
}

#[test]
fn a_medium_is_cut_with_the_log_also_if_it_had_more() {
    let (disk, store, tally) = published(9);
    store.truncate(number(3)).expect("must truncate");
    check(&tally, 4);
    let (longer, _, _) = published(30);
    drop(store);
    disk.replace(Tally::FILE, &longer.bytes(Tally::FILE));
    check(&open(&disk).1, 4);
}

#[test]
fn a_medium_that_was_not_there_when_the_log_was_cut_keeps_nothing_of_the_other_chain() {
    let (disk, store, _) = published(9);
    drop(store);
    let store = super::open(&disk);
    store.truncate(number(3)).expect("must cut");
    let others: Vec<_> = (4..14).map(|n| payload(n + 100)).collect();
    store.apply(number(4), &others.iter().map(Vec::as_slice).collect::<Vec<_>>()).expect("must apply");
    store.sync().expect("must sync");
    drop(store);
    let (_, tally) = open(&disk);
    let blocks: Vec<_> = (0..4).map(payload).chain(others).collect();
    assert_eq!(tally.after(14), Tally::of(blocks.iter().map(Vec::as_slice)));
    assert_eq!(*tally.taken.lock().expect("free"), [(4, 10)]);
}

#[test]
fn what_a_medium_brings_along_that_this_store_never_met_does_not_count() {
    let (mine, store) = super::published(6, &[]);
    drop(store);
    let (other, store, _) = published(3);
    drop(store);
    mine.put(Tally::FILE, &other.bytes(Tally::FILE));
    let (_, tally) = open(&mine);
    check(&tally, 6);
    assert_eq!(*tally.taken.lock().expect("free"), [(0, 6)]);
}

#[test]
fn a_medium_that_cannot_sync_ends_all_writing() {
    let (_, store, tally) = published(3);
    append(&store, 3..4);
    tally.faults.sync_fails.store(true, Relaxed);
    let failed = store.checkpoint().expect_err("must fail");
    assert!(
        failed.is_poison() && failed.to_string().contains("the medium tally failed: the tally is gone"),
        "{failed}"
    );
    assert!(matches!(store.apply(number(4), &[b"x"]), Err(StoreError::Poisoned { .. })));
}

#[test]
fn a_medium_without_space_refuses_blocks_softly_and_a_store_opens_without_it() {
    let (disk, store, tally) = published(3);
    tally.faults.full.store(true, Relaxed);
    assert!(store.apply(number(3), &[b"x"]).expect_err("must refuse").is_disk_full());
    assert_eq!(store.tips().applied, Some(number(2)));
    drop(store);
    disk.forget(Tally::FILE);
    let (store, tally) = open_with(&disk, Arc::clone(&tally.faults)).expect("must open");
    assert_eq!((store.tips().durable, tally.after(1)), (Some(number(2)), [0; 32]));
    tally.faults.full.store(false, Relaxed);
    append(&store, 3..4);
    store.sync().expect("must sync");
    check(&tally, 4);
}
