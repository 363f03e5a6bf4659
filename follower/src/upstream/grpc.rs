//! The adapter for stores that speak `rpc.Api`.

use std::{future::Future, sync::OnceLock, time::Duration};

use futures::StreamExt as _;
use tidemark_store::{BlockNumber, Commitment};
use tidemark_wire::{
    blockchain::BlockRequest,
    rpc::{BlockSubscriptionRequest, ProofSubscriptionRequest, RpcStatus, api_client::ApiClient},
};
use tokio::time::timeout;
use tonic::{
    Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use url::Url;

use super::{
    Answer, Connector, StreamedBlock, StreamedProof, Upstream, UpstreamError, UpstreamStatus, UpstreamStream,
    classify::classify, connector,
};
use crate::size::ByteSize;

/// Answered from memory by any store that is alive.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);
/// Long enough for the largest block on a slow link; a cut shows earlier, by unanswered pings.
const BLOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Reaches a store by its URL.
pub struct GrpcConnector {
    url: String,
    max_message_bytes: usize,
}

impl GrpcConnector {
    /// The store at `url`, no block or proof of which is larger than `max_block_size`.
    #[must_use]
    pub fn new(url: &Url, max_block_size: ByteSize) -> Self {
        let url = url.as_str().trim_end_matches('/').to_owned();
        Self { url, max_message_bytes: max_message_bytes(max_block_size) }
    }
}

impl Connector for GrpcConnector {
    type Upstream = GrpcUpstream;

    fn name(&self) -> &str {
        &self.url
    }

    async fn connect(&self) -> Result<GrpcUpstream, UpstreamError> {
        let channel = connector::connect(&self.url).await?;
        let client = ApiClient::new(channel).max_decoding_message_size(self.max_message_bytes);
        Ok(GrpcUpstream { client, accept: OnceLock::new() })
    }
}

/// One connection to such a store.
pub struct GrpcUpstream {
    client: ApiClient<Channel>,
    /// Names the genesis the upstream said it has, so that no other store behind the same address answers instead.
    accept: OnceLock<MetadataValue<Ascii>>,
}

impl GrpcUpstream {
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
}

impl Upstream for GrpcUpstream {
    async fn status(&self) -> Result<UpstreamStatus, UpstreamError> {
        let mut client = self.client.clone();
        let status = upstream_status(&call("Status", STATUS_TIMEOUT, client.status(())).await?)?;
        self.learn(status.genesis);
        Ok(status)
    }

    async fn block(&self, number: BlockNumber, with_proof: bool) -> Result<Answer, UpstreamError> {
        let request = BlockRequest { block_num: number.get(), include_proof: with_proof.then_some(true) };
        let mut client = self.client.clone();
        let answer =
            call("GetBlockByNumber", BLOCK_TIMEOUT, client.get_block_by_number(self.request(request)))
                .await?;
        Ok(Answer { block: answer.block, proof: answer.proof })
    }

    async fn blocks(&self, from: BlockNumber) -> Result<UpstreamStream<StreamedBlock>, UpstreamError> {
        let request = BlockSubscriptionRequest { block_from: from.get() };
        let mut client = self.client.clone();
        let stream =
            call("BlockSubscription", STATUS_TIMEOUT, client.block_subscription(self.request(request)))
                .await?;
        let item = |item: Result<tidemark_wire::rpc::BlockSubscriptionResponse, Status>| {
            item.map(|item| StreamedBlock { block: item.block, tip: item.committed_chain_tip.into() })
        };
        Ok(stream.map(move |next| item(next).map_err(|status| classify(&status))).boxed())
    }

    async fn proofs(&self, from: BlockNumber) -> Result<UpstreamStream<StreamedProof>, UpstreamError> {
        let request = ProofSubscriptionRequest { block_from: from.get() };
        let mut client = self.client.clone();
        let stream =
            call("ProofSubscription", STATUS_TIMEOUT, client.proof_subscription(self.request(request)))
                .await?;
        let item = |item: Result<tidemark_wire::rpc::ProofSubscriptionResponse, Status>| {
            item.map(|item| StreamedProof { number: item.block_num.into(), proof: item.proof })
        };
        Ok(stream.map(move |next| item(next).map_err(|status| classify(&status))).boxed())
    }
}

/// A message has a block and a proof, and the few bytes that name them.
fn max_message_bytes(max_block_size: ByteSize) -> usize {
    usize::try_from(max_block_size.0).unwrap_or(usize::MAX).saturating_mul(2).saturating_add(64)
}

async fn call<T>(
    name: &str,
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, UpstreamError> {
    match timeout(limit, call).await {
        Ok(answered) => answered.map(Response::into_inner).map_err(|status| classify(&status)),
        Err(_) => Err(UpstreamError::Unreachable(format!("{name} was not answered within {limit:?}"))),
    }
}

fn upstream_status(status: &RpcStatus) -> Result<UpstreamStatus, UpstreamError> {
    let no_genesis = || UpstreamError::Unreachable("its Status has no genesis commitment yet".to_owned());
    let genesis = status.genesis_commitment.ok_or_else(no_genesis)?;
    Ok(UpstreamStatus { genesis: Commitment::from_bytes(genesis.into()), tip: status.chain_tip.into() })
}
