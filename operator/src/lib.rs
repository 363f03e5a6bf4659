//! The Tidemark operator: deploys fleets of followers and keeps the stale ones out of their Services.
//!
//! Two paths share nothing but what they see: `reconcile` makes the objects of a set (seconds, driven by objects), and
//! `freshness` judges its followers (milliseconds, driven by tips).

mod admin;
pub mod aim;
pub mod api;
mod call;
pub mod clock;
mod descriptors;
pub mod freshness;
pub mod installed;
pub mod lease;
mod link;
mod lock;
pub mod metrics;
pub mod names;
pub mod options;
mod over_tls;
mod patience;
pub mod queue;
pub mod reconcile;
pub mod replace;
mod scope;
mod sets;
#[cfg(test)]
mod testing;
mod wait;

use std::{net::SocketAddr, sync::Arc};

use futures::future;
use kube::Client;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use self::{
    clock::Clock,
    freshness::Shared,
    lease::{Keeper, Leadership},
    metrics::Metrics,
    options::Options,
    scope::Scope,
    wait::or_never,
};

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
    /// The flags contradict each other.
    #[error(transparent)]
    Terms(#[from] lease::TermsError),
    /// Another may lead by now, and two must not: only a new process starts from what it finds.
    #[error("{0}: this process led and leads no longer, so it ends and is to be started anew")]
    Lost(#[source] lease::Loss),
}

/// Serves the StoreReplicaSets of a cluster until the token is cancelled, first as one who stands by, and once it holds
/// the lease as the leader. When the token is cancelled it lets the lease go. Gates stay as they are.
///
/// # Errors
/// If the flags contradict each other, the admin port cannot be served, or the lease is lost.
pub async fn run(client: Client, options: Options, token: CancellationToken) -> Result<(), RunError> {
    let address = options.admin_listen;
    let listener = TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
    let metrics = Arc::new(Metrics::new());
    let (leadership, mut keeper) = election(&client, &options, &metrics)?;
    let client = lease::guard(&client, &leadership);
    let (clock, child) = (Clock::start(), token.child_token());
    let shared = Shared::new(&client, clock, Arc::clone(&metrics), &options, leadership.clone(), child);
    let (scopes, synced) = scopes(&client, &options, &shared, &metrics);
    let admin = admin::serve(listener, metrics, Arc::clone(&shared), synced);
    let served =
        future::join(admin, future::join_all(scopes.into_iter().map(|(scope, synced)| scope.run(synced))));
    tracing::info!(admin = %address, namespaces = ?options.namespaces, "tidemark-operator serves");
    let result = tokio::select! {
        biased;
        () = stopped(&token, &leadership) => Ok(()),
        loss = or_never(keeper.as_mut().map(Keeper::keep)) => Err(RunError::Lost(loss)),
        _ = served => Ok(()),
    };
    // One that was lost runs out by itself: what was sent before may still be on its way.
    if let (Some(keeper), Ok(())) = (keeper, &result) {
        keeper.release().await;
    }
    result
}

/// How this process comes to lead: by a lease, or at once.
fn election(
    client: &Client,
    options: &Options,
    metrics: &Arc<Metrics>,
) -> Result<(Leadership, Option<Keeper>), lease::TermsError> {
    let terms = options.terms()?;
    if !options.leader_elect {
        tracing::warn!("leads without a lease (--leader-elect=false): no second instance may run");
        metrics.leads(true);
        return Ok((Leadership::alone(), None));
    }
    let leadership = Leadership::standby();
    let namespace = options.lease_namespace().unwrap_or(client.default_namespace());
    let identity = options.identity.clone().filter(|name| !name.is_empty()).unwrap_or_else(host_name);
    let lease = (namespace, options.lease_name.as_str());
    let keeper =
        Keeper::new(client.clone(), lease, &identity, terms, leadership.clone(), Arc::clone(metrics));
    Ok((leadership, Some(keeper)))
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Waits for the token, then for the writes that are under way.
async fn stopped(token: &CancellationToken, leadership: &Leadership) {
    token.cancelled().await;
    leadership.end();
    leadership.written().await;
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
