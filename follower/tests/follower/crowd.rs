//! Many at once: followers behind followers, readers and subscribers, some of them slow, while the last one catches up.

use std::time::Duration;

use futures::future::join_all;
use tidemark_follower::{size::ByteSize, sync::SyncMode};
use tidemark_store::BlockHash;
use tidemark_wire::rpc::BlockSubscriptionRequest;
use tokio::time::sleep;
use tonic::{Code, codegen::Bytes};

use crate::harness::{Running, api, block, check_same, eventually, follow, produce, proven, tips};

const LAST: u32 = 300;
const MANY: usize = 100;
/// Every so many subscribers one takes its time.
const SLOW: usize = 10;

/// Reads the newest blocks until the follower has them all; how many it read.
async fn read(follower: &Running, expected: &[Bytes]) -> usize {
    let mut client = api(follower.rpc).await;
    let mut count = 0;
    loop {
        let tip = tips(follower.rpc).await.published_tip.unwrap_or(0);
        if let Some(held) = block(&mut client, tip).await.block {
            assert_eq!(held, expected[tip as usize], "block {tip}");
            count += 1;
        }
        if tip >= LAST {
            return count;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Takes every block from genesis on; how many came before the last one, or before it was found too slow.
async fn subscribe(follower: &Running, expected: &[Bytes], pause: Duration) -> usize {
    let client = api(follower.rpc).await;
    let begin = async || {
        let request = BlockSubscriptionRequest { block_from: 0 };
        client.clone().block_subscription(request).await.ok()
    };
    let mut blocks = eventually("there is something to subscribe to", begin).await.into_inner();
    for (number, expected) in expected.iter().enumerate() {
        match blocks.message().await {
            Ok(item) => assert_eq!(item.expect("no end").block, *expected, "block {number}"),
            Err(end) => {
                assert!(!pause.is_zero() && end.code() == Code::ResourceExhausted, "{end}");
                return number;
            }
        }
        sleep(pause).await;
    }
    expected.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_followers_in_a_chain_serve_a_crowd_while_they_catch_up() {
    let primary = produce(|args| {
        args.blocks = Some(LAST);
        args.block_interval = Duration::from_millis(2);
        args.body_size = ByteSize(2 << 10);
    })
    .await;
    proven(primary.rpc, LAST).await;
    let mut client = api(primary.rpc).await;
    let mut expected = Vec::new();
    for number in 0..=LAST {
        expected.push(block(&mut client, number).await.block.unwrap());
    }
    let first = follow(&[&primary.url()], |args| args.sync = SyncMode::Auto).await;
    let second = follow(&[&first.url()], |args| args.sync = SyncMode::Poll).await;
    let third = follow(&[&second.url()], |args| {
        args.sync = SyncMode::Auto;
        args.serve.limits.max_connections = 4 * MANY;
    })
    .await;
    let pause = |at: usize| if at.is_multiple_of(SLOW) { Duration::from_millis(20) } else { Duration::ZERO };
    let subscribers = join_all((0..MANY).map(|at| subscribe(&third, &expected, pause(at))));
    let readers = join_all((0..MANY).map(|_| read(&third, &expected)));
    let (taken, reads) = tokio::join!(subscribers, readers);
    for (at, taken) in taken.into_iter().enumerate().filter(|(at, _)| !at.is_multiple_of(SLOW)) {
        assert_eq!(taken, expected.len(), "subscriber {at}");
    }
    assert!(reads.iter().all(|count| *count > 0));
    proven(third.rpc, LAST).await;
    check_same(primary.rpc, third.rpc, LAST).await;
    assert_eq!(tips(third.rpc).await.tip_hash[..], BlockHash::of(&expected[LAST as usize]).as_bytes()[..]);
}
