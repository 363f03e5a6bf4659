//! What readers get: every call of the wire, before there is a chain and after, and at the end.

use std::{fs::File, os::unix::fs::FileExt as _, path::Path, time::Duration};

use futures::StreamExt as _;
use tidemark_follower::{size::ByteSize, sync::SyncMode};
use tidemark_store::BlockHash;
use tidemark_wire::{
    blockchain::BlockRequest,
    rpc::{BlockHeaderByNumberRequest, BlockSubscriptionRequest, ProofSubscriptionRequest},
    v1::ReplicaState,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::harness::{
    Running, api, block, eventually, follow, in_state, page, produce, proven, published, tips, tips_at,
};

async fn channel(store: &Running) -> Channel {
    Endpoint::from_shared(store.url()).unwrap().connect().await.expect("reachable")
}

async fn health(store: &Running, service: &str) -> ServingStatus {
    let mut client = HealthClient::new(channel(store).await);
    let request = HealthCheckRequest { service: service.to_owned() };
    client.check(request).await.expect("answered").into_inner().status()
}

/// A primary whose chain is complete at tip 5, proofs included.
async fn complete() -> Running {
    let primary = produce(|args| args.blocks = Some(5)).await;
    proven(primary.rpc, 5).await;
    primary
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_chain_nothing_claims_to_serve_one() {
    let follower = follow(&["http://127.0.0.1:1"], |_| {}).await;
    let tips = in_state(follower.rpc, ReplicaState::UpstreamUnreachable).await;
    assert_eq!((tips.published_tip, tips.applied_tip, tips.proven_tip), (None, None, None));
    assert!(tips.genesis.is_empty() && tips.tip_hash.is_empty());
    let mut client = api(follower.rpc).await;
    assert_eq!(client.status(()).await.expect_err("refused").code(), Code::Unavailable);
    let subscribed = client.block_subscription(BlockSubscriptionRequest { block_from: 0 }).await;
    assert_eq!(subscribed.expect_err("refused").code(), Code::Unavailable);
    for service in ["", "rpc.Api"] {
        assert_eq!(health(&follower, service).await, ServingStatus::NotServing);
    }
    assert!(page(follower.admin, "/readyz").await.starts_with("HTTP/1.1 503"));
    assert!(page(follower.admin, "/livez").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_chain_everything_says_so() {
    let primary = complete().await;
    let status = api(primary.rpc).await.status(()).await.expect("answered").into_inner();
    let tips = tips(primary.rpc).await;
    assert_eq!(status.chain_tip, 5);
    assert_eq!(<[u8; 32]>::from(status.genesis_commitment.unwrap())[..], tips.genesis[..]);
    for service in ["", "rpc.Api"] {
        let serving = async || (health(&primary, service).await == ServingStatus::Serving).then_some(());
        eventually("health says serving", serving).await;
    }
    assert!(page(primary.admin, "/readyz").await.starts_with("HTTP/1.1 200"));
    let metrics = page(primary.admin, "/metrics").await;
    assert!(metrics.contains("tidemark_follower_tip{kind=\"published\"} 5\n"), "{metrics}");
    assert!(metrics.contains("tidemark_follower_state{state=\"Producing\"} 1\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tips_say_who_answers_and_what_is_where() {
    let primary = complete().await;
    let answer = tips_at(primary.rpc, Some(2)).await;
    assert_eq!((answer.published_tip, answer.proven_tip, &*answer.pod_uid), (Some(5), Some(5), "pod-1"));
    assert!(!answer.boot_id.is_empty());
    assert_eq!(answer.upstream_tip, None);
    let mut client = api(primary.rpc).await;
    for (number, hash) in [(2, answer.hash_at_height), (5, answer.tip_hash)] {
        let held = block(&mut client, number).await.block.expect("held");
        assert_eq!(hash[..], BlockHash::of(&held).as_bytes()[..]);
    }
    assert!(tips_at(primary.rpc, Some(6)).await.hash_at_height.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_block_is_no_error_and_a_proof_comes_only_when_asked_for() {
    let primary = complete().await;
    let mut client = api(primary.rpc).await;
    for number in [6, u32::MAX] {
        let answer = block(&mut client, number).await;
        assert_eq!((answer.block, answer.proof), (None, None));
    }
    for include_proof in [None, Some(false), Some(true)] {
        let request = BlockRequest { block_num: 3, include_proof };
        let answer = client.get_block_by_number(request).await.expect("answered").into_inner();
        assert!(answer.block.is_some());
        assert_eq!(answer.proof.is_some(), include_proof == Some(true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_refused_with_the_way_out() {
    let primary = complete().await;
    let request = BlockHeaderByNumberRequest::default();
    let refused = api(primary.rpc).await.get_block_header_by_number(request).await.expect_err("refused");
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(
        refused.message().contains("native") && refused.message().contains("GetBlockByNumber"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_bring_everything_and_then_wait() {
    let primary = complete().await;
    let mut client = api(primary.rpc).await;
    let mut reader = api(primary.rpc).await;
    let request = BlockSubscriptionRequest { block_from: 2 };
    let blocks = client.block_subscription(request).await.expect("taken").into_inner();
    let blocks: Vec<_> = blocks.take(4).collect().await;
    for (number, item) in (2..).zip(blocks) {
        let item = item.expect("an item");
        assert_eq!((Some(item.block), item.committed_chain_tip), (block(&mut reader, number).await.block, 5));
    }
    let request = ProofSubscriptionRequest { block_from: 1 };
    let proofs = client.proof_subscription(request).await.expect("taken").into_inner();
    let proofs: Vec<_> = proofs.take(5).collect().await;
    for (number, item) in (1..).zip(proofs) {
        let item = item.expect("an item");
        assert_eq!((item.block_num, item.proven_chain_tip), (number, 5));
        assert_eq!(Some(item.proof), block(&mut reader, number).await.proof);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_may_start_up_to_a_hundred_blocks_ahead() {
    let primary = complete().await;
    let mut client = api(primary.rpc).await;
    assert!(client.block_subscription(BlockSubscriptionRequest { block_from: 105 }).await.is_ok());
    assert!(client.proof_subscription(ProofSubscriptionRequest { block_from: 105 }).await.is_ok());
    let refused = client.block_subscription(BlockSubscriptionRequest { block_from: 106 }).await;
    assert_eq!(refused.expect_err("refused").code(), Code::OutOfRange);
    let refused = client.proof_subscription(ProofSubscriptionRequest { block_from: 0 }).await;
    assert_eq!(refused.expect_err("refused").code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_ahead_of_the_tip_gets_the_block_when_it_comes() {
    let primary = produce(|_| {}).await;
    let tip = published(primary.rpc, 1).await.published_tip.unwrap();
    let request = BlockSubscriptionRequest { block_from: tip + 10 };
    let mut blocks = api(primary.rpc).await.block_subscription(request).await.expect("taken").into_inner();
    let first = blocks.message().await.expect("an item").expect("no end");
    assert!(first.committed_chain_tip >= tip + 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_as_unavailable_when_the_store_stops() {
    let primary = complete().await;
    let request = BlockSubscriptionRequest { block_from: 6 };
    let mut client = api(primary.rpc).await;
    let mut blocks = client.block_subscription(request).await.expect("taken").into_inner();
    drop(primary.stop().await);
    assert_eq!(blocks.message().await.expect_err("an end").code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_names_every_service() {
    let primary = complete().await;
    let mut client = ServerReflectionClient::new(channel(&primary).await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let asked = futures::stream::iter([request]);
    let mut answers = client.server_reflection_info(asked).await.expect("answered").into_inner();
    let answer = answers.message().await.expect("an answer").expect("no end").message_response;
    let Some(MessageResponse::ListServicesResponse(services)) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = services.service.into_iter().map(|service| service.name).collect();
    for name in ["rpc.Api", "tidemark.v1.Replica"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_beyond_the_limit_waits_for_a_slot() {
    let primary = produce(|args| args.serve.limits.max_connections = 1).await;
    let holder = TcpStream::connect(primary.rpc).await.expect("accepted");
    let waiting = tokio::spawn({
        let rpc = primary.rpc;
        async move { published(rpc, 1).await }
    });
    let blocks_made = async || {
        let metrics = page(primary.admin, "/metrics").await;
        let count = metrics.lines().find_map(|line| line.strip_prefix("tidemark_follower_blocks_total "))?;
        (count.parse::<u32>().unwrap() >= 50).then_some(())
    };
    eventually("a second of blocks is made meanwhile", blocks_made).await;
    assert!(!waiting.is_finished(), "the limit lets two in");
    drop(holder);
    waiting.await.expect("served after all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_tells_its_upstream_s_tip() {
    let primary = complete().await;
    for mode in [SyncMode::Poll, SyncMode::Subscribe] {
        let follower = follow(&[&primary.url()], |args| args.sync = mode).await;
        published(follower.rpc, 5).await;
        assert_eq!(tips(follower.rpc).await.upstream_tip, Some(5));
    }
}

/// Changes the last byte of a log that is not zero; the blocks of these tests fill far less than is looked at.
fn damage_last_block(log: &Path) {
    let file = File::options().read(true).write(true).open(log).unwrap();
    let mut start = vec![0; 1 << 16];
    file.read_exact_at(&mut start, 0).unwrap();
    let last = start.iter().rposition(|byte| *byte != 0).expect("it has blocks");
    file.write_all_at(&[start[last] ^ 1], last as u64).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_damaged_on_disk_is_unavailable_and_never_served() {
    let primary = produce(|args| {
        args.blocks = Some(5);
        args.serve.limits.block_cache = ByteSize(0);
    })
    .await;
    proven(primary.rpc, 5).await;
    damage_last_block(&primary.data_dir().join("blocks-00000000.log"));
    let mut client = api(primary.rpc).await;
    let request = BlockRequest { block_num: 5, include_proof: None };
    let refused = client.get_block_by_number(request).await.expect_err("refused");
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("block 5 is damaged here, refetching"), "{refused}");
    assert!(block(&mut client, 4).await.block.is_some(), "its neighbour is served");
    let request = BlockSubscriptionRequest { block_from: 4 };
    let mut blocks = client.block_subscription(request).await.expect("taken").into_inner();
    assert!(blocks.message().await.expect("an item").is_some());
    assert_eq!(blocks.message().await.expect_err("an end").code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_does_not_keep_its_slot() {
    let words =
        ["", "PRI * HTTP", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "GET / HTTP/1.1\r\n"];
    let primary = produce(|args| args.serve.limits.max_connections = words.len()).await;
    let mut silent = Vec::new();
    for word in words {
        let mut stream = TcpStream::connect(primary.rpc).await.expect("accepted");
        stream.write_all(word.as_bytes()).await.unwrap();
        silent.push(stream);
    }
    published(primary.rpc, 1).await;
    for (word, mut stream) in words.into_iter().zip(silent) {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{word:?} keeps its connection");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_port_drops_who_says_nothing() {
    let primary = produce(|_| {}).await;
    let mut silent = TcpStream::connect(primary.admin).await.expect("accepted");
    let ended = tokio::time::timeout(Duration::from_secs(20), silent.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "it keeps its connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_told_what_this_port_is() {
    let primary = complete().await;
    let answer = page(primary.rpc, "/").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("serves gRPC"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_ends_in_order_and_its_client_goes_on() {
    let primary = produce(|args| args.serve.limits.max_connection_age = Duration::from_millis(200)).await;
    published(primary.rpc, 1).await;
    let mut client = api(primary.rpc).await;
    let request = BlockSubscriptionRequest { block_from: 0 };
    let mut blocks = client.block_subscription(request).await.expect("taken").into_inner();
    let end = loop {
        match blocks.message().await {
            Ok(item) => assert!(item.is_some(), "no clean end"),
            Err(end) => break end,
        }
    };
    assert_eq!(end.code(), Code::Unavailable);
    assert!(end.message().contains("subscribe again"), "{end}");
    eventually("the client goes on by a new connection", async || client.clone().status(()).await.ok()).await;
    let again = client.block_subscription(BlockSubscriptionRequest { block_from: 0 }).await;
    assert!(again.expect("taken").into_inner().message().await.expect("an item").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_another_chain_or_version_is_refused() {
    let primary = complete().await;
    let ours = hex::encode(tips(primary.rpc).await.genesis);
    let ask = async |accept: String| {
        let mut request = tonic::Request::new(());
        request.metadata_mut().insert("accept", accept.parse().unwrap());
        api(primary.rpc).await.status(request).await
    };
    let suits = format!("application/vnd.miden; version=0.15.2; genesis=0x{ours}");
    assert_eq!(ask(suits).await.expect("answered").into_inner().chain_tip, 5);
    let other = format!("application/vnd.miden; genesis=0x{}", "ab".repeat(32));
    for accept in [other, "application/vnd.miden; version=0.16.0".to_owned()] {
        let refused = ask(accept).await.expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(&ours), "{refused}");
    }
}
