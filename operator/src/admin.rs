//! The operator's own HTTP port: /livez, /readyz and /metrics.

use std::sync::Arc;

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

#[derive(Clone)]
struct Admin {
    metrics: Arc<Metrics>,
    /// One for each scope; true once its watches know everything.
    synced: Vec<watch::Receiver<bool>>,
}

/// Serves until the token is cancelled.
///
/// # Errors
/// If the listener fails.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    synced: Vec<watch::Receiver<bool>>,
    token: CancellationToken,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state(Admin { metrics, synced });
    axum::serve(listener, routes).with_graceful_shutdown(token.cancelled_owned()).await
}

async fn readyz(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.synced.iter().all(|synced| *synced.borrow()) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the watches have not seen everything yet\n")
    }
}

async fn scrape(State(admin): State<Admin>) -> Result<String, StatusCode> {
    admin.metrics.text().map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
