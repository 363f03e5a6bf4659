//! How the streams of an upstream may end, one test for each: what a follower does about it.

use tidemark_follower::sync::SyncMode;
use tidemark_wire::v1::ReplicaState;
use tonic::{Code, codegen::Bytes};

use crate::{
    harness::{Running, api, block, eventually, follow, follow_in, in_state, page, proven, published, tips},
    scripted::{End, Script, Scripted},
};

const BANNED: &str = "temporarily banned for being slow, retry in 540 seconds";

/// A subscribed follower of a chain with tip 3, whose first subscriptions end like that.
async fn after(mode: SyncMode, ends: impl IntoIterator<Item = End>) -> (Scripted, Running) {
    let mut script = Script::native(3);
    script.ends = ends.into_iter().collect();
    let upstream = Scripted::start(script).await;
    let follower = follow(&[&upstream.url()], |args| args.sync = mode).await;
    published(follower.rpc, 3).await;
    (upstream, follower)
}

async fn subscribed(upstream: &Scripted, times: usize) -> Vec<u32> {
    let from = async || {
        upstream.read(|script| script.from.get("blocks").cloned()).filter(|from| from.len() >= times)
    };
    eventually(&format!("{times} subscriptions"), from).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_end_is_subscribed_to_again_at_once_over_the_same_connection() {
    let (upstream, follower) = after(SyncMode::Subscribe, [End::Clean, End::Clean]).await;
    assert_eq!(subscribed(&upstream, 3).await, [0, 4, 4]);
    assert_eq!(upstream.calls("Status"), 1, "no new session was needed");
    assert_eq!(tips(follower.rpc).await.state(), ReplicaState::Syncing);
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_ends_without_a_block_between_them_are_no_endless_loop() {
    let (upstream, follower) = after(SyncMode::Subscribe, std::iter::repeat_n(End::Clean, 1000)).await;
    subscribed(&upstream, 6).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let times = subscribed(&upstream, 6).await.len();
    assert!(times < 40, "{times} subscriptions");
    upstream.change(|script| {
        script.ends.clear();
        script.extend(6, b"body");
    });
    published(follower.rpc, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_that_only_the_next_subscribe_tells_of_is_polled_through() {
    let refused = End::Refused(Code::ResourceExhausted, BANNED);
    let (upstream, follower) = after(SyncMode::Auto, [End::Clean, refused]).await;
    subscribed(&upstream, 2).await;
    upstream.change(|script| script.extend(6, b"body"));
    published(follower.rpc, 6).await;
    assert_eq!(subscribed(&upstream, 2).await, [0, 4], "no subscription while banned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_with_a_ban_is_polled_on() {
    let (upstream, follower) = after(SyncMode::Auto, [End::Fails(Code::ResourceExhausted, BANNED)]).await;
    upstream.change(|script| script.extend(6, b"body"));
    published(follower.rpc, 6).await;
    assert_eq!(subscribed(&upstream, 1).await, [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_free_slot_is_polled() {
    let refused = End::Refused(Code::ResourceExhausted, "maximum subscriptions reached");
    let (upstream, follower) = after(SyncMode::Auto, [refused]).await;
    upstream.change(|script| script.extend(6, b"body"));
    published(follower.rpc, 6).await;
    assert_eq!(subscribed(&upstream, 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_out_of_range_means_that_the_upstream_is_behind() {
    let mut script = Script::native(3);
    script.subscription_error = Some((Code::OutOfRange, "too far ahead".to_owned()));
    let upstream = Scripted::start(script).await;
    let follower = follow(&[&upstream.url()], |args| args.sync = SyncMode::Subscribe).await;
    in_state(follower.rpc, ReplicaState::UpstreamBehind).await;
    upstream.change(|script| script.subscription_error = None);
    published(follower.rpc, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_fails_twice_at_a_block_is_left_for_the_next() {
    for code in [Code::Internal, Code::DataLoss] {
        let mut script = Script::native(3);
        script.ends = std::iter::repeat_n(End::Fails(code, "cannot read"), 100).collect();
        let first = Scripted::start(script).await;
        let second = Scripted::start(Script::native(6)).await;
        let follower = follow(&[&first.url(), &second.url()], |args| args.sync = SyncMode::Subscribe).await;
        published(follower.rpc, 6).await;
        let from = subscribed(&first, 2).await;
        assert_eq!(from[..2], [0, 4], "{code:?}: block 4 is asked for again before it is given up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_is_subscribed_to_again_at_the_same_upstream() {
    for code in [Code::Unavailable, Code::Aborted, Code::Unknown] {
        let mut script = Script::native(3);
        script.ends = [End::Fails(code, "for a reason")].into();
        let first = Scripted::start(script).await;
        let second = Scripted::start(Script::native(3)).await;
        let follower = follow(&[&first.url(), &second.url()], |args| args.sync = SyncMode::Subscribe).await;
        assert_eq!(subscribed(&first, 2).await, [0, 4], "{code:?}");
        assert_eq!(second.calls("Status"), 0, "{code:?}");
        assert_eq!(tips(follower.rpc).await.state(), ReplicaState::Syncing, "{code:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_are_asked_for_from_the_first_that_is_missing_once_its_block_is_held() {
    let mut script = Script::default();
    script.extend(0, b"body");
    script.genesis = *tidemark_store::BlockHash::of(&script.blocks[&0]).as_bytes();
    script.proofs = (1..=9).map(|number| (number, Bytes::from_static(b"proof"))).collect();
    let upstream = Scripted::start(script).await;
    let follower = follow(&[&upstream.url()], |args| args.sync = SyncMode::Subscribe).await;
    published(follower.rpc, 0).await;
    assert_eq!(upstream.calls("ProofSubscription"), 0, "genesis has no proof, and block 1 is not there");
    upstream.change(|script| script.extend(3, b"body"));
    proven(follower.rpc, 3).await;
    assert_eq!(upstream.read(|script| script.from["proofs"][0]), 1);
    let dir = follower.stop().await;
    upstream.change(|script| {
        script.extend(6, b"body");
        script.from.clear();
    });
    let follower = follow_in(dir, &[&upstream.url()], |args| args.sync = SyncMode::Subscribe).await;
    proven(follower.rpc, 6).await;
    assert_eq!(upstream.read(|script| script.from["proofs"][0]), 4, "proven + 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_block_whose_proof_is_there_is_a_hole() {
    let mut script = Script::native(6);
    script.blocks.remove(&4);
    script.proofs = [(4, Bytes::from_static(b"proof"))].into();
    let upstream = Scripted::start(script).await;
    let follower = follow(&[&upstream.url()], |_| {}).await;
    let tips = in_state(follower.rpc, ReplicaState::UpstreamHole).await;
    assert_eq!(tips.published_tip, Some(3));
    assert_eq!(block(&mut api(follower.rpc).await, 4).await.proof, None, "no proof without its block");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_as_all_do_is_counted_as_such() {
    let (_upstream, follower) = after(SyncMode::Subscribe, [End::Fails(Code::Unavailable, "stopping")]).await;
    let counted = async || {
        let metrics = page(follower.admin, "/metrics").await;
        metrics.contains("tidemark_follower_sessions_ended_total{reason=\"Syncing\"} 1").then_some(())
    };
    eventually("the end is counted", counted).await;
}
