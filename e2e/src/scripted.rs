//! A store that says what a test tells it to: tips, delays and lies on command.
//!
//! Each has a loopback address of its own and the port of followers, so that the operator finds it as it would find a pod.

mod line;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures::stream::BoxStream;
use tidemark_wire::{
    blockchain::{BlockRequest, MaybeBlock},
    rpc::{
        BlockHeaderByNumberRequest, BlockHeaderByNumberResponse, BlockSubscriptionRequest,
        BlockSubscriptionResponse, ProofSubscriptionRequest, ProofSubscriptionResponse, RpcStatus,
        api_server::{Api, ApiServer},
    },
    v1::{
        ReplicaState, TipsRequest, TipsResponse,
        replica_server::{Replica, ReplicaServer},
    },
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tonic::{Request, Response, Status, transport::Server};

pub use self::line::{Manners, ServerTls};
use crate::loopback;

/// The port on which followers serve.
pub const PORT: u16 = 57291;

/// What a store says.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its published tip; None: an empty store.
    pub tip: Option<u32>,
    /// Whether it knows `tidemark.v1`, or `rpc.Api` alone.
    pub speaks_tidemark: bool,
    /// The first byte of its genesis commitment; the others are 0.
    pub genesis: u8,
    /// From this height on its blocks are others than those of honest stores.
    pub forked_from: Option<u32>,
    /// The UID of the pod it claims to be; empty: none.
    pub pod_uid: String,
    /// What it made anew at its start.
    pub boot_id: String,
    /// The tip it sees where it copies from.
    pub upstream_tip: Option<u32>,
    /// How long it lets a request wait.
    pub delay: Duration,
    /// Answer nothing but this error.
    pub failing: Option<String>,
    /// Answer only that it is exhausted, in these words.
    pub exhausted: Option<String>,
    /// Keep the genesis to itself.
    pub hides_genesis: bool,
    /// How many bytes each block is longer than it must be.
    pub padding: usize,
    /// How many bytes an answer is longer than it must be.
    pub chatter: usize,
    /// What it does with connections.
    pub manners: Manners,
    /// What it shows over TLS; None: it speaks without. A change ends connections, as one of manners does.
    pub tls: Option<ServerTls>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            tip: Some(0),
            speaks_tidemark: true,
            genesis: 1,
            forked_from: None,
            pod_uid: String::new(),
            boot_id: "first".to_owned(),
            upstream_tip: None,
            delay: Duration::ZERO,
            failing: None,
            exhausted: None,
            hides_genesis: false,
            padding: 0,
            chatter: 0,
            manners: Manners::Honest,
            tls: None,
        }
    }
}

/// A store under a test's command; dropping it ends it.
#[derive(Debug)]
pub struct Scripted {
    address: Ipv4Addr,
    script: Arc<Mutex<Script>>,
    asked: watch::Receiver<u64>,
    counts: Arc<Counts>,
    server: JoinHandle<()>,
}

/// What is counted beside requests for tips.
#[derive(Debug, Default)]
struct Counts {
    blocks: AtomicU64,
    written: AtomicU64,
}

impl Scripted {
    /// Starts a store at an address that no other of this process has.
    ///
    /// # Errors
    /// If the address is not to be had.
    pub async fn start(script: Script) -> Result<Self> {
        let (address, listener) = loopback::listen(PORT)?;
        let listener = TcpListener::from_std(listener)?;
        let script = Arc::new(Mutex::new(script));
        let (count, asked) = watch::channel(0);
        let counts = Arc::<Counts>::default();
        let answers = Answers { script: Arc::clone(&script), count, counts: Arc::clone(&counts) };
        let lines = line::accept(listener, Arc::clone(&script), Arc::clone(&counts));
        let serving = Server::builder()
            .add_service(ReplicaServer::new(answers.clone()))
            .add_service(ApiServer::new(answers))
            .serve_with_incoming(lines);
        let server = tokio::spawn(async move { serving.await.expect("a listener that was bound serves") });
        Ok(Self { address, script, asked, counts, server })
    }

    /// Where it listens.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        IpAddr::V4(self.address)
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if lock(&self.script).tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}:{PORT}", self.address)
    }

    /// How often it has been asked for its tip.
    #[must_use]
    pub fn times_asked(&self) -> u64 {
        *self.asked.borrow()
    }

    /// How many blocks it has been asked for.
    #[must_use]
    pub fn blocks_read(&self) -> u64 {
        self.counts.blocks.load(Ordering::Relaxed)
    }

    /// How many bytes it could send, over all connections.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.counts.written.load(Ordering::Relaxed)
    }

    /// Changes what it says.
    pub fn say(&self, change: impl FnOnce(&mut Script)) {
        change(&mut lock(&self.script));
    }

    /// Waits until it has been asked `more` times from now on.
    ///
    /// # Errors
    /// If that does not happen within half a minute.
    pub async fn asked(&self, more: u64) -> Result<()> {
        let mut asked = self.asked.clone();
        let goal = *asked.borrow_and_update() + more;
        let waiting = asked.wait_for(|count| *count >= goal);
        tokio::time::timeout(Duration::from_secs(30), waiting).await.context("nobody asks this store")??;
        Ok(())
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Clone)]
struct Answers {
    script: Arc<Mutex<Script>>,
    count: watch::Sender<u64>,
    counts: Arc<Counts>,
}

