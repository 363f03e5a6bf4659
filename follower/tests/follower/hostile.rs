//! Upstreams that are wrong in one way each: what is good is kept, nothing bad is stored, the state says what it is,
//! and when the upstream is right again the follower goes on by itself.

use tidemark_follower::{cli::FormatName, sync::SyncMode};
use tidemark_store::BlockHash;
use tidemark_wire::v1::{ReplicaState, TipsResponse};
use tonic::{Code, codegen::Bytes};

use crate::{
    harness::{
        Running, api, block, check_same_blocks, eventually, follow, in_state, page, proven, published, tips,
    },
    scripted::{Script, Scripted},
};

/// A follower of a sound chain with tip 3, which it holds.
async fn synced(mode: SyncMode) -> (Scripted, Running) {
    let upstream = Scripted::start(Script::native(3)).await;
    let follower = follow(&[&upstream.url()], |args| args.sync = mode).await;
    published(follower.rpc, 3).await;
    (upstream, follower)
}

/// Breaks a sound upstream, expects the state and an unchanged tip, repairs it, and expects the chain to go on.
async fn check_survives(break_it: impl FnOnce(&mut Script), state: ReplicaState) {
    let (upstream, follower) = synced(SyncMode::Poll).await;
    upstream.change(break_it);
    let broken = in_state(follower.rpc, state).await;
    assert_eq!(broken.published_tip, Some(3), "{broken:?}");
    check_serves(&follower, &broken).await;
    upstream.change(|script| {
        *script = Script::native(3);
        script.extend(6, b"body");
    });
    published(follower.rpc, 6).await;
    in_state(follower.rpc, ReplicaState::Syncing).await;
    check_same_blocks(upstream.rpc, follower.rpc, 6).await;
}

