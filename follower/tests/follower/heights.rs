//! Reads that ask for a minimum height, and the tip that every read is answered with.

use std::time::Duration;

use tidemark_wire::{
    blockchain::BlockRequest,
    rpc::{BlockHeaderByNumberRequest, BlockSubscriptionRequest, ProofSubscriptionRequest},
};
use tonic::{Code, Request, Status, metadata::MetadataMap};

use crate::harness::{Running, api, eventually, metric_is, produce, proven, published};

const LONG: Duration = Duration::from_secs(3600);

fn at<T>(height: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("tidemark-min-height", height.parse().unwrap());
    request
}

fn tip(metadata: &MetadataMap) -> u32 {
    metadata.get("tidemark-tip").expect("it is there").to_str().unwrap().parse().unwrap()
}

async fn status(store: &Running, height: &str) -> Result<(u32, u32), Status> {
    let answer = api(store.rpc).await.status(at(height, ())).await?;
    Ok((tip(answer.metadata()), answer.get_ref().chain_tip))
}

/// A primary whose chain is complete at tip 5.
async fn complete(wait: Duration, waiters: usize) -> Running {
    let primary = produce(|args| {
        args.blocks = Some(5);
        args.serve.limits.min_height_wait = wait;
        args.serve.limits.max_min_height_waiters = waiters;
    })
    .await;
    proven(primary.rpc, 5).await;
    primary
}

/// Every call refuses that height, with that code and the tip.
async fn check_refused(store: &Running, height: &str, code: Code) {
    let mut client = api(store.rpc).await;
    let (block_num, block_from) = (1, 1);
    let refusals = [
        client.status(at(height, ())).await.err(),
        client.get_block_by_number(at(height, BlockRequest { block_num, include_proof: None })).await.err(),
        client.get_block_header_by_number(at(height, BlockHeaderByNumberRequest::default())).await.err(),
        client.block_subscription(at(height, BlockSubscriptionRequest { block_from })).await.err(),
        client.proof_subscription(at(height, ProofSubscriptionRequest { block_from })).await.err(),
    ];
    for (call, refused) in refusals.into_iter().enumerate() {
        let refused = refused.unwrap_or_else(|| panic!("call {call} is answered"));
        assert_eq!((refused.code(), tip(refused.metadata())), (code, 5), "call {call}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_height_to_come_is_waited_for() {
    let primary = produce(|args| args.serve.limits.min_height_wait = LONG).await;
    let before = published(primary.rpc, 1).await.published_tip.unwrap();
    for ahead in [0, 20] {
        let asked = before + ahead;
        let (told, chain_tip) = status(&primary, &asked.to_string()).await.expect("served");
        assert!(chain_tip >= asked && told >= chain_tip, "asked for {asked}: {told}, {chain_tip}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_height_that_does_not_come_in_time_is_unavailable_with_the_tip() {
    let primary = complete(Duration::from_millis(50), 10).await;
    check_refused(&primary, "6", Code::Unavailable).await;
    assert_eq!(status(&primary, "5").await.expect("served"), (5, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_height_far_ahead_is_refused_at_once() {
    let primary = complete(LONG, 10).await;
    for height in ["106", "4294967295"] {
        check_refused(&primary, height, Code::Unavailable).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_height_is_an_invalid_argument() {
    let primary = complete(LONG, 10).await;
    check_refused(&primary, "soon", Code::InvalidArgument).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_reads_wait_than_may() {
    let primary = complete(LONG, 1).await;
    let mut client = api(primary.rpc).await;
    let waiting = tokio::spawn(async move { client.status(at("6", ())).await });
    metric_is(&primary, "min_height_waiters", |waiting| waiting == 1.0).await;
    check_refused(&primary, "6", Code::Unavailable).await;
    metric_is(&primary, "limit_reached_total{limit=\"min_height_waiters\"}", |count| count == 5.0).await;
    waiting.abort();
    metric_is(&primary, "min_height_waiters", |waiting| waiting == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_answered_before_its_deadline() {
    let primary = complete(LONG, 10).await;
    let answered = async || {
        let mut request = at("6", ());
        request.set_timeout(Duration::from_millis(500));
        let refused = api(primary.rpc).await.status(request).await.expect_err("it never comes");
        (refused.code() == Code::Unavailable && tip(refused.metadata()) == 5).then_some(())
    };
    eventually("the answer is here before the client gives up", answered).await;
}
