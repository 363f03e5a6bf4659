//! What a store is asked, in the protocol it speaks, and what its answers mean. How requests travel, how long one may
//! take and when the next is due is the caller's.

use std::{error::Error, time::Duration};

use tidemark_judge::Sample;
use tidemark_wire::{
    rpc::api_client::ApiClient,
    v1::{TipsRequest, replica_client::ReplicaClient},
};
use tonic::{Code, Response, Status, body::Body, client::GrpcService, metadata::MetadataMap};

use super::{
    answer::{self, Asked},
    tls,
};
use crate::clock::Clock;

/// The largest answer that is decoded, in bytes; an honest one has a few hundred.
pub(super) const ANSWER_LIMIT: usize = 64 * 1024;
/// The longest one answer may take, and one connection, whatever the poll interval.
pub(super) const LONGEST_ANSWER: Duration = Duration::from_secs(1);
/// In which a store may say how many more requests it takes now.
const REMAINING: &str = "x-ratelimit-remaining";

/// How requests travel.
pub(super) trait Transport:
    Clone + GrpcService<Body, ResponseBody = Body, Error: Into<Box<dyn Error + Send + Sync>>>
{
}

impl<T> Transport for T where
    T: Clone + GrpcService<Body, ResponseBody = Body, Error: Into<Box<dyn Error + Send + Sync>>>
{
}

/// What a store speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `tidemark.v1`, which answers hashes too.
    Tidemark,
    /// `rpc.Api` alone.
    RpcStatus,
}

/// The state of a follower toward its upstream by name, and why.
pub(super) type Upstream = (&'static str, String);

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) sample: Sample,
    /// What it says of its upstream, if it says anything.
    pub(super) upstream: Option<Upstream>,
    /// The store takes no further request now.
    pub(super) spent: bool,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("no answer within {} ms", .0.as_millis())]
    Late(Duration),
    #[error("its answer names no genesis")]
    NoGenesis,
    #[error("another pod answered")]
    OtherPod,
    #[error("{}", in_words(.0))]
    Refused(Box<Status>),
}

impl AskError {
    /// A word for metrics, one of a handful.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Late(_) => "timeout",
            Self::NoGenesis => "no_genesis",
            Self::OtherPod => "other_pod",
            Self::Refused(status) => match status.code() {
                Code::Unimplemented => "unimplemented",
                Code::ResourceExhausted => "exhausted",
                Code::OutOfRange => "oversized",
                _ => status.source().and_then(tls::outcome).unwrap_or("error"),
            },
        }
    }

    /// The store does not know what it was asked.
    pub(super) fn is_unimplemented(&self) -> bool {
        self.outcome() == "unimplemented"
    }
}

impl From<Status> for AskError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

/// Asks over `transport` and waits at most `limit`.
pub(super) async fn ask(
    protocol: Protocol,
    transport: &impl Transport,
    clock: Clock,
    asked: &Asked,
    limit: Duration,
) -> Result<Answer, AskError> {
    let answer = async {
        match protocol {
            Protocol::Tidemark => tips(transport, clock, asked).await,
            Protocol::RpcStatus => status(transport, clock, asked).await,
        }
    };
    tokio::time::timeout(limit, answer).await.unwrap_or(Err(AskError::Late(limit)))
}

async fn tips(transport: &impl Transport, clock: Clock, asked: &Asked) -> Result<Answer, AskError> {
    let mut client = ReplicaClient::new(transport.clone()).max_decoding_message_size(ANSWER_LIMIT);
    let request = TipsRequest { at_height: asked.height.map(|height| height.0) };
    let (spent, answer) = taken(client.tips(request).await?);
    let upstream = Some(answer::upstream(&answer));
    Ok(Answer { sample: answer::tips(asked, clock.now(), &answer), upstream, spent })
}

async fn status(transport: &impl Transport, clock: Clock, asked: &Asked) -> Result<Answer, AskError> {
    let mut client = ApiClient::new(transport.clone()).max_decoding_message_size(ANSWER_LIMIT);
    let (spent, answer) = taken(client.status(()).await?);
    let sample = answer::status(asked, clock.now(), answer).ok_or(AskError::NoGenesis)?;
    Ok(Answer { sample, upstream: None, spent })
}

fn taken<T>(response: Response<T>) -> (bool, T) {
    (number(response.metadata(), REMAINING) == Some(0), response.into_inner())
}

/// A number in the metadata of an answer.
pub(super) fn number(metadata: &MetadataMap, name: &str) -> Option<u64> {
    metadata.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// The status with its deepest cause, which alone says what is wrong with a connection.
fn in_words(status: &Status) -> String {
    let mut deepest = status.source();
    while let Some(cause) = deepest.and_then(Error::source) {
        deepest = Some(cause);
    }
    deepest.map_or_else(|| format!("{}: {}", status.code(), status.message()), ToString::to_string)
}
