//! Followers that follow each other.

use std::net::TcpListener;

use tempfile::TempDir;
use tidemark_follower::{cli::FollowArgs, sync::SyncMode};
use tidemark_wire::v1::ReplicaState;

use crate::{
    harness::{Running, check_same_blocks, follow, follow_in, in_state, produce, published, tips},
    scripted::{Script, Scripted},
};

/// An address that nobody uses at the moment.
fn free() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The directory of a follower that holds some blocks of the chain at `url`.
async fn some_blocks(url: &str) -> TempDir {
    let follower = follow(&[url], |_| {}).await;
    published(follower.rpc, 5).await;
    follower.stop().await
}

async fn at(address: std::net::SocketAddr, dir: TempDir, upstreams: &[&str], mode: SyncMode) -> Running {
    let change = |args: &mut FollowArgs| {
        args.serve.listen = address;
        args.sync = mode;
    };
    follow_in(dir, upstreams, change).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_of_itself_says_so() {
    let address = free();
    let url = format!("http://{address}");
    let follower = at(address, TempDir::new().unwrap(), &[&url], SyncMode::Auto).await;
    let looping = in_state(follower.rpc, ReplicaState::UpstreamLoop).await;
    assert!(looping.state_detail.contains("over 1 hops"), "{}", looping.state_detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_followers_of_each_other_say_so_both() {
    let primary = produce(|args| args.blocks = Some(5)).await;
    let (one, other) = (free(), free());
    let (one_url, other_url) = (format!("http://{one}"), format!("http://{other}"));
    let one = at(one, some_blocks(&primary.url()).await, &[&other_url], SyncMode::Poll).await;
    let other = at(other, some_blocks(&primary.url()).await, &[&one_url], SyncMode::Subscribe).await;
    for follower in [&one, &other] {
        in_state(follower.rpc, ReplicaState::UpstreamLoop).await;
    }
    assert_eq!(tips(one.rpc).await.published_tip, tips(other.rpc).await.published_tip);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_is_left_for_the_next_upstream_whoever_sees_it() {
    let primary = produce(|_| {}).await;
    for both_can_leave in [false, true] {
        let (one, other) = (free(), free());
        let (one_url, other_url) = (format!("http://{one}"), format!("http://{other}"));
        let dirs = (some_blocks(&primary.url()).await, some_blocks(&primary.url()).await);
        let one = at(one, dirs.0, &[&other_url, &primary.url()], SyncMode::Subscribe).await;
        let upstreams = [one_url, primary.url()];
        let upstreams: Vec<&str> = upstreams.iter().map(String::as_str).collect();
        let upstreams = if both_can_leave { &upstreams[..] } else { &upstreams[..1] };
        let other = at(other, dirs.1, upstreams, SyncMode::Subscribe).await;
        let tip = tips(primary.rpc).await.published_tip.unwrap() + 50;
        for follower in [&one, &other] {
            published(follower.rpc, tip).await;
        }
        check_same_blocks(primary.rpc, other.rpc, tip).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_leads_back_over_others_is_left() {
    let mut script = Script::native(3);
    script.peer = Some(("near".to_owned(), vec!["far".to_owned()]));
    let upstream = Scripted::start(script).await;
    let primary = Scripted::start(Script::native(9)).await;
    let follower = follow(&[&upstream.url()], |_| {}).await;
    let own = published(follower.rpc, 3).await.boot_id;
    assert_eq!(tips(follower.rpc).await.upstream_boot_ids, ["near", "far"]);
    upstream.change(|script| script.peer = Some(("near".to_owned(), vec!["far".to_owned(), own])));
    let looping = in_state(follower.rpc, ReplicaState::UpstreamLoop).await;
    assert!(looping.state_detail.contains("over 3 hops"), "{}", looping.state_detail);
    let follower = follow_in(follower.stop().await, &[&upstream.url(), &primary.url()], |_| {}).await;
    let own = published(follower.rpc, 3).await.boot_id;
    upstream.change(|script| script.peer = Some(("near".to_owned(), vec![own])));
    published(follower.rpc, 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_follower_of_a_chain_of_three_names_all_before_it() {
    let primary = produce(|_| {}).await;
    let first = follow(&[&primary.url()], |_| {}).await;
    let second = follow(&[&first.url()], |args| args.sync = SyncMode::Subscribe).await;
    let third = follow(&[&second.url()], |args| args.sync = SyncMode::Auto).await;
    let tip = tips(primary.rpc).await.published_tip.unwrap_or(0) + 30;
    published(third.rpc, tip).await;
    check_same_blocks(primary.rpc, third.rpc, tip).await;
    let mut expected = Vec::new();
    for store in [&second, &first, &primary] {
        expected.push(tips(store.rpc).await.boot_id);
    }
    let named = async || (tips(third.rpc).await.upstream_boot_ids == expected).then_some(());
    crate::harness::eventually("the third names all before it", named).await;
}
