//! Bytes that were once published and are others now.

use super::{
    append, check_holds, fresh, killed, number, open, payload, prove, published, sim::SimDisk, try_open,
};
use crate::{BlockStore as _, DiskStore, StoreError, index::BlockIndex};

const FIRST: &str = "blocks-00000000.log";

/// Where the payload of a block lies in the first segment.
fn payload_at(disk: &SimDisk, n: u32) -> usize {
    let (bytes, payload) = (disk.bytes(FIRST), payload(n));
    bytes.windows(payload.len()).rposition(|window| window == payload).expect("there")
}

/// Blocks 0..6, each synced before the next is written.
fn one_by_one() -> (SimDisk, DiskStore) {
    let (disk, store) = published(1, &[]);
    for n in 1..6 {
        append(&store, n..n + 1);
        store.sync().expect("must sync");
    }
    (disk, store)
}

fn check_served_around(store: &DiskStore, damaged: u32) {
    assert_eq!(store.tips().durable, Some(number(5)));
    for n in 0..6 {
        let read = store.block(number(n));
        if n == damaged {
            assert!(matches!(read, Err(StoreError::Damaged { .. })), "block {n}: {read:?}");
            assert_eq!((store.damaged(), store.tips().published), (vec![number(n)], Some(number(n - 1))));
        } else {
            assert_eq!(read.expect("readable"), Some(payload(n)));
        }
    }
}

#[test]
fn damage_below_the_checkpoint_is_met_by_the_read_and_served_around() {
    let (disk, store) = one_by_one();
    store.checkpoint().expect("must do");
    disk.corrupt(FIRST, payload_at(&disk, 2) + 3);
    check_served_around(&store, 2);
    drop(store);
    check_served_around(&open(&disk), 2);
}

#[test]
fn damage_past_the_checkpoint_is_known_by_the_synced_records_behind_it() {
    for (damaged, at) in [(1, 0), (2, 3), (3, 22), (4, 0)] {
        let (disk, _store) = one_by_one();
        disk.corrupt(FIRST, payload_at(&disk, damaged).checked_add_signed(at).expect("in the file"));
        let (_, store) = killed(&disk);
        assert_eq!(store.damaged(), [number(damaged)], "{at}");
        check_served_around(&store, damaged);
        append(&store, 6..8);
        assert_eq!(store.sync().expect("must sync").durable, Some(number(7)));
    }
}

#[test]
fn a_record_whose_header_is_damaged_is_read_by_its_indexes_and_gets_it_back() {
    for at in [-72, -60, -30, -1] {
        let (disk, _store) = one_by_one();
        disk.corrupt(FIRST, payload_at(&disk, 3).checked_add_signed(at).expect("in the file"));
        let (disk, store) = killed(&disk);
        assert_eq!(store.damaged(), [], "{at}");
        check_holds(&store, 6);
        [BlockIndex::PLACES, BlockIndex::HASHES].into_iter().for_each(|name| disk.forget(name));
        check_holds(&killed(&disk).1, 6);
    }
}

#[test]
fn a_torn_record_is_cut_with_what_was_written_with_it() {
    let (disk, store) = published(2, &[]);
    append(&store, 2..5);
    disk.corrupt(FIRST, payload_at(&disk, 3));
    let (disk, store) = killed(&disk);
    check_holds(&store, 3);
    append(&store, 3..6);
    store.sync().expect("must sync");
    check_holds(&killed(&disk).1, 6);
}

#[test]
fn damage_at_the_end_of_a_segment_is_known_by_the_next_one() {
    let (disk, store) = fresh();
    append(&store, 0..60);
    let end = disk.bytes(FIRST).iter().rposition(|byte| *byte != 0).expect("has records");
    disk.corrupt(FIRST, end);
    let (_, reopened) = killed(&disk);
    assert_eq!(reopened.tips().durable, Some(number(59)));
    let [damaged] = reopened.damaged()[..] else { panic!("{:?}", reopened.damaged()) };
    assert!(reopened.block(damaged).is_err() && reopened.block(damaged.next()).is_ok());
}