impl Answers {
    /// Counts the request and lets it wait; what it is to be answered from, or the error.
    async fn script(&self) -> Result<Script, Status> {
        let script = lock(&self.script).clone();
        tokio::time::sleep(script.delay).await;
        self.count.send_modify(|count| *count += 1);
        match (&script.failing, &script.exhausted) {
            (Some(error), _) => Err(Status::unavailable(error.clone())),
            (_, Some(error)) => Err(Status::resource_exhausted(error.clone())),
            _ => Ok(script),
        }
    }
}

#[tonic::async_trait]
impl Replica for Answers {
    async fn tips(&self, request: Request<TipsRequest>) -> Result<Response<TipsResponse>, Status> {
        let script = self.script().await?;
        if !script.speaks_tidemark {
            return Err(Status::unimplemented("tidemark.v1 is not known here"));
        }
        Ok(Response::new(answer(&script, request.into_inner().at_height)))
    }
}

/// The operator asks for a status and now and then for a block, and for nothing else.
#[tonic::async_trait]
impl Api for Answers {
    type BlockSubscriptionStream = BoxStream<'static, Result<BlockSubscriptionResponse, Status>>;
    type ProofSubscriptionStream = BoxStream<'static, Result<ProofSubscriptionResponse, Status>>;

    async fn status(&self, _: Request<()>) -> Result<Response<RpcStatus>, Status> {
        let script = self.script().await?;
        let chain_tip = script.tip.ok_or_else(|| Status::unavailable("no genesis yet"))?;
        let genesis_commitment = (!script.hides_genesis).then(|| genesis(&script).into());
        let version = "x".repeat(script.chatter);
        Ok(Response::new(RpcStatus { version, genesis_commitment, chain_tip, ..RpcStatus::default() }))
    }

    async fn get_block_by_number(
        &self,
        request: Request<BlockRequest>,
    ) -> Result<Response<MaybeBlock>, Status> {
        self.counts.blocks.fetch_add(1, Ordering::Relaxed);
        let (script, height) = (lock(&self.script).clone(), request.into_inner().block_num);
        let held = script.tip.is_some_and(|tip| height <= tip);
        Ok(Response::new(MaybeBlock { block: held.then(|| block(&script, height).into()), proof: None }))
    }

    async fn get_block_header_by_number(
        &self,
        _: Request<BlockHeaderByNumberRequest>,
    ) -> Result<Response<BlockHeaderByNumberResponse>, Status> {
        Err(Status::unimplemented("no headers"))
    }

    async fn block_subscription(
        &self,
        _: Request<BlockSubscriptionRequest>,
    ) -> Result<Response<Self::BlockSubscriptionStream>, Status> {
        Err(Status::unimplemented("no blocks"))
    }

    async fn proof_subscription(
        &self,
        _: Request<ProofSubscriptionRequest>,
    ) -> Result<Response<Self::ProofSubscriptionStream>, Status> {
        Err(Status::unimplemented("no proofs"))
    }
}

fn genesis(script: &Script) -> [u8; 32] {
    let mut genesis = [0; 32];
    genesis[0] = script.genesis;
    genesis
}

fn answer(script: &Script, at_height: Option<u32>) -> TipsResponse {
    let held = |height: &u32| script.tip.is_some_and(|tip| *height <= tip);
    let hash = |height: u32| blake3::hash(&block(script, height)).as_bytes().to_vec().into();
    let known = script.tip.is_some() && !script.hides_genesis;
    TipsResponse {
        published_tip: script.tip,
        applied_tip: script.tip,
        proven_tip: None,
        genesis: if known { genesis(script).to_vec().into() } else { Default::default() },
        tip_hash: script.tip.map(hash).unwrap_or_default(),
        hash_at_height: at_height.filter(held).map(hash).unwrap_or_default(),
        pod_uid: script.pod_uid.clone(),
        boot_id: script.boot_id.clone(),
        upstream_tip: script.upstream_tip,
        state: ReplicaState::Syncing.into(),
        state_detail: "x".repeat(script.chatter),
        upstream_boot_ids: Vec::new(),
    }
}

fn block(script: &Script, height: u32) -> Vec<u8> {
    let fork = u8::from(script.forked_from.is_some_and(|from| height >= from));
    let mut block = [&height.to_le_bytes()[..], &[fork]].concat();
    block.resize(32 + script.padding, 0);
    block
}

fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}
