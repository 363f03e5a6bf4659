//! How much is asked of an upstream, in calls and in bytes.

use std::time::{Duration, Instant};

use tidemark_follower::{cli::FollowArgs, size::ByteSize, sync::SyncMode};
use tidemark_wire::v1::ReplicaState;
use tonic::{Code, codegen::Bytes};

use crate::{
    harness::{Running, follow, in_state, page, produce, proven, published},
    scripted::{Script, Scripted},
};

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_burst_is_asked_for_at_the_rate() {
    let upstream = Scripted::start(Script::native(60)).await;
    let started = Instant::now();
    let follower = follow(&[&upstream.url()], |args| args.requests_per_second = 5).await;
    published(follower.rpc, 60).await;
    // 61 blocks, a Status and a question for tidemark.v1; 40 of these are a burst.
    assert!(started.elapsed() >= Duration::from_secs(4), "after {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_takes_no_more_calls_is_asked_at_the_rate() {
    let mut script = Script::native(20);
    script.remaining = Some(0);
    let upstream = Scripted::start(script).await;
    let started = Instant::now();
    let slowly = |args: &mut FollowArgs| {
        args.requests_per_second = 10;
        args.poll_interval = Duration::from_secs(3600);
    };
    let follower = follow(&[&upstream.url()], slowly).await;
    published(follower.rpc, 20).await;
    assert!(started.elapsed() >= Duration::from_millis(1900), "after {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_asks_to_wait_for_ever_is_left_for_the_next() {
    let mut script = Script::native(3);
    script.block_error = Some((Code::ResourceExhausted, "Too Many Requests! Wait for 11s".to_owned()));
    let first = Scripted::start(script).await;
    let second = Scripted::start(Script::native(6)).await;
    let follower = follow(&[&first.url(), &second.url()], |_| {}).await;
    published(follower.rpc, 6).await;
    assert!(first.calls("GetBlockByNumber") <= 8, "only what was on its way was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_only_upstream_that_asks_to_wait_is_not_asked_meanwhile_and_the_state_says_so() {
    let upstream = Scripted::start(Script::native(3)).await;
    let follower = follow(&[&upstream.url()], |_| {}).await;
    published(follower.rpc, 3).await;
    upstream.change(|script| {
        script.status_error = Some((Code::ResourceExhausted, "Too Many Requests! Wait for 11s".to_owned()));
    });
    let limited = in_state(follower.rpc, ReplicaState::UpstreamUnreachable).await;
    assert!(limited.state_detail.contains("asks to wait for 11s"), "{}", limited.state_detail);
    upstream.change(|script| script.calls.clear());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((upstream.calls("Status"), upstream.calls("Tips")), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn catching_up_asks_for_some_blocks_at_once_and_not_for_all() {
    let mut script = Script::native(100);
    script.block_delay = Duration::from_millis(20);
    let upstream = Scripted::start(script).await;
    let follower = follow(&[&upstream.url()], |_| {}).await;
    published(follower.rpc, 100).await;
    let most = upstream.read(|script| script.most_open);
    // 8 blocks, and 8 proofs that did not come with theirs.
    assert!((2..=16).contains(&most), "{most} at once");
}

async fn counted(follower: &Running, name: &str) -> u64 {
    let metrics = page(follower.admin, "/metrics").await;
    let line =
        metrics.lines().find_map(|line| line.strip_prefix(&format!("tidemark_follower_{name}_total ")));
    line.unwrap_or_else(|| panic!("{name}: {metrics}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_a_proven_chain_costs_next_to_nothing_twice() {
    let mut script = Script::native(200);
    script.proofs = (1..=200).map(|number| (number, Bytes::from_static(&[1; 500]))).collect();
    let upstream = Scripted::start(script).await;
    let first = follow(&[&upstream.url()], |_| {}).await;
    proven(first.rpc, 200).await;
    let (fetched, redundant) =
        (counted(&first, "fetched_bytes").await, counted(&first, "redundant_bytes").await);
    assert!(fetched >= 200 * 500 && redundant * 100 <= fetched, "{redundant} of {fetched} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_a_proven_chain_of_blocks_that_fill_the_queue_costs_nothing_twice() {
    let mut script = Script::native(0);
    script.extend(40, &vec![7; 1 << 20]);
    script.proofs = (1..=40).map(|number| (number, Bytes::from_static(&[1; 500]))).collect();
    let upstream = Scripted::start(script).await;
    let follower = follow(&[&upstream.url()], |_| {}).await;
    proven(follower.rpc, 40).await;
    assert_eq!(counted(&follower, "redundant_bytes").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_no_follower_of_this_one_would_get_is_not_taken() {
    for mode in [SyncMode::Poll, SyncMode::Subscribe] {
        let mut script = Script::native(3);
        script.proofs = [(1, Bytes::from(vec![1; 100 << 10]))].into();
        let upstream = Scripted::start(script).await;
        let follower = follow(&[&upstream.url()], |args| {
            args.sync = mode;
            args.serve.limits.max_block_size = ByteSize(64 << 10);
        })
        .await;
        let refused = in_state(follower.rpc, ReplicaState::BlockTooLarge).await;
        assert!(refused.state_detail.contains("its proof has 102400 bytes"), "{}", refused.state_detail);
        assert_eq!(refused.proven_tip, None);
    }
}

/// A chain like one of 1 MiB blocks each second with proofs 20 s late, in a tenth of the time and of the size; how many
/// bytes its blocks have, and how many bytes were fetched twice.
async fn at_the_live_edge(mode: SyncMode) -> (u64, u64) {
    let primary = produce(|args| {
        args.body_size = ByteSize(100 << 10);
        args.block_interval = Duration::from_millis(100);
        args.proof_delay = Duration::from_secs(2);
    })
    .await;
    let live = |args: &mut FollowArgs| {
        args.sync = mode;
        args.poll_interval = Duration::from_millis(100);
    };
    let follower = follow(&[&primary.url()], live).await;
    proven(follower.rpc, 100).await;
    let blocks = counted(&follower, "blocks").await;
    (blocks * (100 << 10), counted(&follower, "redundant_bytes").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn late_proofs_at_the_live_edge_cost_nothing_twice_while_subscribed() {
    let (_, redundant) = at_the_live_edge(SyncMode::Auto).await;
    assert_eq!(redundant, 0);
}

/// Each late proof comes with its block once more: asking too early must cost no more than half as much again.
#[tokio::test(flavor = "multi_thread")]
async fn late_proofs_at_the_live_edge_cost_at_most_one_and_a_half_times_the_blocks_while_polling() {
    let (blocks, redundant) = at_the_live_edge(SyncMode::Poll).await;
    assert!(redundant * 2 <= blocks * 3, "{redundant} redundant bytes for {blocks} bytes of blocks");
}
