//! An upstream that answers what a test tells it to, right or wrong.

use std::{
    collections::{BTreeMap, VecDeque},
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tidemark_follower::format::NativeBlock;
use tidemark_store::{BlockHash, Commitment};
use tidemark_wire::{
    blockchain::{BlockRequest, MaybeBlock},
    rpc::{
        BlockHeaderByNumberRequest, BlockHeaderByNumberResponse, BlockSubscriptionRequest,
        BlockSubscriptionResponse, ProofSubscriptionRequest, ProofSubscriptionResponse, RpcStatus,
        api_server::{Api, ApiServer},
    },
    v1::{
        TipsRequest, TipsResponse,
        replica_server::{Replica, ReplicaServer},
    },
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, codegen::Bytes, transport::Server};

use crate::trickle::{Trickle, Trickling};

/// What the upstream answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    pub(crate) genesis: [u8; 32],
    pub(crate) tip: u32,
    pub(crate) blocks: BTreeMap<u32, Bytes>,
    pub(crate) proofs: BTreeMap<u32, Bytes>,
    /// Ends every Status call.
    pub(crate) status_error: Option<(Code, String)>,
    /// Ends every GetBlockByNumber call.
    pub(crate) block_error: Option<(Code, String)>,
    /// Blocks that it cannot read.
    pub(crate) unreadable: Vec<u32>,
    /// Ends every subscription; none: blocks from the script, then silence.
    pub(crate) subscription_error: Option<(Code, String)>,
    /// Ends every subscription to proofs.
    pub(crate) proof_error: Option<(Code, String)>,
    /// How the next subscriptions to blocks go, one after the other; then as above.
    pub(crate) ends: VecDeque<End>,
    /// Where the subscriptions to blocks and to proofs began.
    pub(crate) from: BTreeMap<&'static str, Vec<u32>>,
    /// Answers `tidemark.v1` with this boot id and these stores that it follows through.
    pub(crate) peer: Option<(String, Vec<String>)>,
    /// How blocks that are subscribed to arrive; none: at once.
    pub(crate) trickle: Option<Trickle>,
    /// The same of blocks that are asked for.
    pub(crate) call_trickle: Option<Trickle>,
    /// What it says how many calls it still takes.
    pub(crate) remaining: Option<u32>,
    /// The most questions for blocks that were open at once, when each takes this long.
    pub(crate) block_delay: Duration,
    pub(crate) most_open: u32,
    open: u32,
    /// No call is ever answered.
    pub(crate) frozen: bool,
    /// No question for a block of this number or above is ever answered.
    pub(crate) frozen_from: Option<u32>,
    /// The `accept` metadata of the last question for a block.
    pub(crate) accept: Option<String>,
    /// How many calls of each kind came.
    pub(crate) calls: BTreeMap<&'static str, u32>,
}

/// How a subscription to blocks goes.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// It is refused.
    Refused(Code, &'static str),
    /// It brings what there is and then fails.
    Fails(Code, &'static str),
    /// It brings what there is and then ends.
    Clean,
}

impl Script {
    /// A sound native chain with that tip.
    pub(crate) fn native(tip: u32) -> Self {
        let mut script = Self { tip, ..Self::default() };
        script.extend(tip, b"body");
        script.genesis = *BlockHash::of(&script.blocks[&0]).as_bytes();
        script
    }

    /// Adds native blocks after those there are, up to `tip`.
    pub(crate) fn extend(&mut self, tip: u32, body: &[u8]) {
        let first = u32::try_from(self.blocks.len()).unwrap();
        self.extend_from(first, tip, body);
    }

    /// The same, whichever blocks are missing.
    pub(crate) fn extend_behind(&mut self, tip: u32, body: &[u8]) {
        self.extend_from(self.tip + 1, tip, body);
    }

    fn extend_from(&mut self, first: u32, tip: u32, body: &[u8]) {
        for number in first..=tip {
            let parent =
                number.checked_sub(1).map_or([0; 32], |n| *BlockHash::of(&self.blocks[&n]).as_bytes());
            let parent = Commitment::from_bytes(parent);
            let block = NativeBlock { number: number.into(), parent, unix_millis: 0, body }.encode();
            self.blocks.insert(number, block.into());
        }
        self.tip = tip;
    }
}

/// A running scripted upstream.
#[derive(Clone)]
pub(crate) struct Scripted {
    script: Arc<Mutex<Script>>,
    pub(crate) rpc: SocketAddr,
    _server: Arc<AbortOnDrop>,
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Scripted {
    pub(crate) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let rpc = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(script));
        let service = ApiServer::new(Service(Arc::clone(&script))).max_encoding_message_size(usize::MAX);
        let service = Trickling { inner: service, script: Arc::clone(&script) };
        let replica = ReplicaServer::new(Service(Arc::clone(&script)));
        let serving = Server::builder()
            .add_service(service)
            .add_service(replica)
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async { serving.await.expect("the transport holds") });
        Self { script, rpc, _server: Arc::new(AbortOnDrop(server)) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.rpc)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    pub(crate) fn accept(&self) -> Option<String> {
        self.script.lock().unwrap().accept.clone()
    }

    /// Reads something out of the script.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Script) -> T) -> T {
        read(&self.script.lock().unwrap())
    }

    pub(crate) fn calls(&self, kind: &str) -> u32 {
        self.script.lock().unwrap().calls.get(kind).copied().unwrap_or(0)
    }
}

struct Service(Arc<Mutex<Script>>);

