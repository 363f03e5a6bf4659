//! Reads one block of a store for its hash, as it comes: no block is held, however large it is.

use std::{error::Error, future::poll_fn, time::Duration};

use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tidemark_judge::{BlockNumber, HashAt};
use tidemark_wire::blockchain::BlockRequest;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status, body::Body, client::GrpcService as _, transport::Channel};

use super::block_hash::{BlockHasher, NotABlock};
use crate::wait::or_never;

const METHOD: &str = "/rpc.Api/GetBlockByNumber";
/// The largest answer that is read, in bytes: the largest block that followers take.
const LIMIT: u64 = 64 << 20;
/// The longest one block may take.
const LONGEST: Duration = Duration::from_secs(10);

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("not read within {} s", LONGEST.as_secs())]
    Late,
    #[error("the store has no such block")]
    Absent,
    #[error(transparent)]
    Block(#[from] NotABlock),
    #[error(transparent)]
    Refused(Box<Status>),
    #[error(transparent)]
    Transport(Box<dyn Error + Send + Sync>),
}

impl ReadError {
    /// A word for metrics, one of a handful.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Late => "timeout",
            Self::Absent => "absent",
            Self::Block(NotABlock::TooLarge(_)) => "oversized",
            Self::Block(_) => "malformed",
            Self::Refused(_) | Self::Transport(_) => "error",
        }
    }
}

impl From<Status> for ReadError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

/// A block that is being read; dropping it ends that.
pub(super) type Reading = AbortOnDropHandle<Result<HashAt, ReadError>>;

/// Reads the block at `height` on a connection of its own, beside whatever else is asked.
pub(super) fn start_reading(channel: Channel, height: BlockNumber) -> Reading {
    AbortOnDropHandle::new(tokio::spawn(read_block(channel, height)))
}

/// Waits for what is being read, and forgets it; for ever when nothing is.
pub(super) async fn finished(reading: &mut Option<Reading>) -> Result<HashAt, ReadError> {
    let hash = or_never(reading.as_mut())
        .await
        .unwrap_or_else(|_| Err(Status::cancelled("the reading was ended").into()));
    *reading = None;
    hash
}

async fn read_block(channel: Channel, height: BlockNumber) -> Result<HashAt, ReadError> {
    tokio::time::timeout(LONGEST, read(channel, height)).await.unwrap_or(Err(ReadError::Late))
}

async fn read(mut channel: Channel, height: BlockNumber) -> Result<HashAt, ReadError> {
    let transport = |error: tonic::transport::Error| ReadError::Transport(error.into());
    poll_fn(|context| channel.poll_ready(context)).await.map_err(transport)?;
    let response = channel.call(request(height)).await.map_err(transport)?;
    refusal(response.headers())?;
    let hash = body(response).await?.ok_or(ReadError::Absent)?;
    Ok(HashAt { height, hash })
}

fn request(height: BlockNumber) -> Request<Body> {
    let message = BlockRequest { block_num: height.0, include_proof: None }.encode_to_vec();
    // A message of two fixed fields is never longer than a byte can say.
    let length = u8::try_from(message.len()).unwrap_or_default();
    let framed = [&[0, 0, 0, 0, length][..], &message].concat();
    let mut request = Request::post(METHOD).body(Body::new(Full::from(framed))).unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request
}

async fn body(response: Response<Body>) -> Result<Option<tidemark_judge::BlockHash>, ReadError> {
    let (mut body, mut hasher) = (response.into_body(), BlockHasher::new(LIMIT));
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => hasher.take(&data)?,
            Err(frame) => frame.trailers_ref().map_or(Ok(()), refusal)?,
        }
    }
    Ok(hasher.finish()?)
}

/// What the store says went wrong, in headers or trailers.
fn refusal(headers: &HeaderMap) -> Result<(), ReadError> {
    match Status::from_header_map(headers) {
        Some(status) if status.code() != Code::Ok => Err(status.into()),
        _ => Ok(()),
    }
}
