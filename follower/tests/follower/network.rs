//! Networks and upstreams that go away: silently, loudly, or for another one.

use std::time::{Duration, Instant};

use tidemark_follower::sync::SyncMode;
use tidemark_wire::v1::ReplicaState;
use tonic::Code;

use crate::{
    harness::{check_same_blocks, eventually, follow, in_state, page, produce, published, tips},
    proxy::Proxy,
    scripted::{Script, Scripted},
};

const ENDED_IN_ORDER: &str = "tidemark_follower_sessions_ended_total{reason=\"Syncing\"} ";

async fn check_silent_cut(mode: SyncMode) {
    let primary = produce(|_| {}).await;
    let proxy = Proxy::to(primary.rpc).await;
    let follower = follow(&[&proxy.url()], |args| args.sync = mode).await;
    published(follower.rpc, 5).await;
    let cut = Instant::now();
    proxy.cut();
    let held = in_state(follower.rpc, ReplicaState::UpstreamUnreachable).await.published_tip.unwrap();
    assert!(cut.elapsed() < Duration::from_secs(5), "noticed after {:?}", cut.elapsed());
    published(primary.rpc, held + 20).await;
    let healed = Instant::now();
    proxy.heal();
    published(follower.rpc, held + 20).await;
    assert!(healed.elapsed() < Duration::from_secs(5), "recovered after {:?}", healed.elapsed());
    check_same_blocks(primary.rpc, follower.rpc, held + 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silently_cut_network_is_noticed_while_polling_and_recovered_from() {
    check_silent_cut(SyncMode::Poll).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silently_cut_network_is_noticed_while_subscribed_and_recovered_from() {
    check_silent_cut(SyncMode::Subscribe).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_upstream_takes_over_when_one_is_gone() {
    let primary = produce(|_| {}).await;
    let first = follow(&[&primary.url()], |_| {}).await;
    let follower = follow(&[&first.url(), &primary.url()], |_| {}).await;
    let before = published(follower.rpc, 5).await.published_tip.unwrap();
    drop(first.stop().await);
    published(follower.rpc, before + 20).await;
    assert_eq!(tips(follower.rpc).await.state(), ReplicaState::Syncing);
    check_same_blocks(primary.rpc, follower.rpc, before + 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_upstream_is_returned_to_when_it_answers_again() {
    let (first, second) =
        (Scripted::start(Script::native(3)).await, Scripted::start(Script::native(3)).await);
    first.change(|script| script.status_error = Some((Code::Unavailable, "stopping".to_owned())));
    let follower = follow(&[&first.url(), &second.url()], |_| {}).await;
    published(follower.rpc, 3).await;
    assert_eq!(first.calls("GetBlockByNumber"), 0);
    first.change(|script| {
        script.status_error = None;
        script.extend(6, b"body");
    });
    published(follower.rpc, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_ends_old_connections_is_in_no_trouble() {
    let primary = produce(|args| args.serve.limits.max_connection_age = Duration::from_millis(300)).await;
    published(primary.rpc, 1).await;
    for mode in [SyncMode::Poll, SyncMode::Subscribe] {
        let follower = follow(&[&primary.url()], |args| args.sync = mode).await;
        let ended_thrice = async || {
            let metrics = page(follower.admin, "/metrics").await;
            let ended = metrics.lines().find_map(|line| line.strip_prefix(ENDED_IN_ORDER))?;
            (ended.parse::<u32>().unwrap() >= 3).then_some(metrics)
        };
        let metrics = eventually("three sessions ended in order", ended_thrice).await;
        assert!(!metrics.contains("reason=\"Upstream"), "{mode:?}: {metrics}");
        assert_eq!(tips(follower.rpc).await.state(), ReplicaState::Syncing);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_upstream_in_the_list_is_passed_over() {
    let primary = produce(|_| {}).await;
    let follower = follow(&["http://127.0.0.1:1", &primary.url()], |_| {}).await;
    published(follower.rpc, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_ends_its_streams_is_subscribed_to_again() {
    let primary = produce(|_| {}).await;
    let near = follow(&[&primary.url()], |_| {}).await;
    let far = follow(&[&near.url(), &primary.url()], |args| args.sync = SyncMode::Subscribe).await;
    let before = published(far.rpc, 5).await.published_tip.unwrap();
    drop(near.stop().await);
    published(far.rpc, before + 20).await;
}
