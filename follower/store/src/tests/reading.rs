//! What is visible when, and what is refused.

use tempfile::TempDir;

use super::{GENESIS, append, check_holds, fresh, number, open, payload, prove, published};
use crate::{BlockStore as _, Commitment, Metadata, StoreError, Tips};

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
