//! Upstreams that hold another chain, or only a part of ours.

use tidemark_follower::{cli::FormatName, sync::OnFork};
use tidemark_store::BlockHash;
use tidemark_wire::{
    rpc::BlockSubscriptionRequest,
    v1::{ReplicaState, TipsResponse},
};
use tonic::{Code, codegen::Bytes};

use crate::{
    harness::{
        Running, api, check_same_blocks, eventually, follow, follow_in, in_state, page, published, tips,
    },
    scripted::{Script, Scripted},
};

const HELD: u32 = 40;

/// An upstream whose chain differs from block `fork` on from the one with tip 40 that a stopped follower holds, and that
/// follower, started again on it.
async fn forked(fork: u32, on_fork: OnFork, speaks_v1: bool) -> (Scripted, Running) {
    let upstream = Scripted::start(Script::native(HELD)).await;
    let follower = follow(&[&upstream.url()], |_| {}).await;
    published(follower.rpc, HELD).await;
    let dir = follower.stop().await;
    upstream.change(|script| {
        script.blocks.retain(|number, _| *number < fork);
        script.extend(HELD + 10, b"another chain");
        script.calls.clear();
        script.peer = speaks_v1.then(|| ("boot".to_owned(), Vec::new()));
    });
    let follower = follow_in(dir, &[&upstream.url()], |args| args.on_fork = on_fork).await;
    (upstream, follower)
}