impl Service {
    /// Counts the call; a frozen upstream stops here.
    async fn script(&self, kind: &'static str) -> Script {
        let script = {
            let mut script = self.0.lock().unwrap();
            *script.calls.entry(kind).or_default() += 1;
            script.clone()
        };
        if script.frozen { pending().await } else { script }
    }
}

impl Service {
    fn opened(&self, change: i32) {
        let mut script = self.0.lock().unwrap();
        script.open = script.open.saturating_add_signed(change);
        script.most_open = script.most_open.max(script.open);
    }

    fn note(&self, kind: &'static str, from: u32) {
        self.0.lock().unwrap().from.entry(kind).or_default().push(from);
    }
}

#[tonic::async_trait]
impl Replica for Service {
    async fn tips(&self, request: Request<TipsRequest>) -> Result<Response<TipsResponse>, Status> {
        let script = self.script("Tips").await;
        let (boot_id, upstream_boot_ids) = script.peer.ok_or_else(|| Status::unimplemented("no tips"))?;
        let block = request.get_ref().at_height.and_then(|height| script.blocks.get(&height));
        let hash_at_height = block.map(|block| BlockHash::of(block).as_bytes().to_vec()).unwrap_or_default();
        Ok(Response::new(TipsResponse {
            boot_id,
            upstream_boot_ids,
            hash_at_height: hash_at_height.into(),
            ..TipsResponse::default()
        }))
    }
}

fn fail_if(error: Option<(Code, String)>) -> Result<(), Status> {
    error.map_or(Ok(()), |(code, message)| Err(Status::new(code, message)))
}

#[tonic::async_trait]
impl Api for Service {
    type BlockSubscriptionStream = BoxStream<'static, Result<BlockSubscriptionResponse, Status>>;
    type ProofSubscriptionStream = BoxStream<'static, Result<ProofSubscriptionResponse, Status>>;

    async fn status(&self, _: Request<()>) -> Result<Response<RpcStatus>, Status> {
        let script = self.script("Status").await;
        fail_if(script.status_error)?;
        let genesis_commitment = Some(script.genesis.into());
        let mut response =
            Response::new(RpcStatus { genesis_commitment, chain_tip: script.tip, ..RpcStatus::default() });
        if let Some(remaining) = script.remaining {
            response.metadata_mut().insert("x-ratelimit-remaining", remaining.into());
        }
        Ok(response)
    }

    async fn get_block_by_number(
        &self,
        request: Request<BlockRequest>,
    ) -> Result<Response<MaybeBlock>, Status> {
        let script = self.script("GetBlockByNumber").await;
        fail_if(script.block_error)?;
        let accept = request.metadata().get("accept").map(|value| value.to_str().unwrap().to_owned());
        self.0.lock().unwrap().accept = accept;
        let number = request.get_ref().block_num;
        if script.unreadable.contains(&number) {
            return Err(Status::data_loss("the disk cannot read it"));
        }
        if script.frozen_from.is_some_and(|from| number >= from) {
            pending::<()>().await;
        }
        self.opened(1);
        tokio::time::sleep(script.block_delay).await;
        self.opened(-1);
        let proof = script.proofs.get(&number).filter(|_| request.get_ref().include_proof()).cloned();
        Ok(Response::new(MaybeBlock { block: script.blocks.get(&number).cloned(), proof }))
    }

    async fn get_block_header_by_number(
        &self,
        _: Request<BlockHeaderByNumberRequest>,
    ) -> Result<Response<BlockHeaderByNumberResponse>, Status> {
        Err(Status::unimplemented("no headers"))
    }

    async fn block_subscription(
        &self,
        request: Request<BlockSubscriptionRequest>,
    ) -> Result<Response<Self::BlockSubscriptionStream>, Status> {
        let script = self.script("BlockSubscription").await;
        self.note("blocks", request.get_ref().block_from);
        fail_if(script.subscription_error)?;
        let end = self.0.lock().unwrap().ends.pop_front();
        if let Some(End::Refused(code, text)) = end {
            return Err(Status::new(code, text));
        }
        let tip = script.tip;
        let blocks =
            script.blocks.range(request.get_ref().block_from..).filter(|(number, _)| **number <= tip);
        let blocks: Vec<_> = blocks.map(|(_, block)| block.clone()).collect();
        let items = blocks
            .into_iter()
            .map(move |block| Ok(BlockSubscriptionResponse { block, committed_chain_tip: tip }));
        let last = match end {
            Some(End::Clean) => stream::empty().boxed(),
            Some(End::Fails(code, text)) => stream::iter([Err(Status::new(code, text))]).boxed(),
            _ => stream::pending().boxed(),
        };
        Ok(Response::new(stream::iter(items).chain(last).boxed()))
    }

    async fn proof_subscription(
        &self,
        request: Request<ProofSubscriptionRequest>,
    ) -> Result<Response<Self::ProofSubscriptionStream>, Status> {
        let script = self.script("ProofSubscription").await;
        self.note("proofs", request.get_ref().block_from);
        fail_if(script.proof_error)?;
        fail_if(script.subscription_error)?;
        let proofs = script.proofs.range(request.get_ref().block_from..);
        let proofs: Vec<_> = proofs.map(|(number, proof)| (*number, proof.clone())).collect();
        let proven_chain_tip = script.tip;
        let items = proofs.into_iter().map(move |(block_num, proof)| {
            Ok(ProofSubscriptionResponse { block_num, proof, proven_chain_tip })
        });
        Ok(Response::new(stream::iter(items).chain(stream::pending()).boxed()))
    }
}
