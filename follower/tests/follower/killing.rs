//! The real binary, killed again and again while it copies blocks and proofs and is read.

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use tempfile::TempDir;
use tidemark_store::BlockHash;
use tidemark_wire::rpc::BlockSubscriptionRequest;
use tokio::task::JoinHandle;
use tonic::codegen::Bytes;

use crate::{
    harness::{api, block, check_same, produce, proven, published, tips},
    process::{Process, binary},
    tools,
};

const KILLS: u32 = 24;

/// What readers were given, by number.
type Given = BTreeMap<u32, BlockHash>;

/// Reads one block after the other, and starts over at the tip, until the process is gone.
async fn read(rpc: SocketAddr) -> Given {
    let mut given = Given::new();
    let mut client = api(rpc).await;
    let mut number = 0;
    loop {
        let request =
            tidemark_wire::blockchain::BlockRequest { block_num: number, include_proof: Some(true) };
        match client.get_block_by_number(request).await.map(tonic::Response::into_inner) {
            Ok(answer) => match answer.block {
                Some(bytes) => {
                    given.insert(number, BlockHash::of(&bytes));
                    number += 1;
                }
                None => number = 0,
            },
            Err(_) => return given,
        }
    }
}

/// Takes every block from `from` on, until the process is gone.
async fn subscribe(rpc: SocketAddr, from: u32) -> Given {
    let mut given = Given::new();
    let mut client = api(rpc).await;
    let request = BlockSubscriptionRequest { block_from: from };
    let Ok(stream) = client.block_subscription(request).await else { return given };
    let mut stream = stream.into_inner();
    while let Ok(Some(item)) = stream.message().await {
        given.insert(from + u32::try_from(given.len()).unwrap(), BlockHash::of(&item.block));
    }
    given
}

/// How many blocks a life lasts: from none to some groups, the same in every run.
fn life(kill: u32) -> u32 {
    kill.wrapping_mul(2_654_435_761) % 29
}

/// Starts a follower, has it read while it copies, and kills it. Gives what it had published and proven, and what readers got.
async fn live_and_die(url: &str, dir: &Path, kill: u32, before: (u32, u32)) -> ((u32, u32), Given) {
    let args = ["follow", "--upstream", url, "--format", "native", "--requests-per-second", "10000"];
    let args = [
        &args[..],
        &["--sync", if kill.is_multiple_of(2) { "auto" } else { "poll" }, "--poll-interval", "20ms"],
    ]
    .concat();
    let mut follower = Process::start(&mut binary(&args, dir)).await;
    let reopened = tips(follower.rpc).await;
    let reopened = (reopened.published_tip.unwrap_or(0), reopened.proven_tip.unwrap_or(0));
    assert!(reopened >= before && reopened.1 >= before.1, "{reopened:?} after {before:?}");
    published(follower.rpc, reopened.0.max(1)).await;
    let readers: [JoinHandle<Given>; 3] = [
        tokio::spawn(read(follower.rpc)),
        tokio::spawn(read(follower.rpc)),
        tokio::spawn(subscribe(follower.rpc, reopened.0)),
    ];
    let seen = published(follower.rpc, reopened.0 + life(kill)).await;
    follower.child.kill().await.unwrap();
    let mut given = Given::new();
    for reader in readers {
        given.extend(reader.await.expect("no reader fails"));
    }
    ((seen.published_tip.unwrap(), seen.proven_tip.unwrap_or(0)), given)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_published_is_lost_by_kill_9_under_load() {
    let primary = produce(|args| {
        args.block_interval = std::time::Duration::from_millis(4);
        args.proof_delay = std::time::Duration::from_millis(20);
    })
    .await;
    let (dir, url) = (TempDir::new().unwrap(), primary.url());
    let (mut held, mut given) = ((0, 0), Given::new());
    for kill in 0..KILLS {
        let (now, more) = live_and_die(&url, dir.path(), kill, held).await;
        held = now;
        given.extend(more);
    }
    assert!(held.0 > KILLS && held.1 > 0, "{held:?}");
    tools::check_sound(dir.path());
    let mut client = api(primary.rpc).await;
    for (number, hash) in &given {
        let made: Bytes = block(&mut client, *number).await.block.expect("the primary made it");
        assert_eq!(BlockHash::of(&made), *hash, "block {number}");
    }
    let args = ["follow", "--upstream", &url, "--format", "native"];
    let follower = Process::start(&mut binary(&args, dir.path())).await;
    proven(follower.rpc, held.0).await;
    check_same(primary.rpc, follower.rpc, held.0).await;
}
