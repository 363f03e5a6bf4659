//! Subscriptions that bring nothing: what a second connection finds out about it.

use std::time::Duration;

use tidemark_follower::{cli::FollowArgs, sync::SyncMode};
use tidemark_wire::v1::ReplicaState;
use tonic::codegen::Bytes;

use crate::{
    harness::{Running, follow, in_state, published},
    scripted::{Script, Scripted},
    trickle::Trickle,
};

fn subscribing(args: &mut FollowArgs) {
    args.sync = SyncMode::Subscribe;
}

async fn subscribed(upstreams: &[&Scripted]) -> Running {
    let urls: Vec<_> = upstreams.iter().map(|upstream| upstream.url()).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let follower = follow(&urls, subscribing).await;
    published(follower.rpc, 3).await;
    follower
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tip_that_does_not_rise_is_stalled_and_the_stream_is_kept() {
    let upstream = Scripted::start(Script::native(3)).await;
    let follower = subscribed(&[&upstream]).await;
    let stalled = in_state(follower.rpc, ReplicaState::UpstreamStalled).await;
    assert!(stalled.state_detail.contains("has not risen"), "{}", stalled.state_detail);
    assert_eq!(upstream.calls("BlockSubscription"), 1);
    upstream.change(|script| script.extend(5, b"body"));
    published(follower.rpc, 5).await;
    in_state(follower.rpc, ReplicaState::Syncing).await;
    assert_eq!(upstream.calls("BlockSubscription"), 2, "the stream was silent though there were blocks");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tip_that_does_not_rise_is_stalled_while_polling_too() {
    let upstream = Scripted::start(Script::native(3)).await;
    let follower = follow(&[&upstream.url()], |_| {}).await;
    in_state(follower.rpc, ReplicaState::UpstreamStalled).await;
    upstream.change(|script| script.extend(5, b"body"));
    published(follower.rpc, 5).await;
    in_state(follower.rpc, ReplicaState::Syncing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_freezes_while_its_stream_is_open_is_left_for_the_next() {
    let (first, second) =
        (Scripted::start(Script::native(3)).await, Scripted::start(Script::native(3)).await);
    let follower = subscribed(&[&first]).await;
    first.change(|script| script.frozen = true);
    let frozen = in_state(follower.rpc, ReplicaState::UpstreamFrozen).await;
    assert!(frozen.state_detail.contains("was not answered within 2s"), "{}", frozen.state_detail);
    first.change(|script| script.frozen = false);
    let follower = subscribed(&[&first, &second]).await;
    first.change(|script| script.frozen = true);
    second.change(|script| script.extend(6, b"body"));
    published(follower.rpc, 6).await;
}

/// A chain whose block 4 takes its time.
fn with_a_large_block(trickle: Trickle) -> Script {
    let mut script = Script::native(3);
    script.extend(4, &[7; 1 << 20]);
    script.trickle = Some(trickle);
    script
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_arrives_slowly_is_no_silence() {
    let slow = Trickle { free: 16 << 10, piece: 16 << 10, pause: Duration::from_millis(150) };
    let upstream = Scripted::start(with_a_large_block(slow)).await;
    let follower = subscribed(&[&upstream]).await;
    published(follower.rpc, 4).await;
    assert_eq!(upstream.calls("BlockSubscription"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_stops_within_a_message_is_left_for_a_new_one() {
    let stops = Trickle { free: 64 << 10, piece: 16 << 10, pause: Duration::from_secs(3600) };
    let upstream = Scripted::start(with_a_large_block(stops)).await;
    let follower = subscribed(&[&upstream]).await;
    upstream.change(|script| script.trickle = None);
    let held = published(follower.rpc, 4).await;
    assert_eq!(held.state(), ReplicaState::Syncing);
    assert!(upstream.calls("BlockSubscription") >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_message_that_never_becomes_a_block_is_left_at_the_limit() {
    let mut script = Script::native(3);
    script.extend(4, b"body");
    script.blocks.insert(4, Bytes::from(vec![0; 3 << 20]));
    let upstream = Scripted::start(script).await;
    let small = |args: &mut FollowArgs| {
        subscribing(args);
        args.serve.limits.max_block_size = tidemark_follower::size::ByteSize(1 << 20);
    };
    let follower = follow(&[&upstream.url()], small).await;
    let tips = in_state(follower.rpc, ReplicaState::BlockTooLarge).await;
    assert_eq!(tips.published_tip, Some(3));
    assert!(tips.state_detail.contains("block 4 is larger than --max-block-size"), "{}", tips.state_detail);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(upstream.calls("BlockSubscription") <= 2, "{} tries", upstream.calls("BlockSubscription"));
}

/// A follower that polls a chain whose block 4 is large, and takes its time.
async fn polling(trickle: Trickle) -> (Scripted, Running) {
    let mut script = Script::native(3);
    script.extend(4, &[7; 1 << 20]);
    script.call_trickle = Some(trickle);
    let upstream = Scripted::start(script).await;
    let follower = follow(&[&upstream.url()], |_| {}).await;
    published(follower.rpc, 3).await;
    (upstream, follower)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_takes_longer_than_any_limit_is_waited_for_while_it_comes() {
    let slow = Trickle { free: 16 << 10, piece: 16 << 10, pause: Duration::from_millis(180) };
    let (upstream, follower) = polling(slow).await;
    published(follower.rpc, 4).await;
    assert_eq!(upstream.calls("Tips"), 1, "one session");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_drips_is_not_waited_for() {
    let drips = Trickle { free: 64 << 10, piece: 16, pause: Duration::from_millis(500) };
    let (_upstream, follower) = polling(drips).await;
    let left = in_state(follower.rpc, ReplicaState::UpstreamUnreachable).await;
    assert!(left.state_detail.contains("GetBlockByNumber was not answered"), "{}", left.state_detail);
}
