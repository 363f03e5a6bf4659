//! `rpc.Api`: hands each call to the file that owns it.

use std::sync::Arc;

use futures::stream::BoxStream;
use tidemark_store::{BlockNumber, StoreError};
use tidemark_wire::{
    blockchain::{BlockRequest, MaybeBlock},
    rpc::{
        BlockHeaderByNumberRequest, BlockHeaderByNumberResponse, BlockSubscriptionRequest,
        BlockSubscriptionResponse, ProofSubscriptionRequest, ProofSubscriptionResponse, RpcStatus,
        api_server,
    },
};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::{get_block, get_header, status, subscription};
use crate::replica::{Replica, ReplicaError};

type Answer<T> = Result<Response<T>, Status>;
type Items<T> = BoxStream<'static, Result<T, Status>>;

/// The service.
pub(super) struct Api {
    pub(super) replica: Arc<Replica>,
    pub(super) subscriptions: Arc<Semaphore>,
}

impl Api {
    pub(super) fn new(replica: Arc<Replica>, max_subscriptions: usize) -> Self {
        Self { replica, subscriptions: Arc::new(Semaphore::new(max_subscriptions)) }
    }
}

/// What a failed read is on the wire; where the file is and what to do about it is for the log alone.
pub(super) fn read_failed(number: BlockNumber, error: &ReplicaError) -> Status {
    tracing::error!(number = number.get(), "a read failed: {error}");
    let what = match error {
        ReplicaError::Store(StoreError::Damaged { .. }) => "is damaged",
        _ => "cannot be read",
    };
    Status::unavailable(format!("block {number} {what} here: read it from another store"))
}

#[tonic::async_trait]
impl api_server::Api for Api {
    type BlockSubscriptionStream = Items<BlockSubscriptionResponse>;
    type ProofSubscriptionStream = Items<ProofSubscriptionResponse>;

    async fn status(&self, _: Request<()>) -> Answer<RpcStatus> {
        status::answer(&self.replica).map(Response::new)
    }

    async fn get_block_by_number(&self, request: Request<BlockRequest>) -> Answer<MaybeBlock> {
        get_block::answer(&self.replica, request.get_ref()).await.map(Response::new)
    }

    async fn get_block_header_by_number(
        &self,
        _: Request<BlockHeaderByNumberRequest>,
    ) -> Answer<BlockHeaderByNumberResponse> {
        Err(get_header::refusal(self.replica.format()))
    }

    async fn block_subscription(
        &self,
        request: Request<BlockSubscriptionRequest>,
    ) -> Answer<Self::BlockSubscriptionStream> {
        subscription::blocks(self, &request).map(Response::new)
    }

    async fn proof_subscription(
        &self,
        request: Request<ProofSubscriptionRequest>,
    ) -> Answer<Self::ProofSubscriptionStream> {
        subscription::proofs(self, &request).map(Response::new)
    }
}
