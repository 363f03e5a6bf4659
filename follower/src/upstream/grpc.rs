//! The adapter for stores that speak `rpc.Api`.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::StreamExt as _;
use tidemark_store::{BlockHash, BlockNumber, Commitment};
use tidemark_wire::{
    blockchain::BlockRequest,
    rpc::{
        BlockSubscriptionRequest, BlockSubscriptionResponse, ProofSubscriptionRequest,
        ProofSubscriptionResponse, RpcStatus, api_client::ApiClient,
    },
    v1::{TipsRequest, TipsResponse, replica_client::ReplicaClient},
};
use tokio::time::timeout;
use tonic::{
    Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use url::Url;

use super::{
    Answer, Connector, Peer, StreamedBlock, StreamedProof, Upstream, UpstreamError, UpstreamStatus,
    UpstreamStream,
    classify::classify,
    connector,
    meter::{Meter, Metered, metered},
    probe,
};
use crate::{metrics::UpstreamCalls, size::ByteSize, tls::ClientTls};

/// Answered from memory by any store that is alive.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);
/// How long nothing of an answer with a block may come; a cut shows earlier, by unanswered pings.
const BLOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// Fewer bytes than this in that time are none: no answer is waited for because it drips.
const DRIP: u64 = 4 << 10;
/// What is called `rpc.Api` here.
const SPOKEN: &str = "rpc.Api";

/// Reaches a store by its URL.
pub struct GrpcConnector {
    url: String,
    max_message_bytes: usize,
    tls: Option<Arc<ClientTls>>,
    calls: UpstreamCalls,
}

impl GrpcConnector {
    /// The store at `url`, no block or proof of which is larger than `max_block_size`.
    #[must_use]
    pub fn new(url: &Url, max_block_size: ByteSize) -> Self {
        let url = url.as_str().trim_end_matches('/').to_owned();
        let calls = UpstreamCalls::default();
        Self { url, max_message_bytes: max_message_bytes(max_block_size), tls: None, calls }
    }

    /// The same store; if its URL is of https, it is reached with these.
    #[must_use]
    pub fn with_tls(self, tls: Option<Arc<ClientTls>>) -> Self {
        Self { tls, ..self }
    }

    /// The same store; what it is asked is counted here.
    #[must_use]
    pub fn counted(self, calls: UpstreamCalls) -> Self {
        Self { calls, ..self }
    }
}

impl Connector for GrpcConnector {
    type Upstream = GrpcUpstream;

    fn name(&self) -> &str {
        &self.url
    }

    async fn connect(&self) -> Result<GrpcUpstream, UpstreamError> {
        let channel = connector::connect(&self.url, self.tls.as_ref()).await?;
        Ok(GrpcUpstream::new(channel, self.max_message_bytes, &self.calls))
    }
}

/// One connection to such a store.
pub struct GrpcUpstream {
    channel: Channel,
    calls: ApiClient<Metered>,
    called: Arc<Meter>,
    /// For blocks alone, so that no other stream hides that theirs is silent.
    streams: ApiClient<Metered>,
    streamed: Arc<Meter>,
    replica: ReplicaClient<Metered>,
    /// Whether it has said that it does not know `tidemark.v1`.
    is_foreign: AtomicBool,
    /// Names the genesis the upstream said it has, so that no other store behind the same address answers instead.
    accept: OnceLock<MetadataValue<Ascii>>,
}

impl GrpcUpstream {
    fn new(channel: Channel, max_message_bytes: usize, calls: &UpstreamCalls) -> Self {
        let (called, streamed) = (Arc::<Meter>::default(), Arc::<Meter>::default());
        let watched = |meter| metered(channel.clone(), meter, calls.clone());
        let client = |meter| ApiClient::new(watched(meter));
        Self {
            calls: client(&called).max_decoding_message_size(max_message_bytes),
            streams: client(&streamed).max_decoding_message_size(max_message_bytes),
            replica: ReplicaClient::new(watched(&called)),
            is_foreign: AtomicBool::new(false),
            accept: OnceLock::new(),
            called,
            streamed,
            channel,
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(accept) = self.accept.get() {
            request.metadata_mut().insert("accept", accept.clone());
        }
        request
    }

    fn learn(&self, genesis: Commitment) {
        if let Ok(accept) = format!("application/vnd.miden; genesis={genesis}").parse() {
            self.accept.get_or_init(|| accept);
        }
    }

    /// A server without `Status` is no store of ours: says what it is.
    async fn named(&self, error: UpstreamError) -> UpstreamError {
        let UpstreamError::Unimplemented(_) = error else { return error };
        let services = probe::services(&self.channel).await;
        if services.iter().any(|service| service == SPOKEN) {
            return error;
        }
        UpstreamError::OtherProtocol(services)
    }
}

impl Upstream for GrpcUpstream {
    async fn status(&self) -> Result<UpstreamStatus, UpstreamError> {
        let mut client = self.calls.clone();
        let answered = in_time("Status", STATUS_TIMEOUT, client.status(())).await;
        let status = match answered {
            Ok(status) => upstream_status(&status)?,
            Err(error) => return Err(self.named(error).await),
        };
        self.learn(status.genesis);
        Ok(status)
    }

    async fn peer(&self, at: Option<BlockNumber>) -> Result<Option<Peer>, UpstreamError> {
        if self.is_foreign.load(Relaxed) {
            return Ok(None);
        }
        let mut client = self.replica.clone();
        let request = TipsRequest { at_height: at.map(BlockNumber::get) };
        match in_time("Replica/Tips", STATUS_TIMEOUT, client.tips(request)).await {
            Ok(tips) => Ok(Some(peer(tips))),
            Err(UpstreamError::Unimplemented(_) | UpstreamError::Failed(_) | UpstreamError::Broken(_)) => {
                self.is_foreign.store(true, Relaxed);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn block(&self, number: BlockNumber, with_proof: bool) -> Result<Answer, UpstreamError> {
        let request = BlockRequest { block_num: number.get(), include_proof: with_proof.then_some(true) };
        let mut client = self.calls.clone();
        let call = client.get_block_by_number(self.request(request));
        let answer = while_it_comes("GetBlockByNumber", BLOCK_TIMEOUT, &self.called, call).await?;
        Ok(Answer { block: answer.block, proof: answer.proof })
    }

    async fn blocks(&self, from: BlockNumber) -> Result<UpstreamStream<StreamedBlock>, UpstreamError> {
        let request = self.request(BlockSubscriptionRequest { block_from: from.get() });
        let mut client = self.streams.clone();
        let stream = in_time("BlockSubscription", STATUS_TIMEOUT, client.block_subscription(request)).await?;
        let item = |item: BlockSubscriptionResponse| StreamedBlock {
            block: item.block,
            tip: item.committed_chain_tip.into(),
        };
        Ok(stream.map(move |next| next.map(item).map_err(|status| classify(&status))).boxed())
    }

    async fn proofs(&self, from: BlockNumber) -> Result<UpstreamStream<StreamedProof>, UpstreamError> {
        let request = self.request(ProofSubscriptionRequest { block_from: from.get() });
        let mut client = self.calls.clone();
        let stream = in_time("ProofSubscription", STATUS_TIMEOUT, client.proof_subscription(request)).await?;
        let item = |item: ProofSubscriptionResponse| StreamedProof {
            number: item.block_num.into(),
            proof: item.proof,
        };
        Ok(stream.map(move |next| next.map(item).map_err(|status| classify(&status))).boxed())
    }

    fn remaining(&self) -> Option<u32> {
        self.called.remaining()
    }

    fn streamed_bytes(&self) -> u64 {
        self.streamed.bytes()
    }
}

/// A message has a block and a proof, and the few bytes that name them.
fn max_message_bytes(max_block_size: ByteSize) -> usize {
    usize::try_from(max_block_size.0).unwrap_or(usize::MAX).saturating_mul(2).saturating_add(64)
}

async fn in_time<T>(
    name: &'static str,
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, UpstreamError> {
    match timeout(limit, call).await {
        Ok(answered) => answered.map(Response::into_inner).map_err(|status| classify(&status)),
        Err(_) => Err(UpstreamError::Unanswered { call: name, limit }),
    }
}

/// Waits for as long as bytes arrive, whatever the size of the answer and the speed of the link.
async fn while_it_comes<T>(
    name: &'static str,
    limit: Duration,
    meter: &Meter,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, UpstreamError> {
    let mut call = pin!(call);
    loop {
        let seen = meter.bytes();
        match in_time(name, limit, &mut call).await {
            Err(UpstreamError::Unanswered { .. }) if meter.bytes() >= seen + DRIP => {}
            answered => return answered,
        }
    }
}

fn upstream_status(status: &RpcStatus) -> Result<UpstreamStatus, UpstreamError> {
    let no_genesis = || UpstreamError::Unreachable("its Status has no genesis commitment yet".to_owned());
    let genesis = status.genesis_commitment.ok_or_else(no_genesis)?;
    Ok(UpstreamStatus { genesis: Commitment::from_bytes(genesis.into()), tip: status.chain_tip.into() })
}

fn peer(tips: TipsResponse) -> Peer {
    let hash: Option<[u8; 32]> = tips.hash_at_height[..].try_into().ok();
    Peer { boot_id: tips.boot_id, through: tips.upstream_boot_ids, hash: hash.map(BlockHash::from_bytes) }
}