/// Whatever the upstream does, what is held is served.
async fn check_serves(follower: &Running, tips: &TipsResponse) {
    let tip = tips.published_tip.unwrap();
    let held = block(&mut api(follower.rpc).await, tip).await.block.expect("held");
    assert_eq!(tips.tip_hash[..], BlockHash::of(&held).as_bytes()[..]);
    for path in ["/readyz", "/livez"] {
        assert!(page(follower.admin, path).await.starts_with("HTTP/1.1 200"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_genesis_is_wrong_genesis() {
    check_survives(|script| script.genesis = [1; 32], ReplicaState::WrongGenesis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_block_below_the_tip_is_a_hole() {
    check_survives(|script| script.tip = 5, ReplicaState::UpstreamHole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absurd_tip_is_a_hole_and_no_endless_work() {
    check_survives(|script| script.tip = u32::MAX, ReplicaState::UpstreamHole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tip_below_ours_is_upstream_behind_and_nothing_is_cut() {
    check_survives(|script| script.tip = 1, ReplicaState::UpstreamBehind).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_with_another_number_is_invalid() {
    let gap = |script: &mut Script| {
        script.extend(5, b"body");
        let skipped = script.blocks[&5].clone();
        script.blocks.insert(4, skipped);
    };
    check_survives(gap, ReplicaState::InvalidBlock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_block_are_invalid() {
    for bytes in [Bytes::new(), Bytes::from_static(b"garbage"), Bytes::from(vec![0xff; 100_000])] {
        let garbage = |script: &mut Script| {
            script.blocks.insert(4, bytes);
            script.tip = 4;
        };
        check_survives(garbage, ReplicaState::InvalidBlock).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trouble_lasts_until_a_block_arrives_and_not_until_the_next_session() {
    let (upstream, follower) = synced(SyncMode::Poll).await;
    upstream.change(|script| {
        script.blocks.insert(4, Bytes::from_static(b"garbage"));
        script.tip = 4;
    });
    in_state(follower.rpc, ReplicaState::InvalidBlock).await;
    upstream.change(|script| {
        script.frozen_from = Some(4);
        script.calls.clear();
    });
    let asked_again = async || (upstream.calls("GetBlockByNumber") >= 2).then_some(());
    eventually("a new session asks for block 4", asked_again).await;
    assert_eq!(tips(follower.rpc).await.state(), ReplicaState::InvalidBlock);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_beyond_the_limit_is_too_large_and_not_fetched_over_and_over() {
    let huge = |script: &mut Script| {
        script.blocks.insert(4, Bytes::from(vec![0; (64 << 20) + 1]));
        script.tip = 4;
    };
    check_survives(huge, ReplicaState::BlockTooLarge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_next_block_that_extends_another_chain_is_diverged() {
    let fork = |script: &mut Script| {
        let mut other = Script::default();
        other.extend(4, b"other");
        script.blocks.insert(4, other.blocks[&4].clone());
        script.tip = 4;
    };
    check_survives(fork, ReplicaState::Diverged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_and_returns_with_other_bytes_is_diverged() {
    let upstream = Scripted::start(Script::native(3)).await;
    let follower = follow(&[&upstream.url()], |args| args.format = FormatName::Opaque).await;
    published(follower.rpc, 3).await;
    let held = tips(follower.rpc).await.tip_hash;
    upstream.change(|script| {
        let genesis = script.blocks[&0].clone();
        script.blocks = [(0, genesis)].into();
        script.extend(8, b"another chain from block 1 on");
        script.status_error = Some((Code::Unavailable, "restarting".to_owned()));
    });
    in_state(follower.rpc, ReplicaState::UpstreamUnreachable).await;
    upstream.change(|script| script.status_error = None);
    let diverged = in_state(follower.rpc, ReplicaState::Diverged).await;
    assert_eq!((diverged.published_tip, &diverged.tip_hash), (Some(3), &held));
    check_serves(&follower, &diverged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_answers_nothing_is_frozen() {
    check_survives(|script| script.frozen = true, ReplicaState::UpstreamFrozen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_knows_no_rpc_api_is_unsupported() {
    let unknown =
        |script: &mut Script| script.status_error = Some((Code::Unimplemented, "no such call".to_owned()));
    check_survives(unknown, ReplicaState::UnsupportedProtocol).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_terminal_status_is_survived() {
    for (code, state) in [
        (Code::Aborted, ReplicaState::UpstreamUnreachable),
        (Code::Unknown, ReplicaState::UpstreamUnreachable),
        (Code::InvalidArgument, ReplicaState::UpstreamUnreachable),
        (Code::DataLoss, ReplicaState::UpstreamHole),
        (Code::Internal, ReplicaState::UpstreamHole),
        (Code::OutOfRange, ReplicaState::UpstreamBehind),
    ] {
        let failing = |script: &mut Script| {
            script.tip = 4;
            script.block_error = Some((code, "scripted".to_owned()));
        };
        check_survives(failing, state).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_block_that_is_not_the_pinned_genesis_is_refused() {
    let mut script = Script::native(2);
    script.genesis = [9; 32];
    let upstream = Scripted::start(script).await;
    let follower = follow(&[&upstream.url()], |_| {}).await;
    let tips = in_state(follower.rpc, ReplicaState::WrongGenesis).await;
    assert_eq!(tips.published_tip, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_of_genesis_is_not_taken() {
    let mut script = Script::native(1);
    script.proofs = [(0, Bytes::from_static(b"nonsense")), (1, Bytes::from_static(b"proof"))].into();
    let upstream = Scripted::start(script).await;
    let follower = follow(&[&upstream.url()], |_| {}).await;
    proven(follower.rpc, 1).await;
    assert_eq!(block(&mut api(follower.rpc).await, 0).await.proof, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_names_the_genesis_it_means() {
    let (upstream, _follower) = synced(SyncMode::Poll).await;
    let genesis = hex::encode(Script::native(3).genesis);
    assert_eq!(upstream.accept(), Some(format!("application/vnd.miden; genesis=0x{genesis}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_is_honoured() {
    let (upstream, follower) = synced(SyncMode::Poll).await;
    upstream.change(|script| {
        script.extend(4, b"body");
        script.status_error = Some((Code::ResourceExhausted, "Too Many Requests! Wait for 1s".to_owned()));
        script.calls.clear();
    });
    eventually("the limit is met twice", async || (upstream.calls("Status") >= 2).then_some(())).await;
    assert!(upstream.calls("Status") <= 3, "{} calls", upstream.calls("Status"));
    upstream.change(|script| script.status_error = None);
    published(follower.rpc, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_polls_an_upstream_that_refuses_subscriptions() {
    for (code, message) in [
        (Code::Unimplemented, "no subscriptions here"),
        (Code::ResourceExhausted, "maximum subscriptions reached"),
        (Code::ResourceExhausted, "temporarily banned, retry in 540 seconds"),
    ] {
        let mut script = Script::native(3);
        script.subscription_error = Some((code, message.to_owned()));
        let upstream = Scripted::start(script).await;
        let follower = follow(&[&upstream.url()], |args| args.sync = SyncMode::Auto).await;
        published(follower.rpc, 3).await;
        upstream.change(|script| script.extend(5, b"body"));
        published(follower.rpc, 5).await;
        assert_eq!(upstream.calls("BlockSubscription"), 1, "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_falls_silent_is_left_for_a_new_one() {
    let (upstream, follower) = synced(SyncMode::Subscribe).await;
    upstream.change(|script| script.extend(5, b"body"));
    published(follower.rpc, 5).await;
    assert!(upstream.calls("BlockSubscription") >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_block_in_a_stream_is_not_stored() {
    let mut script = Script::native(3);
    script.blocks.insert(2, Bytes::from_static(b"garbage"));
    let upstream = Scripted::start(script).await;
    let follower = follow(&[&upstream.url()], |args| args.sync = SyncMode::Subscribe).await;
    let tips = in_state(follower.rpc, ReplicaState::InvalidBlock).await;
    assert_eq!(tips.published_tip, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_another_format_is_named_as_that() {
    let primary = crate::harness::replay(Some(3)).await;
    let follower = follow(&[&primary.url()], |args| args.format = FormatName::Native).await;
    let tips = in_state(follower.rpc, ReplicaState::InvalidBlock).await;
    assert_eq!(tips.published_tip, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_out_of_sequence_are_not_stored() {
    let mut script = Script::native(3);
    script.proofs = [(2, Bytes::from_static(b"proof"))].into();
    let upstream = Scripted::start(script).await;
    let follower = follow(&[&upstream.url()], |args| args.sync = SyncMode::Subscribe).await;
    in_state(follower.rpc, ReplicaState::UpstreamUnreachable).await;
    assert_eq!(block(&mut api(follower.rpc).await, 2).await.proof, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_ahead_of_their_blocks_are_taken_when_the_blocks_are_there() {
    let mut script = Script::native(3);
    script.proofs = (1..=10).map(|number| (number, Bytes::from_static(b"proof"))).collect();
    let upstream = Scripted::start(script).await;
    let follower = follow(&[&upstream.url()], |args| args.sync = SyncMode::Subscribe).await;
    let early = proven(follower.rpc, 3).await;
    assert_eq!((early.proven_tip, early.state()), (Some(3), ReplicaState::Syncing));
    upstream.change(|script| script.extend(10, b"body"));
    proven(follower.rpc, 10).await;
}

/// Whatever a call or stream ends with, it is survived, and the chain goes on when that is over.
async fn check_every_code(mode: SyncMode, kind: &'static str, fail: fn(&mut Script, Option<(Code, String)>)) {
    let check = async |code: i32| {
        let mut script = Script::native(3);
        fail(&mut script, Some((Code::from(code), "scripted".to_owned())));
        let upstream = Scripted::start(script).await;
        let follower = follow(&[&upstream.url()], |args| args.sync = mode).await;
        let tried = async || (upstream.calls(kind) >= 2).then_some(());
        eventually(&format!("{kind} has failed twice with {code}"), tried).await;
        upstream.change(|script| {
            fail(script, None);
            script.extend(6, b"body");
        });
        published(follower.rpc, 6).await;
        check_same_blocks(upstream.rpc, follower.rpc, 6).await;
    };
    futures::future::join_all((1..=16).map(check)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_status_of_every_call_is_survived() {
    check_every_code(SyncMode::Poll, "Status", |script, error| script.status_error = error).await;
    check_every_code(SyncMode::Poll, "GetBlockByNumber", |script, error| script.block_error = error).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_status_of_every_stream_is_survived() {
    let mode = SyncMode::Subscribe;
    check_every_code(mode, "BlockSubscription", |script, error| script.subscription_error = error).await;
    check_every_code(mode, "ProofSubscription", |script, error| script.proof_error = error).await;
}

/// A stream of blocks that goes wrong behind block 3.
async fn check_stream(break_it: impl FnOnce(&mut Script), state: ReplicaState) {
    let mut script = Script::native(3);
    break_it(&mut script);
    let upstream = Scripted::start(script).await;
    let follower = follow(&[&upstream.url()], |args| args.sync = SyncMode::Subscribe).await;
    let broken = in_state(follower.rpc, state).await;
    assert_eq!(broken.published_tip, Some(3), "{broken:?}");
    upstream.change(|script| {
        *script = Script::native(3);
        script.extend(6, b"body");
    });
    published(follower.rpc, 6).await;
    check_same_blocks(upstream.rpc, follower.rpc, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_skips_a_block_is_invalid() {
    let gap = |script: &mut Script| {
        script.extend(6, b"body");
        script.blocks.remove(&4);
    };
    check_stream(gap, ReplicaState::InvalidBlock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_repeats_a_block_is_invalid() {
    let again = |script: &mut Script| {
        let last = script.blocks[&3].clone();
        script.blocks.insert(4, last);
        script.tip = 4;
    };
    check_stream(again, ReplicaState::InvalidBlock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_with_an_empty_block_is_invalid() {
    let empty = |script: &mut Script| {
        script.blocks.insert(4, Bytes::new());
        script.tip = 4;
    };
    check_stream(empty, ReplicaState::InvalidBlock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_turns_to_another_chain_is_diverged() {
    let fork = |script: &mut Script| {
        let mut other = Script::default();
        other.extend(5, b"other");
        script.blocks.insert(4, other.blocks[&4].clone());
        script.tip = 4;
    };
    check_stream(fork, ReplicaState::Diverged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absurd_tip_beside_a_silent_stream_is_said_and_survived() {
    let mut script = Script::native(3);
    script.tip = u32::MAX;
    let upstream = Scripted::start(script).await;
    let follower = follow(&[&upstream.url()], |args| args.sync = SyncMode::Subscribe).await;
    published(follower.rpc, 3).await;
    let said = in_state(follower.rpc, ReplicaState::UpstreamUnreachable).await;
    assert!(said.state_detail.contains("its stream is silent"), "{}", said.state_detail);
    upstream.change(|script| script.extend(6, b"body"));
    published(follower.rpc, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_lost_its_tail_is_waited_for_and_then_compared() {
    let (upstream, follower) = synced(SyncMode::Subscribe).await;
    upstream.change(|script| {
        script.blocks.retain(|number, _| *number <= 1);
        script.tip = 1;
    });
    let behind = in_state(follower.rpc, ReplicaState::UpstreamBehind).await;
    assert_eq!(behind.published_tip, Some(3));
    upstream.change(|script| script.extend(9, b"made anew"));
    let diverged = in_state(follower.rpc, ReplicaState::Diverged).await;
    assert_eq!(diverged.published_tip, Some(3));
    assert!(diverged.state_detail.contains("block 1 is the last one in common"), "{}", diverged.state_detail);
}
