//! The operator's own HTTP port: /livez, /readyz, /metrics, and /fleets, the live view.

mod port;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde::Serialize;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};

use crate::{
    freshness::{Filter, FleetView, Shared},
    metrics::Metrics,
};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Live views that may be made at the same time; each may be some megabytes.
const VIEWS: usize = 4;

#[derive(Clone)]
struct Admin {
    metrics: Arc<Metrics>,
    shared: Arc<Shared>,
    /// One for each scope; true once its watches know everything.
    synced: Vec<watch::Receiver<bool>>,
    views: Arc<Semaphore>,
}

/// The live view.
#[derive(Serialize)]
struct View {
    /// Whether this instance leads; a standby judges what it sees, and writes nothing.
    leader: bool,
    fleets: Vec<FleetView>,
}

/// Serves until it is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    shared: Arc<Shared>,
    synced: Vec<watch::Receiver<bool>>,
) {
    let routes = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .route("/fleets", get(fleets))
        .with_state(Admin { metrics, shared, synced, views: Arc::new(Semaphore::new(VIEWS)) });
    port::serve(listener, routes).await;
}

async fn readyz(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.synced.iter().all(|synced| *synced.borrow()) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the watches have not seen everything yet\n")
    }
}

async fn scrape(State(admin): State<Admin>) -> Result<impl IntoResponse, StatusCode> {
    let text = admin.metrics.text(&admin.shared.sample_ages());
    let text = text.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text))
}

/// The sets that `?namespace=…&name=…` asks about.
async fn fleets(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Json<View>, (StatusCode, &'static str)> {
    let busy = (StatusCode::SERVICE_UNAVAILABLE, "too many ask at once: ask again\n");
    let _permit = admin.views.try_acquire().map_err(|_| busy)?;
    let filter = Filter::of(query.as_deref().unwrap_or_default());
    Ok(Json(View { leader: admin.shared.leadership().is_leader(), fleets: admin.shared.view(&filter) }))
}
