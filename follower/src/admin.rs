//! The admin port: `/livez`, `/readyz` and `/metrics` over HTTP/1.
//!
//! Readiness says "this process serves a chain" and never speaks of lag: that is the operator's to judge.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    replica::Replica,
    server::connections::{self, ConnectionLimits, Port},
};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Far more than probes and scrapers need, each of which asks once a connection.
const LIMITS: ConnectionLimits = ConnectionLimits {
    count: 1000,
    age: Duration::from_secs(60),
    streams: 100,
    stall: Duration::from_secs(60),
};

/// Serves until `drain` fires and every connection has ended.
pub async fn serve(listener: TcpListener, replica: Arc<Replica>, drain: CancellationToken) {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(replica);
    let port = Port { listener, limits: LIMITS, tls: None, counted: None };
    connections::serve(port, router, drain).await;
}

async fn ready(State(replica): State<Arc<Replica>>) -> (StatusCode, &'static str) {
    match replica.serving() {
        Some(_) => (StatusCode::OK, "ok\n"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "no genesis block yet: the upstream was not reached\n"),
    }
}

async fn metrics(State(replica): State<Arc<Replica>>) -> impl IntoResponse {
    match replica.metrics.render(replica.tips(), replica.upstream_tip(), replica.state()) {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
