//! Copying: from a primary, from a follower, in each mode, with proofs that come late, after a restart.

use std::time::Duration;

use tidemark_follower::{cli::FormatName, node, sync::SyncMode};
use tidemark_wire::v1::ReplicaState;

use crate::harness::{
    api, block, check_same, follow, follow_args, follow_in, in_state, page, produce, produce_in, proven,
    published, recorded_blocks, replay, tips,
};

async fn check_copies(mode: SyncMode) {
    let primary = produce(|_| {}).await;
    let follower = follow(&[&primary.url()], |args| args.sync = mode).await;
    let copied = proven(follower.rpc, 20).await;
    assert_eq!(copied.state(), ReplicaState::Syncing);
    assert_eq!(copied.genesis, tips(primary.rpc).await.genesis);
    check_same(primary.rpc, follower.rpc, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_copies_a_primary_by_polling() {
    check_copies(SyncMode::Poll).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_copies_a_primary_by_subscription() {
    check_copies(SyncMode::Subscribe).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_copies_a_primary_as_it_likes() {
    check_copies(SyncMode::Auto).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_of_a_follower_holds_the_same_bytes() {
    let primary = produce(|_| {}).await;
    let near = follow(&[&primary.url()], |_| {}).await;
    let far = follow(&[&near.url()], |args| args.sync = SyncMode::Auto).await;
    proven(far.rpc, 20).await;
    check_same(primary.rpc, far.rpc, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_block_of_a_real_chain_arrives_as_it_was_recorded() {
    let recorded = recorded_blocks();
    let last = u32::try_from(recorded.len() - 1).unwrap();
    let primary = replay(None).await;
    let opaque = |args: &mut tidemark_follower::cli::FollowArgs| args.format = FormatName::Opaque;
    let near = follow(&[&primary.url()], opaque).await;
    let far = follow(&[&near.url()], |args| {
        opaque(args);
        args.sync = SyncMode::Subscribe;
    })
    .await;
    for store in [&near, &far] {
        let held = published(store.rpc, last).await;
        assert_eq!(held.published_tip, Some(last));
        assert_eq!(held.genesis[..], recorded[1][4..36]);
        let mut client = api(store.rpc).await;
        for (number, expected) in recorded.iter().enumerate() {
            let held = block(&mut client, u32::try_from(number).unwrap()).await;
            assert_eq!(held.block.as_deref(), Some(&expected[..]), "block {number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_that_come_late_are_fetched_when_they_appear() {
    let primary = produce(|args| {
        args.blocks = Some(10);
        args.proof_delay = Duration::from_millis(1500);
    })
    .await;
    for mode in [SyncMode::Poll, SyncMode::Subscribe] {
        let follower = follow(&[&primary.url()], |args| args.sync = mode).await;
        published(follower.rpc, 10).await;
        proven(follower.rpc, 10).await;
        check_same(primary.rpc, follower.rpc, 10).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_of_no_bytes_are_copied_as_proofs() {
    let primary = replay(Some(5)).await;
    let follower = follow(&[&primary.url()], |args| args.format = FormatName::Opaque).await;
    proven(follower.rpc, 5).await;
    let mut client = api(follower.rpc).await;
    assert_eq!(block(&mut client, 5).await.proof.map(|proof| proof.len()), Some(0));
    assert_eq!(block(&mut client, 0).await.proof, None, "genesis has no proof");
}

#[tokio::test(flavor = "multi_thread")]
async fn catching_up_on_a_proven_chain_fetches_nothing_twice() {
    let primary = produce(|args| args.blocks = Some(30)).await;
    proven(primary.rpc, 30).await;
    let follower = follow(&[&primary.url()], |_| {}).await;
    proven(follower.rpc, 30).await;
    let metrics = page(follower.admin, "/metrics").await;
    assert!(metrics.contains("tidemark_follower_redundant_bytes_total 0\n"), "{metrics}");
    assert!(!metrics.contains("tidemark_follower_fetched_bytes_total 0\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_resumes_where_it_stopped() {
    let primary = produce(|_| {}).await;
    let follower = follow(&[&primary.url()], |_| {}).await;
    let before = published(follower.rpc, 10).await;
    let dir = follower.stop().await;
    let follower = follow_in(dir, &[&primary.url()], |_| {}).await;
    let after = tips(follower.rpc).await;
    assert!(after.published_tip >= before.published_tip, "{after:?}");
    assert_ne!(after.boot_id, before.boot_id);
    proven(follower.rpc, 30).await;
    check_same(primary.rpc, follower.rpc, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_resumes_its_chain() {
    let primary = produce(|_| {}).await;
    let before = proven(primary.rpc, 5).await;
    let follower = follow(&[&primary.url()], |_| {}).await;
    published(follower.rpc, 5).await;
    let primary = produce_in(primary.stop().await, |_| {}).await;
    let moved = follow_in(follower.stop().await, &[&primary.url()], |_| {}).await;
    let tip = before.published_tip.unwrap() + 20;
    let after = proven(moved.rpc, tip).await;
    assert_eq!(after.genesis, before.genesis);
    assert_eq!(after.state(), ReplicaState::Syncing);
    check_same(primary.rpc, moved.rpc, tip).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_a_given_length_is_served_on_when_it_is_complete() {
    let primary = produce(|args| args.blocks = Some(3)).await;
    proven(primary.rpc, 3).await;
    let follower = follow(&[&primary.url()], |_| {}).await;
    let copied = proven(follower.rpc, 3).await;
    assert_eq!((copied.published_tip, copied.state()), (Some(3), ReplicaState::Syncing));
    assert_eq!(tips(primary.rpc).await.state(), ReplicaState::Producing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_not_continued_on_another_chain() {
    let primary = produce(|_| {}).await;
    published(primary.rpc, 2).await;
    let dir = primary.stop().await;
    let mut args = crate::harness::produce_args(dir.path());
    args.replay = Some(crate::harness::REAL_CHAIN.into());
    let refused = node::produce(args).await.err().expect("refused").to_string();
    assert!(refused.contains("\"native\", not \"opaque\""), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_genesis_that_is_not_the_store_s_is_refused_with_both_values() {
    let primary = produce(|_| {}).await;
    let follower = follow(&[&primary.url()], |_| {}).await;
    let held = published(follower.rpc, 1).await.genesis;
    let dir = follower.stop().await;
    let mut args = follow_args(dir.path(), &[&primary.url()]);
    let asked = format!("0x{}", "ab".repeat(32));
    args.genesis = Some(asked.parse().unwrap());
    let refused = node::follow(args).await.err().expect("refused").to_string();
    assert!(refused.contains(&asked) && refused.contains(&hex::encode(held)), "{refused}");
    assert!(refused.contains("use another data directory"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_of_another_genesis_gives_no_block() {
    let primary = produce(|_| {}).await;
    published(primary.rpc, 2).await;
    let asked = format!("0x{}", "ab".repeat(32)).parse().unwrap();
    let follower = follow(&[&primary.url()], |args| args.genesis = Some(asked)).await;
    let tips = in_state(follower.rpc, ReplicaState::WrongGenesis).await;
    assert_eq!(tips.published_tip, None);
    assert_eq!(tips.genesis[..], [0xab; 32]);
}
