//! The read port: `rpc.Api`, `tidemark.v1.Replica`, health and reflection, one RPC a file.
//!
//! Serves published data alone, never calls upstream, and bounds what any client can make it hold.

mod accept;
mod api;
mod body;
mod budget;
pub(crate) mod connections;
mod entry;
#[cfg(test)]
mod fuzz;
mod get_block;
mod get_header;
mod health;
mod message;
mod min_height;
mod outlet;
mod progress;
mod rpc;
mod status;
mod subscription;
mod tips;

use std::sync::Arc;

use axum::{Router, routing::get};
use tidemark_wire::{FILE_DESCRIPTOR_SET, v1::replica_server::ReplicaServer as WireReplicaServer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use self::rpc::Rpc;
use self::{
    api::Api,
    connections::{ConnectionLimits, Port},
    entry::Entry,
    tips::TipsService,
};
use crate::{limits::LimitArgs, replica::Replica, tls::ServerTls};

/// Serves until `drain` fires, then ends streams, refuses new calls and finishes those in flight.
pub async fn serve(
    listener: TcpListener,
    tls: Option<ServerTls>,
    replica: Arc<Replica>,
    limits: LimitArgs,
    drain: CancellationToken,
) {
    let others = routes(&replica, &drain).await;
    let port = Port { listener, limits: of_connections(limits), tls, counted: Some(Arc::clone(&replica)) };
    let api = Arc::new(Api::new(replica, limits));
    connections::serve(port, Entry { api, others }, drain).await;
}

const fn of_connections(limits: LimitArgs) -> ConnectionLimits {
    ConnectionLimits {
        count: limits.max_connections,
        age: limits.max_connection_age,
        streams: limits.max_streams_per_connection,
        stall: limits.max_send_wait.saturating_mul(2),
    }
}

/// Everything but `rpc.Api`.
async fn routes(replica: &Arc<Replica>, drain: &CancellationToken) -> Router {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors are those the code was generated from");
    Routes::new(WireReplicaServer::new(TipsService::new(Arc::clone(replica))))
        .add_service(health::service(Arc::clone(replica), drain.clone()).await)
        .add_service(reflection)
        .into_axum_router()
        .route("/", get(|| async { "tidemark-follower serves gRPC here\n" }))
}
