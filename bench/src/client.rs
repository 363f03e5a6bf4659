//! Connections to a server under measurement.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tidemark_follower::{
    limits::LimitArgs,
    upstream::{Connector as _, GrpcConnector, Upstream},
};
use tidemark_wire::{
    rpc::api_client::ApiClient,
    v1::{TipsRequest, replica_client::ReplicaClient},
};
use tonic::transport::{Channel, Endpoint};

const MESSAGE: usize = 64 << 20;
/// What is in flight is not bounded by windows.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// One connection.
///
/// # Errors
/// If nobody listens.
pub async fn connect(url: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(url.to_owned())?
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    endpoint.connect().await.with_context(|| format!("cannot reach {url}"))
}

/// Speaks `rpc.Api` over a connection of its own.
///
/// # Errors
/// If nobody listens.
pub async fn api(url: &str) -> Result<ApiClient<Channel>> {
    Ok(ApiClient::new(connect(url).await?).max_decoding_message_size(MESSAGE))
}

/// The client that a follower has.
///
/// # Errors
/// If nobody listens.
pub async fn followers_own(url: &str) -> Result<impl Upstream + use<>> {
    let largest = LimitArgs::default().max_block_size;
    Ok(GrpcConnector::new(&url.parse()?, largest).connect().await?)
}

/// Watches how far a follower has come.
pub struct Tips(ReplicaClient<Channel>);

impl Tips {
    /// Watches the follower at `url`.
    ///
    /// # Errors
    /// If nobody listens.
    pub async fn of(url: &str) -> Result<Self> {
        Ok(Self(ReplicaClient::new(connect(url).await?)))
    }

    /// How many blocks are published.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn count(&mut self) -> Result<u32> {
        let tips = self.0.tips(TipsRequest { at_height: None }).await?.into_inner();
        Ok(tips.published_tip.map_or(0, |tip| tip + 1))
    }

    /// Waits until at least `count` blocks are published, asking `every` so often; gives their number and the moment.
    ///
    /// # Errors
    /// If that does not happen within `limit`.
    pub async fn reach(&mut self, count: u32, every: Duration, limit: Duration) -> Result<(u32, Instant)> {
        let begun = Instant::now();
        loop {
            let published = self.count().await?;
            match Instant::now() {
                now if published >= count => return Ok((published, now)),
                now if now - begun > limit => bail!("{published} of {count} blocks after {limit:?}"),
                _ => tokio::time::sleep(every).await,
            }
        }
    }
}
