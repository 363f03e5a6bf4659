//! The Tidemark operator: deploys fleets of followers and keeps the stale ones out of their Services.
//!
//! Two paths share nothing but what they see: `reconcile` makes the objects of a set (seconds, driven by objects), and
//! `freshness` judges its followers (milliseconds, driven by tips).

mod admin;
pub mod aim;
pub mod api;
pub mod clock;
pub mod freshness;
pub mod metrics;
pub mod names;
pub mod options;
pub mod queue;
pub mod reconcile;
mod scope;
mod sets;

use std::{net::SocketAddr, sync::Arc};

use futures::future;
use kube::Client;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use self::{clock::Clock, freshness::Shared, metrics::Metrics, options::Options, scope::Scope};

/// Why the operator could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The admin port is not to be had.
    #[error("cannot listen on {address} (--admin-listen): {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The admin port failed.
    #[error("the admin port failed: {0}")]
    Admin(#[source] std::io::Error),
}

/// Serves the StoreReplicaSets of a cluster until the token is cancelled. Gates stay as they are then.
///
/// # Errors
/// If the admin port cannot be served.
pub async fn run(client: Client, options: Options, token: CancellationToken) -> Result<(), RunError> {
    let address = options.admin_listen;
    let listener = TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
    let metrics = Arc::new(Metrics::new());
    let shared = Shared::new(&client, Clock::start(), Arc::clone(&metrics), &options, token.child_token());
    let (scopes, synced) = scopes(&client, &options, &shared, &metrics);
    let admin = admin::serve(listener, metrics, Arc::clone(&shared), synced, token.clone());
    let served = future::join_all(scopes.into_iter().map(|(scope, synced)| scope.run(synced)));
    tracing::info!(admin = %address, namespaces = ?options.namespaces, "tidemark-operator serves");
    tokio::select! {
        result = admin => result.map_err(RunError::Admin),
        () = token.cancelled() => Ok(()),
        _ = served => Ok(()),
    }
}

type Scopes = (Vec<(Scope, watch::Sender<bool>)>, Vec<watch::Receiver<bool>>);

fn scopes(client: &Client, options: &Options, shared: &Arc<Shared>, metrics: &Arc<Metrics>) -> Scopes {
    let scope = |namespace| {
        let (synced, seen) = watch::channel(false);
        let scope = Scope {
            client: client.clone(),
            namespace,
            options: options.clone(),
            shared: Arc::clone(shared),
            metrics: Arc::clone(metrics),
        };
        ((scope, synced), seen)
    };
    options.scopes().into_iter().map(scope).unzip()
}
