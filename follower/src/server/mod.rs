//! The read port: `rpc.Api`, `tidemark.v1.Replica`, health and reflection, one RPC a file.
//!
//! Serves published data alone, never calls upstream, and bounds what any client can make it hold.

mod api;
mod get_block;
mod get_header;
mod health;
mod incoming;
mod status;
mod subscription;
mod tips;

use std::{sync::Arc, time::Duration};

use tidemark_wire::{
    FILE_DESCRIPTOR_SET, rpc::api_server::ApiServer, v1::replica_server::ReplicaServer as WireReplicaServer,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes,
    transport::{Error, Server},
};

use self::{api::Api, incoming::incoming, tips::TipsService};
use crate::replica::Replica;

/// The largest message this follower takes or gives: a block of the largest chain we know, and room to grow.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;
const STREAMS_PER_CONNECTION: u32 = 100;
/// Clients that vanished without a word are dropped after this much silence.
const PING: Duration = Duration::from_secs(10);

/// Serves until `drain` fires, then ends streams, refuses new calls and finishes those in flight.
///
/// # Errors
/// When the reflection service cannot be built or the transport fails.
pub async fn serve(
    listener: TcpListener,
    replica: Arc<Replica>,
    max_connections: usize,
    drain: CancellationToken,
) -> Result<(), Error> {
    let routes = routes(&replica, &drain).await;
    Server::builder()
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .http2_keepalive_interval(Some(PING))
        .http2_keepalive_timeout(Some(PING))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming(listener, max_connections), drain.cancelled_owned())
        .await
}

async fn routes(replica: &Arc<Replica>, drain: &CancellationToken) -> Routes {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors are those the code was generated from");
    let api = ApiServer::new(Api::new(Arc::clone(replica), drain.clone()))
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    Routes::new(api)
        .add_service(WireReplicaServer::new(TipsService::new(Arc::clone(replica))))
        .add_service(health::service(Arc::clone(replica), drain.clone()).await)
        .add_service(reflection)
}
