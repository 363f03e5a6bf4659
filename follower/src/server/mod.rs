//! The read port: `rpc.Api`, `tidemark.v1.Replica`, health and reflection, one RPC a file.
//!
//! Serves published data alone, never calls upstream, and bounds what any client can make it hold.

mod accept;
mod api;
pub(crate) mod connections;
mod get_block;
mod get_header;
mod health;
mod status;
mod subscription;
mod tips;

use std::sync::Arc;

use axum::{Router, routing::get};
use tidemark_wire::{
    FILE_DESCRIPTOR_SET, rpc::api_server::ApiServer, v1::replica_server::ReplicaServer as WireReplicaServer,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request,
    service::{Routes, interceptor::InterceptedService},
};

pub use self::connections::ConnectionLimits;
use self::{api::Api, tips::TipsService};
use crate::{limits::LimitArgs, replica::Replica};

/// Serves until `drain` fires, then ends streams, refuses new calls and finishes those in flight.
pub async fn serve(
    listener: TcpListener,
    replica: Arc<Replica>,
    limits: LimitArgs,
    drain: CancellationToken,
) {
    let routes = routes(&replica, limits, &drain).await;
    let limits = ConnectionLimits { count: limits.max_connections, age: limits.max_connection_age };
    connections::serve(listener, routes, limits, drain).await;
}

async fn routes(replica: &Arc<Replica>, limits: LimitArgs, drain: &CancellationToken) -> Router {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors are those the code was generated from");
    let api = ApiServer::new(Api::new(Arc::clone(replica), limits.max_subscriptions))
        .max_encoding_message_size(usize::MAX);
    let held = Arc::clone(replica);
    let api = InterceptedService::new(api, move |request: Request<()>| {
        accept::check(request.metadata(), held.genesis())?;
        Ok(request)
    });
    Routes::new(api)
        .add_service(WireReplicaServer::new(TipsService::new(Arc::clone(replica))))
        .add_service(health::service(Arc::clone(replica), drain.clone()).await)
        .add_service(reflection)
        .into_axum_router()
        .route("/", get(|| async { "tidemark-follower serves gRPC here\n" }))
}
