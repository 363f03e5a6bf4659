//! Disks that lose what they had confirmed where other records lay before: those must never count again.

use std::sync::Arc;

use rand::{SeedableRng as _, rngs::StdRng};

use super::{
    append, killed, number, open, payload, published,
    sim::{Fate, SimDisk},
};
use crate::{
    BlockHash, BlockStore as _, DiskStore, StoreError, StoreReader, index::BlockIndex, record::HEADER,
};

const FIRST: &str = "blocks-00000000.log";
const SECOND: &str = "blocks-00000001.log";

/// Block 4 of the other chain, as long as the one whose place it takes.
const OTHER: [u8; 24] = [0xee; 24];

/// A store that went over to another chain from block 4 on, where its record lies, and what the log held before.
fn went_over(after: &[&[u8]]) -> (SimDisk, usize, Vec<u8>) {
    let (disk, store) = published(8, &[]);
    store.checkpoint().expect("must do");
    let at = disk.find(FIRST, &payload(4)) - HEADER as usize;
    let before = disk.bytes(FIRST);
    store.truncate(number(3)).expect("must cut");
    store.apply(number(4), &[&[&OTHER[..]], after].concat()).expect("must apply");
    store.sync().expect("must sync");
    store.checkpoint().expect("must do");
    assert_eq!(store.block(number(4)).expect("readable"), Some(OTHER.to_vec()));
    (disk, at, before)
}

/// The disk holds again what it held there before.
fn revert(disk: &SimDisk, at: usize, len: usize, before: &[u8]) {
    let mut bytes = disk.bytes(FIRST);
    bytes[at..at + len].copy_from_slice(&before[at..at + len]);
    disk.replace(FIRST, &bytes);
}

fn check_refused_and_repaired(store: &DiskStore, disk: &SimDisk) {
    assert!(store.block(number(4)).expect_err("it is not what was published").is_damage());
    assert_eq!((store.damaged(), store.tips().published), (vec![number(4)], Some(number(3))));
    assert_eq!(store.hash_at(number(4)), Some(BlockHash::of(&OTHER)));
    let refused = store.repair(number(4), &payload(4)).expect_err("must refuse");
    assert!(matches!(refused, StoreError::OtherBytes { .. }), "{refused}");
    store.repair(number(4), &OTHER).expect("must take it");
    assert_eq!(killed(disk).1.block(number(4)).expect("readable"), Some(OTHER.to_vec()));
}

#[test]
fn a_block_of_the_chain_that_was_left_is_not_served_again() {
    let (disk, at, before) = went_over(&[&[0xef; 25]]);
    revert(&disk, at, HEADER as usize + OTHER.len(), &before);
    check_refused_and_repaired(&open(&disk), &disk);
}

#[test]
fn a_header_of_the_chain_that_was_left_says_nothing_of_this_one() {
    let (disk, at, before) = went_over(&[&[0xef; 25]]);
    revert(&disk, at, HEADER as usize + 8, &before);
    check_refused_and_repaired(&open(&disk), &disk);
}

#[test]
fn without_indexes_a_block_of_the_chain_that_was_left_is_no_block() {
    let (disk, at, before) = went_over(&[&[0xef; 25]]);
    revert(&disk, at, HEADER as usize + OTHER.len(), &before);
    [BlockIndex::PLACES, BlockIndex::HASHES].into_iter().for_each(|name| disk.forget(name));
    let store = open(&disk);
    assert!(store.block(number(4)).expect_err("nobody knows it").is_damage());
    assert!(matches!(store.repair(number(4), &payload(4)), Err(StoreError::HashLost { .. })));
    assert_eq!(store.block(number(5)).expect("readable"), Some(vec![0xef; 25]));
}

