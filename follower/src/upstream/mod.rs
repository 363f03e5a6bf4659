//! An upstream store as the sync engine sees it: no generated type, so that another protocol is another adapter.

mod classify;
mod connector;
mod grpc;

use std::{future::Future, time::Duration};

use futures::stream::BoxStream;
use thiserror::Error;
use tidemark_store::{BlockNumber, Commitment};
use tonic::codegen::Bytes;

pub use grpc::GrpcConnector;

/// What an upstream says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamStatus {
    /// Its genesis commitment.
    pub genesis: Commitment,
    /// Its published tip.
    pub tip: BlockNumber,
}

/// The answer to a question for one block.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The block; none: the upstream has none of that number.
    pub block: Option<Bytes>,
    /// The proof, if it was asked for and there is one, which may be 0 bytes long.
    pub proof: Option<Bytes>,
}

/// One block out of a subscription.
#[derive(Debug, Clone)]
pub struct StreamedBlock {
    /// The block's bytes.
    pub block: Bytes,
    /// The upstream's tip when it was sent.
    pub tip: BlockNumber,
}

/// One proof out of a subscription.
#[derive(Debug, Clone)]
pub struct StreamedProof {
    /// The block it proves.
    pub number: BlockNumber,
    /// The proof's bytes.
    pub proof: Bytes,
}

/// Items of a subscription until it ends.
pub type UpstreamStream<T> = BoxStream<'static, Result<T, UpstreamError>>;

/// Why an upstream gave no answer.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum UpstreamError {
    /// It could not be reached, did not answer in time, or the connection broke.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// It ended the connection or a stream, as a store does with old connections and when it stops.
    #[error("it closed the connection: {0}")]
    Closed(String),
    /// It asks to wait before the next call.
    #[error("it asks to wait for {0:?}")]
    RateLimited(Duration),
    /// It takes no subscription from us for this long.
    #[error("it takes no subscription for {wait:?}: {detail}")]
    Refused {
        /// For how long.
        wait: Duration,
        /// What it said.
        detail: String,
    },
    /// It does not know the call.
    #[error("it does not speak rpc.Api ({0}): check that the URL names a store's gRPC port")]
    Unimplemented(String),
    /// The position asked for is too far ahead of its tip.
    #[error("it is behind: {0}")]
    OutOfRange(String),
    /// The message is larger than any block may be.
    #[error("its message is too large: {0}")]
    TooLarge(String),
    /// A subscription ended without an error.
    #[error("the subscription ended")]
    Ended,
    /// Anything else it refused or got wrong.
    #[error("{0}")]
    Failed(String),
}

/// One connection to an upstream store. When it breaks it stays broken: a new one is checked anew.
pub trait Upstream: Send + Sync {
    /// Genesis and tip.
    fn status(&self) -> impl Future<Output = Result<UpstreamStatus, UpstreamError>> + Send;

    /// One block, with its proof if that is asked for.
    fn block(
        &self,
        number: BlockNumber,
        with_proof: bool,
    ) -> impl Future<Output = Result<Answer, UpstreamError>> + Send;

    /// Every block from `from` on.
    fn blocks(
        &self,
        from: BlockNumber,
    ) -> impl Future<Output = Result<UpstreamStream<StreamedBlock>, UpstreamError>> + Send;

    /// Every proof from `from` on, which is at least 1.
    fn proofs(
        &self,
        from: BlockNumber,
    ) -> impl Future<Output = Result<UpstreamStream<StreamedProof>, UpstreamError>> + Send;
}

/// Where an upstream is, and how to reach it.
pub trait Connector: Send + Sync + 'static {
    /// What a connection is.
    type Upstream: Upstream;

    /// The upstream's name in logs: its URL.
    fn name(&self) -> &str;

    /// Makes one connection.
    fn connect(&self) -> impl Future<Output = Result<Self::Upstream, UpstreamError>> + Send;
}
