//! `grpc.health.v1` for the whole server and for `rpc.Api`: serving from the genesis block until the drain.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

use crate::replica::Replica;

const NAMES: [&str; 2] = ["", "rpc.Api"];

/// The service, kept up to date by a task that ends with the drain.
pub(super) async fn service(replica: Arc<Replica>, drain: CancellationToken) -> HealthServer<HealthService> {
    let reporter = HealthReporter::new();
    let first = if replica.serving().is_some() { ServingStatus::Serving } else { ServingStatus::NotServing };
    report(&reporter, first).await;
    let service = HealthService::from_health_reporter(reporter.clone());
    tokio::spawn(keep(reporter, replica, drain));
    HealthServer::new(service)
}

async fn keep(reporter: HealthReporter, replica: Arc<Replica>, drain: CancellationToken) {
    let mut tips = replica.watch_tips();
    let serving = tips.wait_for(|tips| tips.published.is_some());
    if drain.run_until_cancelled(serving).await.is_some() {
        report(&reporter, ServingStatus::Serving).await;
    }
    drain.cancelled().await;
    report(&reporter, ServingStatus::NotServing).await;
}

async fn report(reporter: &HealthReporter, status: ServingStatus) {
    for name in NAMES {
        reporter.set_service_status(name, status).await;
    }
}
