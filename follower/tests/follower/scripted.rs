//! An upstream that answers what a test tells it to, right or wrong.

use std::{
    collections::BTreeMap,
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex},
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
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, codegen::Bytes, transport::Server};

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
    /// Ends every subscription; none: blocks from the script, then silence.
    pub(crate) subscription_error: Option<(Code, String)>,
    /// No call is ever answered.
    pub(crate) frozen: bool,
    /// No question for a block of this number or above is ever answered.
    pub(crate) frozen_from: Option<u32>,
    /// The `accept` metadata of the last question for a block.
    pub(crate) accept: Option<String>,
    /// How many calls of each kind came.
    pub(crate) calls: BTreeMap<&'static str, u32>,
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
        let serving =
            Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener));
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
        Ok(Response::new(RpcStatus { genesis_commitment, chain_tip: script.tip, ..RpcStatus::default() }))
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
        if script.frozen_from.is_some_and(|from| number >= from) {
            pending::<()>().await;
        }
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
        fail_if(script.subscription_error)?;
        let tip = script.tip;
        let blocks = script.blocks.range(request.get_ref().block_from..=tip);
        let blocks: Vec<_> = blocks.map(|(_, block)| block.clone()).collect();
        let items = blocks
            .into_iter()
            .map(move |block| Ok(BlockSubscriptionResponse { block, committed_chain_tip: tip }));
        Ok(Response::new(stream::iter(items).chain(stream::pending()).boxed()))
    }

    async fn proof_subscription(
        &self,
        request: Request<ProofSubscriptionRequest>,
    ) -> Result<Response<Self::ProofSubscriptionStream>, Status> {
        let script = self.script("ProofSubscription").await;
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
