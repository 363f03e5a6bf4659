//! What is visible when, and what is refused.

use std::sync::Barrier;

use super::{GENESIS, SMALL, append, check_holds, fresh, killed, number, open, payload, prove, published};
use crate::{BlockStore as _, Commitment, Metadata, StoreError, Tips};

fn up_to(tip: u32) -> Tips {
    let tip = Some(number(tip));
    Tips { applied: tip, durable: tip, published: tip, proven: None }
}

#[test]
fn nothing_is_visible_before_its_sync() {
    let (_, store) = fresh();
    append(&store, 0..3);
    prove(&store, &[1]);
    assert_eq!(store.tips(), Tips { applied: Some(number(2)), ..Tips::default() });
    assert_eq!(store.block(number(0)).expect("readable"), None);
    assert_eq!(store.hash_at(number(0)), None);
    assert!(!store.has_proof(number(1)));
    let tips = store.sync().expect("must sync");
    assert_eq!(tips, Tips { proven: Some(number(1)), ..up_to(2) });
    check_holds(&store, 3);
}

#[test]
fn everything_published_is_there_after_a_stop_and_after_a_kill() {
    let (disk, store) = published(50, &[1, 2, 4]);
    let (_, after_kill) = killed(&disk);
    drop(store);
    for store in [after_kill, open(&disk)] {
        check_holds(&store, 50);
        assert_eq!(store.metadata(), Some(Metadata::new("opaque", GENESIS)));
        assert_eq!(store.tips().proven, Some(number(2)));
        assert_eq!(store.proof(number(4)).expect("readable"), Some(payload(4)));
        assert_eq!(store.proof(number(3)).expect("readable"), None);
    }
}

#[test]
fn an_empty_proof_is_a_proof() {
    let (disk, store) = published(2, &[]);
    store.put_proof(number(1), &[]).expect("must take the proof");
    store.sync().expect("must sync");
    let (_, store) = killed(&disk);
    assert_eq!(store.proof(number(1)).expect("readable"), Some(Vec::new()));
    assert_eq!(store.tips().proven, Some(number(1)));
}

#[test]
fn a_gap_in_the_proofs_closes_when_the_missing_one_comes() {
    let (disk, store) = published(4, &[2, 3]);
    assert_eq!(store.tips().proven, None);
    drop(store);
    let store = open(&disk);
    assert!(store.has_proof(number(3)) && !store.has_proof(number(1)));
    prove(&store, &[1]);
    assert_eq!(store.sync().expect("must sync").proven, Some(number(3)));
}

#[test]
fn a_proof_held_already_is_kept_as_it_is() {
    let (_, store) = published(2, &[1]);
    store.put_proof(number(1), b"another").expect("is no error");
    store.sync().expect("must sync");
    assert_eq!(store.proof(number(1)).expect("readable"), Some(payload(1)));
}

#[test]
fn gaps_repetitions_and_stray_proofs_are_refused() {
    let (_, store) = published(2, &[]);
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
fn a_block_larger_than_a_segment_is_held() {
    let (disk, store) = published(2, &[]);
    let large = vec![9; 3 * SMALL.segment_size.expect("set") as usize];
    store.apply(number(2), &[&large, b"behind it"]).expect("must apply");
    store.sync().expect("must sync");
    let (_, store) = killed(&disk);
    assert_eq!(store.block(number(2)).expect("readable"), Some(large));
    assert_eq!(store.block(number(3)).expect("readable"), Some(b"behind it".to_vec()));
}

#[test]
fn truncating_drops_blocks_and_their_proofs_for_good() {
    let (disk, store) = published(60, &[1, 2, 3]);
    let tips = store.truncate(number(1)).expect("must truncate");
    assert_eq!(tips, Tips { proven: Some(number(1)), ..up_to(1) });
    append(&store, 2..4);
    store.sync().expect("must sync");
    let (_, after_kill) = killed(&disk);
    drop(store);
    for store in [after_kill, open(&disk)] {
        check_holds(&store, 4);
        assert_eq!(store.tips().proven, Some(number(1)));
        assert!(!store.has_proof(number(3)));
    }
}

#[test]
fn truncating_to_the_tip_or_above_drops_nothing() {
    let (_, store) = published(4, &[1]);
    for last in [3, 9] {
        store.truncate(number(last)).expect("must truncate");
        check_holds(&store, 4);
    }
}

#[test]
fn a_directory_with_blocks_keeps_its_format_and_genesis() {
    let (_, store) = published(1, &[]);
    let other = Commitment::from_bytes([8; 32]);
    let refused = store.initialise(Metadata::new("opaque", other)).expect_err("must refuse").to_string();
    assert!(refused.contains(&GENESIS.to_string()) && refused.contains(&other.to_string()), "{refused}");
    let refused = store.initialise(Metadata::new("native", GENESIS)).expect_err("must refuse");
    assert!(matches!(refused, StoreError::OtherFormat { .. }), "{refused}");
    store.initialise(Metadata::new("opaque", GENESIS)).expect("the same again is no error");
}

#[test]
fn an_empty_store_may_be_pinned_anew() {
    let (disk, store) = fresh();
    let other = Metadata::new("native", Commitment::from_bytes([8; 32]));
    store.initialise(other.clone()).expect("it has no block");
    let (_, store) = killed(&disk);
    assert_eq!(store.metadata(), Some(other));
}

#[test]
fn blocks_before_a_genesis_are_refused() {
    let disk = super::sim::SimDisk::new(super::sim::State::default());
    let refused = open(&disk).apply(number(0), &[b"x"]).expect_err("must refuse");
    assert!(matches!(refused, StoreError::NotInitialised), "{refused}");
}

#[test]
fn reads_go_on_while_blocks_are_written_and_cut() {
    let (_, store) = published(40, &[]);
    let started = Barrier::new(2);
    let read_all = || {
        for n in 0..220 {
            let block = store.block(number(n)).expect("never damaged");
            assert!(block.is_none_or(|block| block == payload(n)), "block {n}");
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            started.wait();
            while store.tips().published < Some(number(200)) {
                read_all();
            }
        });
        started.wait();
        for last in [30, 20, 10, 30, 20, 10] {
            store.truncate(number(last)).expect("must truncate");
            append(&store, last + 1..50);
            store.sync().expect("must sync");
        }
        for n in 50..201 {
            append(&store, n..n + 1);
            store.sync().expect("must sync");
        }
    });
    read_all();
}