#[test]
fn what_lies_behind_the_end_of_a_segment_does_not_count() {
    let large = vec![0xef; 2000];
    let (disk, ..) = went_over(&[&large]);
    [BlockIndex::PLACES, BlockIndex::HASHES].into_iter().for_each(|name| disk.forget(name));
    disk.corrupt(SECOND, 10);
    let store = open(&disk);
    assert_eq!(store.tips().durable, Some(number(5)));
    assert_eq!(store.block(number(4)).expect("readable"), Some(OTHER.to_vec()));
    assert_eq!(store.block(number(5)).expect("readable"), Some(large));
}

/// The record was written and never synced, so that it was never published; torn, it ended the log.
#[test]
fn a_torn_tail_does_not_count_again_either() {
    let (disk, store) = published(4, &[]);
    append(&store, 4..6);
    let torn = SimDisk::new(disk.state());
    let at = disk.find(FIRST, &payload(4)) - HEADER as usize;
    torn.corrupt(FIRST, at + HEADER as usize);
    let before = torn.bytes(FIRST);
    let store = open(&torn);
    assert_eq!(store.tips().durable, Some(number(3)));
    store.apply(number(4), &[&OTHER[..], &[0xef; 25]]).expect("must apply");
    store.sync().expect("must sync");
    drop(store);
    revert(&torn, at, HEADER as usize, &before);
    let store = open(&torn);
    assert_eq!(store.block(number(4)).expect("by its entry"), Some(OTHER.to_vec()));
    torn.corrupt(FIRST, at + HEADER as usize);
    revert(&torn, at, HEADER as usize, &before);
    check_refused_and_repaired(&open(&torn), &torn);
}

/// The system fails to write entries back that a cut blanked, the process dies, and memory still says that they are blank.
#[test]
fn entries_that_are_blank_in_memory_only_are_blanked_again() {
    let (disk, store) = published(30, &[]);
    store.checkpoint().expect("must do");
    disk.record();
    store.truncate(number(3)).expect("must cut");
    let mut rng = StdRng::seed_from_u64(1);
    for point in disk.take_points() {
        let after = SimDisk::new(point.crash(Fate::Unwritten, &mut rng));
        let held = open(&after).tips().durable;
        let lost = SimDisk::new(after.state().crash(Fate::None, &mut rng));
        let reader = StoreReader::open_on(Arc::new(lost)).expect("must open");
        assert_eq!(reader.tips().durable, held);
    }
}

/// The system fails to write a repaired block back, the process dies, and memory still says that it is whole: it stays on
/// the list until it is written again, by whoever looks at it next.
#[test]
fn a_block_that_is_whole_in_memory_only_is_written_again() {
    type Again<'a> = &'a dyn Fn(&DiskStore);
    let again: [Again<'_>; 2] = [
        &|store| assert_eq!(store.repair(number(4), &payload(4)).expect("must take it"), store.tips()),
        &|store| assert!(store.scrub(number(4), 1).expect("must scrub").bytes > 0),
    ];
    let (disk, store) = published(8, &[]);
    store.checkpoint().expect("must do");
    let at = disk.find(FIRST, &payload(4));
    disk.corrupt(FIRST, at);
    assert!(store.block(number(4)).expect_err("must be met").is_damage());
    disk.record();
    store.repair(number(4), &payload(4)).expect("must take it");
    let points = disk.take_points();
    let mut rng = StdRng::seed_from_u64(1);
    let mut met = 0;
    for (point, again) in points.iter().flat_map(|point| again.map(|again| (point, again))) {
        let after = SimDisk::new(point.crash(Fate::Unwritten, &mut rng));
        let store = open(&after);
        if store.damaged().is_empty() || after.bytes(FIRST)[at] != payload(4)[0] {
            continue;
        }
        met += 1;
        assert_eq!(store.tips().published, Some(number(3)), "it stays on the list");
        again(&store);
        assert_eq!(store.tips().published, Some(number(7)));
        let lost = SimDisk::new(after.state().crash(Fate::None, &mut rng));
        let store = open(&lost);
        assert_eq!(store.block(number(4)).expect("readable"), Some(payload(4)));
        assert_eq!(store.tips().published, Some(number(7)));
    }
    assert!(met > 0, "the crash after the write must leave that");
}
