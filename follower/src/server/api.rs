//! `rpc.Api`: checks what every call must keep, and hands it to the file that owns it.
//!
//! The calls are framed here and not by generated code, so that a block's bytes go to the transport as they were read,
//! and are counted until they have left.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use hyper::{Request, Response, body::Incoming, header::HeaderValue, http::request::Parts};
use prost::Message;
use tidemark_store::{BlockNumber, StoreError};
use tidemark_wire::rpc::{BlockHeaderByNumberRequest, BlockSubscriptionRequest, ProofSubscriptionRequest};
use tokio::sync::Semaphore;
use tonic::{Code, Status, codegen::Bytes, metadata::MetadataMap};

use super::{
    accept,
    body::{AnswerBody, HANDED},
    budget::{Budget, Share},
    connections::Way,
    get_block, get_header,
    message::{self, Pieces},
    min_height::MinHeight,
    outlet::{Outlet, Patience},
    progress::Progress,
    rpc::Rpc,
    status, subscription,
};
use crate::{
    limits::LimitArgs,
    metrics::Limit,
    replica::{Kind, Replica, ReplicaError},
};

/// Response metadata: the published tip.
const TIP: &str = "tidemark-tip";

/// The service.
pub(super) struct Api {
    pub(super) replica: Arc<Replica>,
    pub(super) limits: LimitArgs,
    pub(super) budget: Budget,
    pub(super) subscriptions: Arc<Semaphore>,
    min_height: MinHeight,
}

/// What a failed read is on the wire; where the file is and what to do about it is for the log alone.
pub(super) fn read_failed(number: BlockNumber, error: &ReplicaError) -> Status {
    tracing::error!(number = number.get(), "a read failed: {error}");
    match error {
        ReplicaError::Store(StoreError::Damaged { .. }) => damaged(number),
        _ => Status::unavailable(format!("block {number} cannot be read here: read it from another store")),
    }
}

/// A block whose bytes are not those that were published.
pub(super) fn damaged(number: BlockNumber) -> Status {
    Status::unavailable(format!("block {number} is damaged here, refetching: read it from another store"))
}

/// A block or proof that is longer than this store serves, in words that every client of tonic knows.
fn too_large(replica: &Replica, number: BlockNumber, len: usize) -> Status {
    replica.metrics.serving.reached(Limit::BlockSize);
    Status::out_of_range(format!(
        "message length too large: block {number} or its proof has {len} bytes, more than is served here"
    ))
}

impl Api {
    pub(super) fn new(replica: Arc<Replica>, limits: LimitArgs) -> Self {
        let slots = Arc::new(Semaphore::new(limits.max_min_height_waiters.min(Semaphore::MAX_PERMITS)));
        let taken = replica.metrics.serving.response_bytes.clone();
        Self {
            replica,
            limits,
            budget: Budget::new(limits.max_response_bytes.0, taken),
            subscriptions: Arc::new(Semaphore::new(limits.max_subscriptions.min(Semaphore::MAX_PERMITS))),
            min_height: MinHeight { longest: limits.min_height_wait, slots },
        }
    }

    /// Refuses what is longer than is served.
    pub(super) fn admit(&self, number: BlockNumber, len: usize) -> Result<(), Status> {
        if len as u64 > self.limits.max_block_size.0 {
            return Err(too_large(&self.replica, number, len));
        }
        Ok(())
    }

    /// How many bytes a block or proof has that may be served; none has none. Waits for the disk.
    pub(super) fn len_of(&self, kind: Kind, number: BlockNumber) -> Result<usize, Status> {
        let len = self.replica.len_of(kind, number).map_err(|error| read_failed(number, &error))?;
        let len = len.unwrap_or(0);
        self.admit(number, len).map(|()| len)
    }

    /// A share of the budget, if there is room.
    pub(super) fn share_now(&self, bytes: usize) -> Result<Share, Status> {
        self.budget.try_take(bytes).ok_or_else(|| {
            self.replica.metrics.serving.reached(Limit::ResponseBytes);
            self.busy()
        })
    }

    /// What a call gets that finds no room.
    pub(super) fn busy(&self) -> Status {
        let limit = self.limits.max_response_bytes;
        Status::resource_exhausted(format!("{limit} of responses are on their way already. Wait for 1s"))
    }

    /// Answers one request, whatever it asks for.
    pub(super) async fn call(self: Arc<Self>, request: Request<Incoming>) -> Response<AnswerBody> {
        let began = Instant::now();
        let (head, body) = request.into_parts();
        let Some(rpc) = Rpc::from_path(head.uri.path()) else {
            return Status::unimplemented("rpc.Api has no such call").into_http();
        };
        let (code, mut response) = match self.answer(rpc, head, body).await {
            Ok(body) => (Code::Ok, answered(body)),
            Err(status) => (status.code(), status.into_http()),
        };
        if let Some(tip) = self.replica.published() {
            response.headers_mut().insert(TIP, HeaderValue::from(tip.get()));
        }
        self.replica.metrics.serving.answered(rpc, code, began.elapsed());
        response
    }

    async fn answer(self: &Arc<Self>, rpc: Rpc, head: Parts, body: Incoming) -> Result<AnswerBody, Status> {
        let Parts { headers, extensions, .. } = head;
        let metadata = MetadataMap::from_headers(headers);
        accept::check(&metadata, || self.replica.genesis())?;
        self.min_height.reached(&metadata, &self.replica).await?;
        match rpc {
            Rpc::Status => {
                message::decode::<()>(body).await?;
                status::answer(&self.replica).map(|answer| whole(&answer))
            }
            Rpc::GetBlockByNumber => {
                let progress = extensions.get::<Way>().cloned().unwrap_or_default().progress;
                let pieces = get_block::answer(self, &message::decode(body).await?, &progress).await?;
                Ok(self.block(pieces, progress))
            }
            Rpc::GetBlockHeaderByNumber => {
                let request: BlockHeaderByNumberRequest = message::decode(body).await?;
                get_header::answer(self, &request).await.map(|answer| whole(&answer))
            }
            Rpc::BlockSubscription => {
                let from = message::decode::<BlockSubscriptionRequest>(body).await?.block_from;
                subscription::open(self, Kind::Block, from.into(), &extensions)
            }
            Rpc::ProofSubscription => {
                let from = message::decode::<ProofSubscriptionRequest>(body).await?.block_from;
                subscription::open(self, Kind::Proof, from.into(), &extensions)
            }
        }
    }

    /// A block that is handed to the transport at once if it is small, else as its client takes it.
    fn block(&self, pieces: VecDeque<Bytes>, progress: Progress) -> AnswerBody {
        if pieces.iter().map(|piece| piece.len()).sum::<usize>() <= HANDED {
            return AnswerBody::ready(pieces);
        }
        let (wait, replica) = (self.limits.max_send_wait, Arc::clone(&self.replica));
        AnswerBody::outlet(Outlet::new(pieces, None, None, Patience { wait, progress, replica }))
    }
}

fn whole(message: &impl Message) -> AnswerBody {
    let mut pieces = Pieces::default();
    pieces.add_message(message);
    AnswerBody::ready(pieces.finish())
}

fn answered(body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}
