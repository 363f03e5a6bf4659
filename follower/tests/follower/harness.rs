//! Starts nodes in this process, asks them, and waits for what must become true.

use std::{
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tidemark_follower::{
    cli::{FollowArgs, FormatName, ProduceArgs, ReplayFormat, ServeArgs},
    limits::LimitArgs,
    node::{self, Node, NodeError},
    scrub::ScrubArgs,
    size::ByteSize,
    sync::{OnFork, SyncMode},
    tls::{TlsArgs, UpstreamTlsArgs},
};
use tidemark_store::DiskStore;
use tidemark_wire::{
    blockchain::{BlockRequest, MaybeBlock},
    rpc::api_client::ApiClient,
    v1::{ReplicaState, TipsRequest, TipsResponse, replica_client::ReplicaClient},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

pub(crate) const REAL_CHAIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/data/miden-0.15-chain.bin");
const LIMIT: Duration = Duration::from_secs(30);
const ANY: &str = "127.0.0.1:0";

/// A node that runs until it is stopped or dropped, and its data directory.
pub(crate) struct Running {
    pub(crate) rpc: SocketAddr,
    pub(crate) admin: SocketAddr,
    dir: TempDir,
    stop: CancellationToken,
    task: Option<JoinHandle<Result<(), NodeError>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.iter().for_each(JoinHandle::abort);
    }
}

impl Running {
    fn new(node: Node, dir: TempDir) -> Self {
        let stop = CancellationToken::new();
        let (rpc, admin) = (node.rpc, node.admin);
        Self { rpc, admin, dir, task: Some(tokio::spawn(node.run(stop.clone()))), stop }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.rpc)
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    /// Stops in order, and hands over the data directory once nothing holds it any more.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.await.expect("no panic").expect("a clean end");
        }
        let dir = std::mem::replace(&mut self.dir, TempDir::new().unwrap());
        eventually("the data directory is free", async || DiskStore::open(dir.path()).ok()).await;
        dir
    }
}

pub(crate) fn serve_args(dir: &Path) -> ServeArgs {
    ServeArgs {
        data_dir: dir.to_owned(),
        volume_size: None,
        listen: ANY.parse().unwrap(),
        admin_listen: ANY.parse().unwrap(),
        shutdown_delay: Duration::ZERO,
        scrub: ScrubArgs::default(),
        limits: LimitArgs { max_connections: 100, ..LimitArgs::default() },
        tls: TlsArgs::default(),
        pod_uid: "pod-1".to_owned(),
    }
}

/// A fast primary that makes native blocks.
pub(crate) fn produce_args(dir: &Path) -> ProduceArgs {
    ProduceArgs {
        block_interval: Duration::from_millis(20),
        body_size: ByteSize(100),
        proof_delay: Duration::from_millis(50),
        blocks: None,
        replay: None,
        replay_format: ReplayFormat::Opaque,
        restore_from: Vec::new(),
        upstream_tls: UpstreamTlsArgs::default(),
        serve: serve_args(dir),
    }
}

pub(crate) fn follow_args(dir: &Path, upstreams: &[&str]) -> FollowArgs {
    FollowArgs {
        upstream: upstreams.iter().map(|url| url.parse().unwrap()).collect(),
        format: FormatName::Native,
        sync: SyncMode::Poll,
        poll_interval: Duration::from_millis(50),
        requests_per_second: 10_000,
        genesis: None,
        on_fork: OnFork::Halt,
        upstream_tls: UpstreamTlsArgs::default(),
        serve: serve_args(dir),
    }
}

pub(crate) async fn produce(change: impl FnOnce(&mut ProduceArgs)) -> Running {
    produce_in(TempDir::new().unwrap(), change).await
}

pub(crate) async fn produce_in(dir: TempDir, change: impl FnOnce(&mut ProduceArgs)) -> Running {
    let mut args = produce_args(dir.path());
    change(&mut args);
    Running::new(node::produce(args).await.expect("must start"), dir)
}

/// A primary that replays the recorded chain.
pub(crate) async fn replay(blocks: Option<u32>) -> Running {
    produce(|args| {
        args.replay = Some(PathBuf::from(REAL_CHAIN));
        args.block_interval = Duration::from_millis(1);
        args.blocks = blocks;
    })
    .await
}

pub(crate) async fn follow(upstreams: &[&str], change: impl FnOnce(&mut FollowArgs)) -> Running {
    follow_in(TempDir::new().unwrap(), upstreams, change).await
}