#[test]
fn a_tail_that_was_durable_and_is_gone_is_said_and_nothing_is_changed() {
    for kept in [1, 3] {
        let (disk, store) = one_by_one();
        store.checkpoint().expect("must do");
        let from = payload_at(&disk, kept) + payload(kept).len() + 7;
        disk.lose(FIRST, from / 8 * 8);
        let before = disk.bytes(FIRST);
        let lost = try_open(&disk).err().expect("must refuse");
        let StoreError::DurableLost { confirmed, held, .. } = &lost else { panic!("{lost}") };
        assert_eq!((*confirmed, *held), (number(5), Some(number(kept))));
        assert!(lost.to_string().contains(&format!("block 5 was, {kept} is the last one left")), "{lost}");
        assert!(disk.bytes(FIRST) == before, "nothing is changed");
    }
}

#[test]
fn a_damaged_proof_is_one_not_held_and_can_be_put_again() {
    let (disk, store) = published(3, &[1, 2]);
    let proofs = "proofs-00000000.log";
    let at = disk.bytes(proofs).windows(21).rposition(|window| window == payload(1)).expect("there");
    disk.corrupt(proofs, at);
    assert_eq!(store.tips().proven, Some(number(2)));
    assert!(matches!(store.proof(number(1)), Err(StoreError::Damaged { .. })));
    assert_eq!((store.tips().proven, store.has_proof(number(1))), (None, false));
    assert_eq!(store.proof(number(2)).expect("readable"), Some(payload(2)));
    let (disk, store) = killed(&disk);
    assert_eq!((store.tips().proven, store.has_proof(number(2))), (None, true));
    prove(&store, &[1]);
    assert_eq!(store.sync().expect("must sync").proven, Some(number(2)));
    assert_eq!(killed(&disk).1.proof(number(1)).expect("readable"), Some(payload(1)));
}

#[test]
fn a_payload_that_is_a_copy_of_the_log_is_no_record() {
    let (disk, store) = published(2, &[]);
    let decoy = disk.bytes(FIRST)[..400].to_vec();
    store.apply(number(2), &[&decoy]).expect("must apply");
    let at = disk.bytes(FIRST).windows(400).rposition(|window| window == decoy).expect("there");
    disk.corrupt(FIRST, at + 399);
    let (_, store) = killed(&disk);
    check_holds(&store, 2);
    assert_eq!(store.damaged(), []);
}

#[test]
fn a_proof_log_that_is_lost_is_a_log_without_proofs() {
    let (disk, store) = published(3, &[1, 2]);
    drop(store);
    disk.forget("proofs-00000000.log");
    let store = open(&disk);
    assert_eq!((store.tips().proven, store.has_proof(number(1))), (None, false));
    store.put_proof(number(1), &payload(1)).expect("it is copied again");
    store.sync().expect("must sync");
    assert_eq!(killed(&disk).1.proof(number(1)).expect("readable"), Some(payload(1)));
}

#[test]
fn a_block_log_that_is_lost_is_said() {
    let (disk, store) = published(3, &[]);
    drop(store);
    disk.forget(FIRST);
    let lost = try_open(&disk).err().expect("must refuse").to_string();
    assert!(lost.contains("block 2 was, none is the last one left"), "{lost}");
}

#[test]
fn a_block_is_at_hand_if_it_is_published_and_sound_and_no_longer_than_asked_for() {
    let (disk, store) = one_by_one();
    append(&store, 6..7);
    let len = |n: u32| u32::try_from(payload(n).len()).expect("short");
    let at_hand = |n: u32, longest| store.block_at_hand(number(n), longest);
    for n in 0..6 {
        assert_eq!(store.block(number(n)).expect("readable"), Some(payload(n)));
        assert_eq!(store.block_len(number(n)).expect("readable"), Some(len(n)));
        assert_eq!(at_hand(n, len(n)), Some(payload(n)));
    }
    assert_eq!(at_hand(3, len(3) - 1), None);
    assert_eq!((at_hand(6, u32::MAX), store.block_len(number(6)).expect("readable")), (None, None));
    disk.corrupt(FIRST, payload_at(&disk, 2) + 3);
    assert_eq!(at_hand(2, u32::MAX), None);
    assert!(store.block(number(2)).is_err());
    assert_eq!(at_hand(3, u32::MAX), Some(payload(3)));
}
