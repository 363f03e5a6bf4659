//! Disks that are full or fail to sync.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    SMALL, append, check_holds, fresh,
    hooked::{Call, open_hooked},
    killed, number, open, payload, prove, published,
};
use crate::{BlockStore as _, DiskStore, StoreError, engine::Options};

/// Applies blocks until one is refused; its number.
fn fill(store: &DiskStore, from: u32) -> (u32, StoreError) {
    let refused = (from..).find_map(|n| Some((n, store.apply(number(n), &[&payload(n)]).err()?)));
    refused.expect("numbers do not end")
}

#[test]
fn a_full_disk_is_soft_at_the_roll_and_applying_resumes() {
    let (disk, store) = published(2, &[]);
    disk.set(|faults| faults.full = true);
    let (first, refused) = fill(&store, 2);
    assert!(refused.is_disk_full() && !refused.is_poison(), "{refused}");
    assert!(first > 3, "the segment's space was there before, to block {first}");
    store.sync().expect("what was applied can be published");
    check_holds(&store, first);
    let (_, reopened) = killed(&disk);
    check_holds(&reopened, first);
    disk.set(|faults| faults.full = false);
    append(&store, first..first + 40);
    prove(&store, &[1]);
    store.sync().expect("must sync");
    check_holds(&killed(&disk).1, first + 40);
}

#[test]
fn a_batch_that_finds_the_disk_full_leaves_nothing_behind() {
    let (disk, store) = published(2, &[]);
    disk.set(|faults| faults.full = true);
    let blocks: Vec<_> = (2..8).map(|_| vec![1; 400]).collect();
    let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
    let refused = store.apply(number(2), &blocks).expect_err("must refuse");
    assert!(refused.is_disk_full(), "{refused}");
    store.sync().expect("must sync");
    check_holds(&store, 2);
    check_holds(&killed(&disk).1, 2);
}

#[test]
fn a_checkpoint_on_a_full_disk_can_wait() {
    let (disk, store) = published(2, &[]);
    append(&store, 2..3);
    disk.set(|faults| faults.full = true);
    store.checkpoint().expect("needs no space");
    check_holds(&killed(&disk).1, 3);
}

#[test]
fn a_store_is_opened_and_served_on_a_full_disk_and_written_once_there_is_space() {
    let (disk, store) = published(3, &[1]);
    append(&store, 3..5);
    drop(store);
    disk.set(|faults| faults.full = true);
    for _ in 0..3 {
        let store = open(&disk);
        check_holds(&store, 5);
        assert!(store.apply(number(5), &[b"x"]).expect_err("must refuse").is_disk_full());
        assert!(store.put_proof(number(2), b"x").expect_err("must refuse").is_disk_full());
        assert_eq!(store.sync().expect("nothing to do").published, Some(number(4)));
    }
    let store = open(&disk);
    disk.set(|faults| faults.full = false);
    append(&store, 5..8);
    store.sync().expect("must sync");
    check_holds(&killed(&disk).1, 8);
}

#[test]
fn a_failed_sync_publishes_nothing_and_ends_all_writing() {
    let (disk, store) = published(2, &[]);
    append(&store, 2..3);
    disk.set(|faults| faults.sync_fails = true);
    assert!(store.sync().expect_err("must fail").is_poison());
    disk.set(|faults| faults.sync_fails = false);
    check_holds(&store, 2);
    assert!(matches!(store.sync(), Err(StoreError::Poisoned { .. })));
    assert!(matches!(store.apply(number(3), &[b"x"]), Err(StoreError::Poisoned { .. })));
    assert!(matches!(store.put_proof(number(1), b"x"), Err(StoreError::Poisoned { .. })));
    assert!(matches!(store.truncate(number(0)), Err(StoreError::Poisoned { .. })));
    let told = store.poison().expect("everybody is told").to_string();
    assert!(told.contains("cannot sync /sim/blocks-00000000.log: the disk is gone"), "{told}");
}

#[test]
fn a_sync_that_fails_at_the_roll_is_poison_too() {
    let (disk, store) = fresh();
    append(&store, 0..2);
    disk.set(|faults| faults.sync_fails = true);
    let (_, refused) = fill(&store, 2);
    assert!(refused.is_poison(), "{refused}");
    assert_eq!(store.tips().published, None);
}

#[test]
fn poison_that_a_reader_meets_is_told_and_ends_all_writing() {
    let (disk, store) = published(8, &[]);
    store.checkpoint().expect("must do");
    disk.corrupt("blocks-00000000.log", disk.find("blocks-00000000.log", &payload(3)) + 5);
    disk.set(|faults| faults.sync_fails = true);
    assert!(store.poison().is_none());
    assert!(store.block(number(3)).expect_err("is damaged").is_damage());
    disk.set(|faults| faults.sync_fails = false);
    assert!(store.poison().expect("everybody is told").to_string().contains("the disk is gone"));
    assert!(store.sync().expect_err("must refuse").to_string().contains("the disk is gone"));
}

#[test]
fn a_checkpoint_that_cannot_be_written_now_is_written_later() {
    let (disk, store) = published(2, &[]);
    drop(store);
    let is_out = Arc::new(AtomicBool::new(false));
    let asks = Arc::clone(&is_out);
    let hook = move |call, name: &str| {
        let fails = call == Call::Create && name == "metadata.json.new" && asks.load(Relaxed);
        if fails { Err(io::Error::from_raw_os_error(24)) } else { Ok(()) }
    };
    let options = Options { checkpoint_every: Duration::ZERO, ..SMALL };
    let store = open_hooked(&disk, options, Arc::new(hook));
    is_out.store(true, Relaxed);
    let before = disk.bytes("metadata.json");
    append(&store, 2..3);
    assert_eq!(store.sync().expect("the blocks are synced").published, Some(number(2)));
    assert_eq!(disk.bytes("metadata.json"), before);
    is_out.store(false, Relaxed);
    append(&store, 3..4);
    store.sync().expect("must sync");
    assert_ne!(disk.bytes("metadata.json"), before);
    check_holds(&store, 4);
}

#[test]
fn a_batch_that_finds_no_space_gives_back_the_segments_it_would_have_filled() {
    let (disk, store) = published(2, &[]);
    drop(store);
    let is_full = Arc::new(AtomicBool::new(false));
    let asks = Arc::clone(&is_full);
    let hook = move |call, name: &str| {
        let fails = call == Call::Write && name.starts_with("blocks") && asks.swap(false, Relaxed);
        if fails { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    };
    let store = open_hooked(&disk, SMALL, Arc::new(hook));
    is_full.store(true, Relaxed);
    let blocks: Vec<_> = (2..60).map(payload).collect();
    let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
    assert!(store.apply(number(2), &blocks).expect_err("must refuse").is_disk_full());
    assert!(!disk.names("").iter().any(|name| name.ends_with(".log.new")), "{:?}", disk.names(""));
    store.apply(number(2), &blocks).expect("must apply");
    store.sync().expect("must sync");
    check_holds(&store, 60);
}
