//! Each limit of serving is reached: what a client is told, that it costs nobody else anything, and that it shows.

use std::time::Duration;

use tidemark_follower::size::ByteSize;
use tidemark_wire::{
    blockchain::{BlockRequest, MaybeBlock},
    rpc::{BlockSubscriptionRequest, BlockSubscriptionResponse, api_client::ApiClient},
};
use tokio::time::Instant;
use tonic::{
    Code, Status, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use crate::harness::{Running, api, block, metric, metric_is, produce, published};

const LARGE: u64 = 600 << 10;

async fn subscribe(
    client: &mut ApiClient<Channel>,
    block_from: u32,
) -> Result<Streaming<BlockSubscriptionResponse>, Status> {
    client.block_subscription(BlockSubscriptionRequest { block_from }).await.map(tonic::Response::into_inner)
}

/// A client that takes no more than it reads.
async fn frugal(store: &Running) -> Channel {
    let endpoint = Endpoint::from_shared(store.url()).unwrap();
    endpoint.initial_stream_window_size(65_535).connect().await.expect("reachable")
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_beyond_the_limit_are_refused_until_one_ends() {
    let primary = produce(|args| args.serve.limits.max_subscriptions = 2).await;
    published(primary.rpc, 1).await;
    let mut client = api(primary.rpc).await;
    let first = subscribe(&mut client, 0).await.expect("taken");
    let _second = subscribe(&mut client, 0).await.expect("taken");
    let refused = subscribe(&mut client, 0).await.expect_err("refused");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.message(), "maximum subscriptions reached");
    assert_eq!(metric(&primary, "limit_reached_total{limit=\"subscriptions\"}").await, 1.0);
    assert_eq!(metric(&primary, "open_subscriptions").await, 2.0);
    drop(first);
    metric_is(&primary, "open_subscriptions", |open| open == 1.0).await;
    subscribe(&mut client, 0).await.expect("taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_beyond_the_limit_of_its_connection_waits() {
    let primary = produce(|args| args.serve.limits.max_streams_per_connection = 2).await;
    let tip = published(primary.rpc, 1).await.published_tip.unwrap();
    let mut client = api(primary.rpc).await;
    let first = subscribe(&mut client, 0).await.expect("taken");
    let _second = subscribe(&mut client, 0).await.expect("taken");
    let mut other = client.clone();
    let third = tokio::spawn(async move { other.status(()).await });
    published(primary.rpc, tip + 30).await;
    assert!(!third.is_finished(), "a third stream is served");
    assert!(metric(&primary, "limit_reached_total{limit=\"streams_per_connection\"}").await >= 1.0);
    drop(first);
    third.await.expect("no panic").expect("served after all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_subscriber_ends_and_costs_nobody_else_anything() {
    let primary = produce(|args| {
        args.body_size = ByteSize(100 << 10);
        args.serve.limits.max_send_wait = Duration::from_secs(1);
    })
    .await;
    published(primary.rpc, 1).await;
    let mut slow = subscribe(&mut ApiClient::new(frugal(&primary).await), 0).await.expect("taken");
    let mut quick = subscribe(&mut api(primary.rpc).await, 0).await.expect("taken");
    let mut read = 0;
    while metric(&primary, "limit_reached_total{limit=\"send_wait\"}").await == 0.0 {
        assert!(quick.message().await.expect("the quick one goes on").is_some());
        read += 1;
        assert!(read < 1000, "20 s of blocks came, and the slow one goes on");
    }
    metric_is(&primary, "open_subscriptions", |open| open == 1.0).await;
    let mut got = 0;
    let end = loop {
        match slow.message().await {
            Ok(item) => got += u32::from(item.expect("no clean end").block.len() > 100 << 10),
            Err(end) => break end,
        }
    };
    assert_eq!(end.code(), Code::ResourceExhausted);
    assert!(end.message().contains("too slow"), "{end}");
    assert!(got < read, "the slow one got {got} blocks, the quick one {read}");
    metric_is(&primary, ENDED_SLOW, |count| count == 1.0).await;
}

const ENDED_SLOW: &str = "subscriptions_ended_total{rpc=\"BlockSubscription\",code=\"RESOURCE_EXHAUSTED\"}";

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_takes_not_even_its_end_loses_its_connection() {
    let primary = produce(|args| {
        args.body_size = ByteSize(100 << 10);
        args.serve.limits.max_send_wait = Duration::from_millis(200);
    })
    .await;
    published(primary.rpc, 1).await;
    let stream = subscribe(&mut ApiClient::new(frugal(&primary).await), 0).await.expect("taken");
    metric_is(&primary, "limit_reached_total{limit=\"send_wait\"}", |count| count >= 1.0).await;
    metric_is(&primary, "open_connections", |open| open == 0.0).await;
    metric_is(&primary, "response_bytes", |bytes| bytes == 0.0).await;
    drop(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_read_ends_no_other_of_its_connection() {
    let primary = produce(|args| {
        args.body_size = ByteSize(100 << 10);
        args.serve.limits.max_send_wait = Duration::from_secs(1);
    })
    .await;
    published(primary.rpc, 1).await;
    let endpoint = Endpoint::from_shared(primary.url()).unwrap().initial_stream_window_size(65_535);
    let channel = endpoint.initial_connection_window_size(16 << 20).connect().await.expect("reachable");
    let _unread = subscribe(&mut ApiClient::new(channel.clone()), 0).await.expect("taken");
    let mut read = subscribe(&mut ApiClient::new(channel), 0).await.expect("taken");
    let mut since = None;
    while since.is_none_or(|since: Instant| since.elapsed() < Duration::from_secs(4)) {
        assert!(read.message().await.expect("the one that is read goes on").is_some());
        if since.is_none() && metric(&primary, "limit_reached_total{limit=\"send_wait\"}").await > 0.0 {
            since = Some(Instant::now());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_answers_that_are_left_untaken_free_the_budget_in_time() {
    let primary = produce(|args| {
        args.body_size = ByteSize(60 << 10);
        args.blocks = Some(2);
        args.serve.limits.max_response_bytes = ByteSize(1 << 20);
        args.serve.limits.max_send_wait = Duration::from_millis(500);
    })
    .await;
    published(primary.rpc, 2).await;
    let endpoint = Endpoint::from_shared(primary.url()).unwrap().initial_stream_window_size(1);
    let channel = endpoint.connect().await.expect("reachable");
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(untaken_on(channel.clone(), 1).await);
    }
    metric_is(&primary, "response_bytes", |bytes| bytes == 0.0).await;
    assert_eq!(metric(&primary, "limit_reached_total{limit=\"send_wait\"}").await, 1.0);
    assert!(block(&mut api(primary.rpc).await, 2).await.block.is_some());
    drop(held);
}

/// Asks for a block, and takes no more of the answer than fits the client's window.
async fn untaken(store: &Running, block_num: u32) -> Streaming<MaybeBlock> {
    untaken_on(frugal(store).await, block_num).await
}

async fn untaken_on(channel: Channel, block_num: u32) -> Streaming<MaybeBlock> {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(usize::MAX);
    grpc.ready().await.expect("ready");
    let request = tonic::Request::new(BlockRequest { block_num, include_proof: None });
    let path = PathAndQuery::from_static("/rpc.Api/GetBlockByNumber");
    let codec = ProstCodec::<BlockRequest, MaybeBlock>::default();
    grpc.server_streaming(request, path, codec).await.expect("answered").into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_beyond_the_budget_are_refused_until_bytes_have_left() {
    let primary = produce(|args| {
        args.body_size = ByteSize(LARGE);
        args.blocks = Some(2);
        args.serve.limits.max_response_bytes = ByteSize(1 << 20);
    })
    .await;
    published(primary.rpc, 2).await;
    let mut held = untaken(&primary, 1).await;
    metric_is(&primary, "response_bytes", |bytes| bytes > LARGE as f64).await;
    let mut client = api(primary.rpc).await;
    let request = BlockRequest { block_num: 2, include_proof: None };
    let refused = client.get_block_by_number(request).await.expect_err("refused");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(metric(&primary, "limit_reached_total{limit=\"response_bytes\"}").await >= 1.0);
    let taken = held.message().await.expect("the held one is whole").expect("no end");
    assert!(taken.block.expect("held").len() as u64 > LARGE);
    metric_is(&primary, "response_bytes", |bytes| bytes == 0.0).await;
    assert!(block(&mut client, 2).await.block.is_some());
    let dropped = untaken(&primary, 1).await;
    metric_is(&primary, "response_bytes", |bytes| bytes > 0.0).await;
    drop(dropped);
    metric_is(&primary, "response_bytes", |bytes| bytes == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_larger_than_the_limit_is_not_served() {
    let primary = produce(|args| {
        args.body_size = ByteSize(100 << 10);
        args.serve.limits.max_block_size = ByteSize(64 << 10);
    })
    .await;
    published(primary.rpc, 1).await;
    let mut client = api(primary.rpc).await;
    let request = BlockRequest { block_num: 1, include_proof: None };
    let refused = client.get_block_by_number(request).await.expect_err("refused");
    assert_eq!(refused.code(), Code::OutOfRange);
    assert!(refused.message().contains("message length too large: block 1"), "{refused}");
    let mut blocks = subscribe(&mut client, 1).await.expect("taken");
    assert_eq!(blocks.message().await.expect_err("an end").code(), Code::OutOfRange);
    assert!(metric(&primary, "limit_reached_total{limit=\"block_size\"}").await >= 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_blocks_are_served_from_memory() {
    for (cache, served) in [(1 << 20, true), (0, false)] {
        let primary = produce(|args| {
            args.blocks = Some(3);
            args.serve.limits.block_cache = ByteSize(cache);
        })
        .await;
        published(primary.rpc, 3).await;
        std::fs::write(primary.data_dir().join("blocks-00000000.log"), b"gone").unwrap();
        let request = BlockRequest { block_num: 3, include_proof: None };
        let answer = api(primary.rpc).await.get_block_by_number(request).await;
        assert_eq!(answer.is_ok(), served, "{cache}");
    }
}
