//! The accept loop and the life of each connection: bounded in number, and each ended in order when it has said
//! nothing, when it is old, and when the store stops.
//!
//! A connection beyond the limit waits in the listener's backlog.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{Router, extract::Request};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::util::MapRequestLayer;

/// Long enough for a process out of descriptors not to spin, short enough that no client notices.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A client that has not asked for anything after this long gives its slot to another.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// How long calls in flight may take once their connection is to end.
const GRACE: Duration = Duration::from_secs(5);
/// Clients that vanished without a word are dropped after this much silence.
const PING: Duration = Duration::from_secs(10);
const STREAMS: u32 = 100;

/// How many connections there may be, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections served at once.
    pub count: usize,
    /// How long one is served, give or take a tenth, so that old clients find new replicas.
    pub age: Duration,
}

/// Fires when the connection a request came by is to end: its streams must end then.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectionEnd(pub(super) CancellationToken);

/// Serves `routes` until `drain` fires and every connection has ended.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    limits: ConnectionLimits,
    drain: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limits.count));
    let open = TaskTracker::new();
    let accepting = async {
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            let stream = accept(&listener).await;
            let (routes, drain, age) = (routes.clone(), drain.child_token(), spread(limits.age));
            open.spawn(async move {
                connection(stream, routes, age, drain).await;
                drop(slot);
            });
        }
    };
    drain.run_until_cancelled(accepting).await;
    drop(listener);
    open.close();
    open.wait().await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Connections that were made together do not end together.
fn spread(age: Duration) -> Duration {
    age.mul_f64(0.9 + 0.2 * rand::random::<f64>())
}

/// Serves one connection; `end` fires no later than the drain.
async fn connection(stream: TcpStream, routes: Router, age: Duration, end: CancellationToken) {
    let asked = Arc::new(AtomicBool::new(false));
    let service = TowerToHyperService::new(marked(routes, &asked, &end));
    let builder = builder();
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = &mut served => return note(ended),
        () = sleep(age) => {}
        () = silence(&asked) => {}
        () = end.cancelled() => {}
    }
    served.as_mut().graceful_shutdown();
    end.cancel();
    if let Ok(ended) = timeout(GRACE, served).await {
        note(ended);
    }
}

/// `routes` that note the first request, and hand every request the end of its connection.
fn marked(routes: Router, asked: &Arc<AtomicBool>, end: &CancellationToken) -> Router {
    let (asked, end) = (Arc::clone(asked), ConnectionEnd(end.clone()));
    routes.layer(MapRequestLayer::new(move |mut request: Request| {
        asked.store(true, Relaxed);
        request.extensions_mut().insert(end.clone());
        request
    }))
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(FIRST_REQUEST).keep_alive(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}

/// Ends when no request came in time.
async fn silence(asked: &AtomicBool) {
    sleep(FIRST_REQUEST).await;
    if asked.load(Relaxed) {
        std::future::pending::<()>().await;
    }
}

fn note<E: std::fmt::Display>(ended: Result<(), E>) {
    if let Err(error) = ended {
        tracing::debug!("a connection broke: {error}");
    }
}
