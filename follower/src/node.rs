//! One running follower or development primary: puts the parts together and takes them down in order.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures::{
    FutureExt as _,
    future::{join_all, select_all},
};
use thiserror::Error;
use tidemark_store::{BlockNumber, BlockStore as _, StoreError};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    admin,
    cli::{FollowArgs, FormatName, ProduceArgs, ServeArgs},
    format::{Format, FormatMissing},
    listen, opening,
    produce::{self, BlockSource, NativeSource, ProduceError, ProduceOptions, ReplayError, ReplaySource},
    replica::{Identity, Replica, ReplicaError},
    restore::{self, Marker, RestoreError, RestoreOptions, RestoreSource},
    scrub, server,
    state::State,
    sync::{Engine, EngineOptions, Trouble},
    tls::{ClientTls, ServerTls, TlsError, UpstreamTlsArgs},
    upstream::GrpcConnector,
    volume,
};

/// How long the ports may take to close once the drain began: a little longer than a call in flight is given.
const DRAIN: Duration = Duration::from_secs(6);

/// Why a node could not start, or ended.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The store could not be opened or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The format is not in this build.
    #[error(transparent)]
    Format(#[from] FormatMissing),
    /// The store could not be used.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// A port could not be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// TLS files cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Following ended the process.
    #[error(transparent)]
    Sync(#[from] Trouble),
    /// Producing ended the process.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// The lost chain could not be brought back.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The recording cannot be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A part of the node is gone, which no restart of that part alone would mend.
    #[error("a part of the follower ended without being asked to: restart the process")]
    PartEnded,
}

type Worker = JoinHandle<Result<(), NodeError>>;

/// A node that serves.
pub struct Node {
    /// Where the gRPC port is.
    pub rpc: SocketAddr,
    /// Where the admin port is.
    pub admin: SocketAddr,
    worker: Worker,
    servers: Vec<JoinHandle<()>>,
    drain: CancellationToken,
    shutdown_delay: Duration,
}

/// Starts a follower.
///
/// # Errors
/// When the store, the genesis demanded or a port does not allow it.
pub async fn follow(args: FollowArgs) -> Result<Node, NodeError> {
    let replica = open(&args.serve, args.format.format()?, State::Syncing)?;
    if let Some(genesis) = args.genesis {
        replica.pin(genesis).await?;
    }
    let options = EngineOptions {
        mode: args.sync,
        poll_interval: args.poll_interval,
        requests_per_second: args.requests_per_second,
        genesis: args.genesis,
        on_fork: args.on_fork,
        max_block: usize::try_from(args.serve.limits.max_block_size.0).unwrap_or(usize::MAX),
    };
    let tls = upstream_tls(&args.upstream, &args.upstream_tls, &replica)?;
    let upstreams = args.upstream.iter().map(|url| {
        let connector = GrpcConnector::new(url, args.serve.limits.max_block_size).with_tls(tls.clone());
        connector.counted(replica.metrics.upstream_calls.clone())
    });
    let engine = Engine::new(Arc::clone(&replica), upstreams, &options);
    serve(&args.serve, replica, async move { Err(engine.run().await.into()) }).await
}

/// What upstreams with https need; none if there are none.
fn upstream_tls<'a>(
    upstreams: impl IntoIterator<Item = &'a Url>,
    args: &UpstreamTlsArgs,
    replica: &Arc<Replica>,
) -> Result<Option<Arc<ClientTls>>, TlsError> {
    let needed = upstreams.into_iter().any(|url| url.scheme() == "https");
    needed.then(|| ClientTls::open(args, replica).map(Arc::new)).transpose()
}

/// Starts a development primary.
///
/// # Errors
/// When the store, the recording or a port does not allow it.
pub async fn produce(args: ProduceArgs) -> Result<Node, NodeError> {
    let (source, format): (Box<dyn BlockSource>, FormatName) = match &args.replay {
        Some(file) => (Box::new(ReplaySource::open(file)?), args.replay_format.into()),
        None => {
            let body_size = usize::try_from(args.body_size.0).unwrap_or(0);
            (Box::new(NativeSource::new(body_size)), FormatName::Native)
        }
    };
    let replica = open(&args.serve, format.format()?, State::Producing)?;
    let options = ProduceOptions {
        block_interval: args.block_interval,
        proof_delay: args.proof_delay,
        last: args.blocks.map(BlockNumber::new),
    };
    let restore = to_restore(&args, &replica)?;
    let restored = Arc::clone(&replica);
    let work = async move {
        if let Some((options, marker)) = restore {
            restore::run(&restored, &options, &marker).await?;
        }
        Ok(produce::run(restored, source, options).await?)
    };
    serve(&args.serve, replica, work).await
}