pub(crate) async fn follow_in(
    dir: TempDir,
    upstreams: &[&str],
    change: impl FnOnce(&mut FollowArgs),
) -> Running {
    let mut args = follow_args(dir.path(), upstreams);
    change(&mut args);
    Running::new(node::follow(args).await.expect("must start"), dir)
}

/// Waits until `probe` answers; fails naming what did not happen.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = probe().await {
            return answer;
        }
        assert!(Instant::now() < end, "did not happen within {LIMIT:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn api(rpc: SocketAddr) -> ApiClient<Channel> {
    let client = ApiClient::connect(format!("http://{rpc}")).await.expect("reachable");
    client.max_decoding_message_size(usize::MAX)
}

pub(crate) async fn tips_at(rpc: SocketAddr, at_height: Option<u32>) -> TipsResponse {
    let mut client = ReplicaClient::connect(format!("http://{rpc}")).await.expect("reachable");
    client.tips(TipsRequest { at_height }).await.expect("answered").into_inner()
}

pub(crate) async fn tips(rpc: SocketAddr) -> TipsResponse {
    tips_at(rpc, None).await
}

pub(crate) async fn published(rpc: SocketAddr, tip: u32) -> TipsResponse {
    let reached = async || Some(tips(rpc).await).filter(|tips| tips.published_tip >= Some(tip));
    eventually(&format!("block {tip} is published"), reached).await
}

pub(crate) async fn proven(rpc: SocketAddr, tip: u32) -> TipsResponse {
    let reached = async || Some(tips(rpc).await).filter(|tips| tips.proven_tip >= Some(tip));
    eventually(&format!("block {tip} is proven"), reached).await
}

pub(crate) async fn in_state(rpc: SocketAddr, state: ReplicaState) -> TipsResponse {
    let reached = async || Some(tips(rpc).await).filter(|tips| tips.state() == state);
    eventually(&format!("the state is {state:?}"), reached).await
}

pub(crate) async fn block(client: &mut ApiClient<Channel>, number: u32) -> MaybeBlock {
    let request = BlockRequest { block_num: number, include_proof: Some(true) };
    client.get_block_by_number(request).await.expect("answered").into_inner()
}

/// Blocks up to `tip` are the same in both.
pub(crate) async fn check_same_blocks(one: SocketAddr, other: SocketAddr, tip: u32) {
    let (mut one, mut other) = (api(one).await, api(other).await);
    for number in 0..=tip {
        let expected = block(&mut one, number).await.block;
        assert!(expected.is_some(), "block {number}");
        assert_eq!(block(&mut other, number).await.block, expected, "block {number}");
    }
}

/// Blocks and proofs up to `tip` are the same in both, which have them all.
pub(crate) async fn check_same(one: SocketAddr, other: SocketAddr, tip: u32) {
    check_same_blocks(one, other, tip).await;
    let (mut one, mut other) = (api(one).await, api(other).await);
    for number in 1..=tip {
        let expected = block(&mut one, number).await.proof;
        assert!(expected.is_some(), "proof {number}");
        assert_eq!(block(&mut other, number).await.proof, expected, "proof {number}");
    }
}

/// The recorded chain, read without the code under test.
pub(crate) fn recorded_blocks() -> Vec<Vec<u8>> {
    let bytes = std::fs::read(REAL_CHAIN).expect("the recording is in the tree");
    let mut rest = &bytes[..];
    let mut blocks = Vec::new();
    while let Some((prefix, tail)) = rest.split_first_chunk::<4>() {
        let (block, tail) = tail.split_at(u32::from_le_bytes(*prefix) as usize);
        blocks.push(block.to_vec());
        rest = tail;
    }
    blocks
}

/// The value of a metric, whose name is without the prefix and with its labels; 0 where it is not shown.
pub(crate) async fn metric(node: &Running, name: &str) -> f64 {
    let metrics = page(node.admin, "/metrics").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("tidemark_follower_{name} ")));
    line.map_or(0.0, |value| value.parse().expect("a number"))
}

/// Waits until a metric is as told.
pub(crate) async fn metric_is(node: &Running, name: &str, is: impl Fn(f64) -> bool) {
    let as_told = async || is(metric(node, name).await).then_some(());
    eventually(&format!("the metric {name} is as it should be"), as_told).await;
}

/// Status line and body of an admin page.
pub(crate) async fn page(admin: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(admin).await.expect("reachable");
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