fn check_halts(tips: &TipsResponse, common: u32) {
    assert_eq!(tips.published_tip, Some(HELD));
    let said = format!("block {common} is the last one in common");
    assert!(tips.state_detail.contains(&said), "{}", tips.state_detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_is_reported_with_the_last_common_block_and_nothing_is_applied() {
    for fork in [1, 17, HELD] {
        let (upstream, follower) = forked(fork, OnFork::Halt, false).await;
        let diverged = in_state(follower.rpc, ReplicaState::Diverged).await;
        check_halts(&diverged, fork - 1);
        let metrics = page(follower.admin, "/metrics").await;
        assert!(metrics.contains("tidemark_follower_state{state=\"Diverged\"} 1"), "{metrics}");
        let common = format!("tidemark_follower_tip{{kind=\"common\"}} {}\n", fork - 1);
        assert!(metrics.contains(&common), "{metrics}");
        assert!(upstream.calls("GetBlockByNumber") <= 14, "{}", upstream.calls("GetBlockByNumber"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_is_found_by_hashes_alone_where_the_upstream_tells_them() {
    let (upstream, follower) = forked(17, OnFork::Halt, true).await;
    let diverged = in_state(follower.rpc, ReplicaState::Diverged).await;
    check_halts(&diverged, 16);
    assert_eq!(upstream.calls("GetBlockByNumber"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_may_be_followed_is_followed() {
    for speaks_v1 in [false, true] {
        let (upstream, follower) = forked(HELD - 4, OnFork::Rewind(5), speaks_v1).await;
        published(follower.rpc, HELD + 10).await;
        assert_eq!(tips(follower.rpc).await.state(), ReplicaState::Syncing);
        check_same_blocks(upstream.rpc, follower.rpc, HELD + 10).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_is_longer_than_allowed_halts() {
    let (_upstream, follower) = forked(HELD - 5, OnFork::Rewind(5), false).await;
    check_halts(&in_state(follower.rpc, ReplicaState::Diverged).await, HELD - 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_without_a_common_block_are_said_to_have_none() {
    let upstream = Scripted::start(Script::native(3)).await;
    let opaque = |args: &mut tidemark_follower::cli::FollowArgs| {
        args.format = FormatName::Opaque;
        args.on_fork = OnFork::Rewind(100);
    };
    let follower = follow(&[&upstream.url()], opaque).await;
    published(follower.rpc, 3).await;
    let dir = follower.stop().await;
    upstream.change(|script| {
        script.blocks.clear();
        script.extend(9, b"another chain");
    });
    let follower = follow_in(dir, &[&upstream.url()], opaque).await;
    let diverged = in_state(follower.rpc, ReplicaState::Diverged).await;
    assert!(diverged.state_detail.contains("no block is the same in both"), "{}", diverged.state_detail);
    assert_eq!(diverged.published_tip, Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_no_longer_keeps_what_is_due_is_pruned() {
    let mut script = Script::native(20);
    script.blocks.retain(|number, _| *number >= 10);
    script.genesis = *BlockHash::of(&Script::native(0).blocks[&0]).as_bytes();
    let upstream = Scripted::start(script).await;
    let follower = follow(&[&upstream.url()], |_| {}).await;
    let pruned = in_state(follower.rpc, ReplicaState::UpstreamPruned).await;
    assert!(pruned.state_detail.contains("block 0"), "{}", pruned.state_detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_tip_its_upstream_no_longer_keeps_takes_the_next_one() {
    let upstream = Scripted::start(Script::native(3)).await;
    let follower = follow(&[&upstream.url()], |_| {}).await;
    published(follower.rpc, 3).await;
    let dir = follower.stop().await;
    upstream.change(|script| {
        script.extend(20, b"body");
        script.blocks.retain(|number, _| *number == 0 || *number >= 10);
    });
    let whole = Scripted::start(Script::native(20)).await;
    let follower = follow_in(dir, &[&upstream.url()], |_| {}).await;
    in_state(follower.rpc, ReplicaState::UpstreamPruned).await;
    let follower = follow_in(follower.stop().await, &[&upstream.url(), &whole.url()], |_| {}).await;
    published(follower.rpc, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_missing_between_others_is_a_hole_and_not_pruned() {
    let mut script = Script::native(20);
    script.blocks.remove(&7);
    let upstream = Scripted::start(script).await;
    let follower = follow(&[&upstream.url()], |_| {}).await;
    let hole = in_state(follower.rpc, ReplicaState::UpstreamHole).await;
    assert_eq!(hole.published_tip, Some(6));
    assert!(hole.state_detail.contains("no block 7"), "{}", hole.state_detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_a_follower_that_rewinds_must_subscribe_again_and_no_block_is_lost() {
    let (upstream, follower) = forked(HELD - 4, OnFork::Halt, false).await;
    in_state(follower.rpc, ReplicaState::Diverged).await;
    let dir = follower.stop().await;
    upstream.change(|script| script.status_error = Some((Code::Unavailable, "not yet".to_owned())));
    let follower = follow_in(dir, &[&upstream.url()], |args| args.on_fork = OnFork::Rewind(5)).await;
    let request = BlockSubscriptionRequest { block_from: HELD };
    let mut blocks = api(follower.rpc).await.block_subscription(request).await.unwrap().into_inner();
    assert!(blocks.message().await.unwrap().is_some(), "block {HELD} of the old chain");
    upstream.change(|script| script.status_error = None);
    let end = blocks.message().await.expect_err("no block of the other chain follows");
    assert_eq!(end.code(), Code::Aborted, "{end}");
    published(follower.rpc, HELD + 10).await;
    let kept = std::fs::read_dir(follower.data_dir().join("quarantine")).unwrap().count();
    assert!(kept > 0, "what was dropped is kept");
}

/// Claims forks ever lower down, and has no block to show for them.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_k_blocks_are_given_up_however_often_the_upstream_forks() {
    let upstream = Scripted::start(Script::native(HELD)).await;
    let follower = follow(&[&upstream.url()], |_| {}).await;
    published(follower.rpc, HELD).await;
    let dir = follower.stop().await;
    let claim = |lowest: u32| {
        upstream.change(|script| {
            script.blocks.retain(|number, _| *number < lowest);
            (lowest..=HELD + 20)
                .for_each(|number| drop(script.blocks.insert(number, Bytes::from_static(b"x"))));
            script.tip = HELD + 20;
        });
    };
    claim(HELD - 4);
    let follower = follow_in(dir, &[&upstream.url()], |args| args.on_fork = OnFork::Rewind(5)).await;
    let cut = async || (tips(follower.rpc).await.published_tip == Some(HELD - 5)).then_some(());
    eventually("the first fork is followed", cut).await;
    claim(HELD - 9);
    let halted = in_state(follower.rpc, ReplicaState::Diverged).await;
    assert_eq!(halted.published_tip, Some(HELD - 5));
}