/// What has to be restored before blocks are made.
fn to_restore(
    args: &ProduceArgs,
    replica: &Arc<Replica>,
) -> Result<Option<(RestoreOptions, Marker)>, NodeError> {
    let marker = Marker::of(&args.serve.data_dir);
    if args.restore_from.is_empty() {
        let interrupted = marker.is_set().then(|| RestoreError::Interrupted { path: marker.path() });
        return interrupted.map_or(Ok(None), |error| Err(error.into()));
    }
    let (from, max_block_size) = (args.restore_from.clone(), args.serve.limits.max_block_size);
    let tls = upstream_tls(from.iter().filter_map(RestoreSource::url), &args.upstream_tls, replica)?;
    Ok(Some((RestoreOptions { from, settle: args.block_interval * 2, max_block_size, tls }, marker)))
}

/// Opens the store, which must be of that format.
fn open(args: &ServeArgs, format: Box<dyn Format>, state: State) -> Result<Arc<Replica>, NodeError> {
    let store = opening::open(&*format, &args.data_dir, args.volume_size.map(|size| size.0))?;
    if let Some(held) = store.metadata().filter(|held| held.format != format.name()) {
        let asked = format.name().to_owned();
        return Err(StoreError::OtherFormat { held: held.format, asked }.into());
    }
    if let [first, ..] = store.damaged()[..] {
        let count = store.damaged().len();
        tracing::error!(%first, count, "blocks are damaged on disk: they are refused, all others are served");
    }
    let tip = store.tips().published.map(BlockNumber::get);
    tracing::info!(dir = %args.data_dir.display(), format = format.name(), tip, "store opened");
    let boot_id = uuid::Uuid::new_v4().to_string();
    let identity = Identity { pod_uid: args.pod_uid.clone(), boot_id };
    let replica = Replica::new(Box::new(store), format, identity, state);
    Ok(Arc::new(replica.with_block_cache(args.limits.block_cache.0)))
}

async fn serve(
    args: &ServeArgs,
    replica: Arc<Replica>,
    work: impl Future<Output = Result<(), NodeError>> + Send + 'static,
) -> Result<Node, NodeError> {
    let tls = ServerTls::open(&args.tls, &replica)?;
    let (rpc, admin) = (listen(args.listen)?, listen(args.admin_listen)?);
    let addresses = (address(&rpc, args.listen), address(&admin, args.admin_listen));
    let drain = CancellationToken::new();
    tracing::info!(rpc = %addresses.0, admin = %addresses.1, "serving");
    let serving = server::serve(rpc, tls, Arc::clone(&replica), args.limits, drain.clone());
    let administering = admin::serve(admin, Arc::clone(&replica), drain.clone());
    let measuring =
        volume::watch(Arc::clone(&replica), args.data_dir.clone(), args.volume_size.map(|size| size.0));
    let measuring = drain.clone().run_until_cancelled_owned(measuring).map(drop);
    let servers = vec![tokio::spawn(serving), tokio::spawn(administering), tokio::spawn(measuring)];
    let scrubbing = scrub::run(Arc::clone(&replica), args.scrub);
    let worker = tokio::spawn(async move {
        tokio::select! {
            end = work => end,
            error = scrubbing => Err(error.into()),
            error = replica.poisoned() => Err(error.into()),
        }
    });
    let shutdown_delay = args.shutdown_delay;
    Ok(Node { rpc: addresses.0, admin: addresses.1, worker, servers, drain, shutdown_delay })
}

fn listen(address: SocketAddr) -> Result<TcpListener, NodeError> {
    let opened = listen::listener(address).and_then(TcpListener::from_std);
    opened.map_err(|source| NodeError::Listen { address, source })
}

/// The address that was given, where 0 asked for any port.
fn address(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

fn part_ended(end: Result<(), NodeError>) -> NodeError {
    end.err().unwrap_or(NodeError::PartEnded)
}

impl Node {
    /// Runs until the work fails, or until `stop` fires: then goes on serving for the shutdown delay, drains and ends.
    ///
    /// # Errors
    /// What ended the work.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), NodeError> {
        let stopped = async {
            stop.cancelled().await;
            tracing::info!(delay = ?self.shutdown_delay, "stopping: serving on for the shutdown delay");
            tokio::time::sleep(self.shutdown_delay).await;
        };
        tokio::select! {
            ended = &mut self.worker => return Err(ended.map_or(NodeError::PartEnded, part_ended)),
            _ = select_all(&mut self.servers) => return Err(NodeError::PartEnded),
            () = stopped => {}
        }
        self.drain().await;
        Ok(())
    }

    async fn drain(self) {
        self.worker.abort();
        let _ = self.worker.await;
        self.drain.cancel();
        if timeout(DRAIN, join_all(self.servers)).await.is_err() {
            tracing::warn!("some calls did not finish within {DRAIN:?}: they are cut");
        }
    }
}
