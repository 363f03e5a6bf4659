//! An upstream store as the sync engine sees it: no generated type, so that another protocol is another adapter.

mod classify;
mod connector;
#[cfg(test)]
mod fuzz;
mod grpc;
mod meter;
mod probe;

use std::{future::Future, time::Duration};

use futures::stream::BoxStream;
use thiserror::Error;
use tidemark_store::{BlockHash, BlockNumber, Commitment};
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

/// What an upstream that speaks `tidemark.v1` says beyond that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// Made anew at each start of its process.
    pub boot_id: String,
    /// Boot ids of the stores that it gets its blocks through, its own upstream first.
    pub through: Vec<String>,
    /// The hash of its block at the height asked about; none when it does not hold that block.
    pub hash: Option<BlockHash>,
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
    /// It could not be reached, or the connection broke.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// The connection stands, and a call on it was not answered in time.
    #[error("no answer: {call} was not answered within {limit:?}")]
    Unanswered {
        /// The call.
        call: &'static str,
        /// The time it was given.
        limit: Duration,
    },
    /// It ended the connection or a stream, as a store does with old connections and when it stops.
    #[error("it closed the connection: {0}")]
    Closed(String),
    /// It asks to wait before the next call.
    #[error("it asks to wait for {0:?}")]
    RateLimited(Duration),
    /// It takes no subscription from us for this long.
    #[error("it takes no subscription for {wait:?}: {detail}")]
    Banned {
        /// For how long.
        wait: Duration,
        /// What it said.
        detail: String,
    },
    /// It takes no more subscriptions from anybody.
    #[error("it takes no more subscriptions: {0}")]
    NoSlot(String),
    /// It does not know the call.
    #[error("it does not know the call ({0})")]
    Unimplemented(String),
    /// It speaks another protocol, which has these services.
    #[error(
        "it speaks {}, and this follower speaks rpc.Api: name a store that does, such as a Miden node 0.15, and its gRPC port",
        if .0.is_empty() { "no protocol known here".to_owned() } else { .0.join(", ") }
    )]
    OtherProtocol(Vec<String>),
    /// The position asked for is too far ahead of its tip.
    #[error("it is behind: {0}")]
    OutOfRange(String),
    /// The message is larger than any block may be.
    #[error("its message is too large: {0}")]
    TooLarge(String),
    /// A subscription ended without an error.
    #[error("the subscription ended")]
    Ended,
    /// It cannot read what it should have.
    #[error("it fails: {0}")]
    Broken(String),
    /// Anything else it refused or got wrong.
    #[error("{0}")]
    Failed(String),
}

/// One connection to an upstream store. When it breaks it stays broken: a new one is checked anew.
pub trait Upstream: Send + Sync {
    /// Genesis and tip.
    fn status(&self) -> impl Future<Output = Result<UpstreamStatus, UpstreamError>> + Send;

    /// What it says beyond that, and its block's hash at a height; none when it does not speak `tidemark.v1`.
    fn peer(
        &self,
        at: Option<BlockNumber>,
    ) -> impl Future<Output = Result<Option<Peer>, UpstreamError>> + Send;

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

    /// How many more calls it said it takes when it answered last; none when it did not say.
    fn remaining(&self) -> Option<u32>;

    /// Bytes of subscriptions to blocks that have arrived, those of an unfinished message too.
    fn streamed_bytes(&self) -> u64;
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
