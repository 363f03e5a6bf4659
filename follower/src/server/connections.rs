//! The accept loop and the life of each connection: bounded in number, and each ended in order when it has said
//! nothing, when it is old, and when the store stops.
//!
//! A connection beyond the limit waits in the listener's backlog.

use std::{
    convert::Infallible,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    Request, Response,
    body::{Body, Bytes, Incoming},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{either::Either, sync::CancellationToken, task::TaskTracker};
use tower::Service;

use super::progress::Progress;
use crate::{
    metrics::{Limit, Open, ServingMetrics},
    replica::Replica,
    tls::ServerTls,
};

/// Long enough for a process out of descriptors not to spin, short enough that no client notices.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A client that has not asked for anything after this long gives its slot to another.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// How long calls in flight may take once their connection is to end.
const GRACE: Duration = Duration::from_secs(5);
/// Clients that vanished without a word are dropped after this much silence.
const PING: Duration = Duration::from_secs(10);

/// How many connections there may be, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// Connections served at once.
    pub(crate) count: usize,
    /// How long one is served, give or take a tenth, so that old clients find new replicas.
    pub(crate) age: Duration,
    /// Streams that each may have open.
    pub(crate) streams: u32,
    /// How long one may leave all untaken that is held for it.
    pub(crate) stall: Duration,
}

/// Fires when the connection a request came by is to end: its streams must end then.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectionEnd(pub(super) CancellationToken);

/// How a request came.
#[derive(Clone, Default)]
pub(super) struct Way {
    pub(super) end: ConnectionEnd,
    pub(super) progress: Progress,
    pub(super) stream: Option<OpenStream>,
}

/// What connections are served with.
pub(crate) struct Port {
    pub(crate) listener: TcpListener,
    pub(crate) limits: ConnectionLimits,
    pub(crate) tls: Option<ServerTls>,
    /// Where connections are counted; none: they are not.
    pub(crate) counted: Option<Arc<Replica>>,
}

/// A service of requests.
pub(crate) trait Serve<B>:
    Service<
        Request<Incoming>,
        Response = Response<B>,
        Error = Infallible,
        Future: Future<Output = Result<Response<B>, Infallible>> + Send,
    > + Clone
    + Send
    + 'static
{
}

impl<S, B> Serve<B> for S where
    S: Service<
            Request<Incoming>,
            Response = Response<B>,
            Error = Infallible,
            Future: Future<Output = Result<Response<B>, Infallible>> + Send,
        > + Clone
        + Send
        + 'static
{
}

/// Serves `service` on `port` until `drain` fires and every connection has ended.
pub(crate) async fn serve<S, B>(port: Port, service: S, drain: CancellationToken)
where
    S: Serve<B>,
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let Port { listener, limits, tls, counted } = port;
    let (slots, tls) = (Arc::new(Semaphore::new(limits.count)), tls.map(Arc::new));
    let open = TaskTracker::new();
    let accepting = async {
        while let Some(slot) = slot(&slots, counted.as_deref()).await {
            let stream = accept(&listener).await;
            let life = Life { limits, end: drain.child_token(), counted: counted.clone() };
            let (service, tls) = (service.clone(), tls.clone());
            open.spawn(async move {
                let _counted = life.metrics().map(|metrics| Open::on(&metrics.connections));
                life.serve(stream, tls.as_deref(), service).await;
                drop(slot);
            });
        }
    };
    drain.run_until_cancelled(accepting).await;
    drop(listener);
    open.close();
    open.wait().await;
}

/// A slot for the next connection, once there is one.
async fn slot(slots: &Arc<Semaphore>, counted: Option<&Replica>) -> Option<OwnedSemaphorePermit> {
    if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
        return Some(slot);
    }
    counted.into_iter().for_each(|replica| replica.metrics.serving.reached(Limit::Connections));
    Arc::clone(slots).acquire_owned().await.ok()
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

/// What ends a connection.
struct Life {
    limits: ConnectionLimits,
    /// Fires no later than the drain.
    end: CancellationToken,
    counted: Option<Arc<Replica>>,
}

impl Life {
    fn metrics(&self) -> Option<&ServingMetrics> {
        self.counted.as_ref().map(|replica| &replica.metrics.serving)
    }

    async fn serve<S, B>(&self, stream: TcpStream, tls: Option<&ServerTls>, service: S)
    where
        S: Serve<B>,
        B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
    {
        match self.secured(stream, tls).await {
            Ok(Some(stream)) => self.serve_on(stream, service).await,
            Ok(None) => {}
            Err(error) => tracing::debug!("a client did not shake hands: {error}"),
        }
    }

    /// The connection as requests come by it; none if it is to end before.
    async fn secured(
        &self,
        stream: TcpStream,
        tls: Option<&ServerTls>,
    ) -> io::Result<Option<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>> {
        let Some(tls) = tls else { return Ok(Some(Either::Left(stream))) };
        let shaken = self.end.run_until_cancelled(tls.accept(stream)).await;
        shaken.transpose().map(|stream| stream.map(Either::Right))
    }

    async fn serve_on<S, B>(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, service: S)
    where
        S: Serve<B>,
        B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
    {
        let asked = Arc::new(AtomicBool::new(false));
        let progress = Progress::default();
        let service = TowerToHyperService::new(self.marked(service, &asked, &progress));
        let builder = builder(self.limits.streams);
        let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = &mut served => return note(ended),
            () = sleep(spread(self.limits.age)) => {}
            () = silence(&asked) => {}
            () = progress.stalled(self.limits.stall) => return self.given_up(),
            () = self.end.cancelled() => {}
        }
        served.as_mut().graceful_shutdown();
        self.end.cancel();
        if let Ok(ended) = timeout(GRACE, served).await {
            note(ended);
        }
    }

    /// Nothing that its calls could still be told would be taken: dropping the connection frees what they hold.
    fn given_up(&self) {
        self.metrics().into_iter().for_each(|metrics| metrics.reached(Limit::SendWait));
        tracing::debug!("a connection took nothing for {:?}: it ends", self.limits.stall);
        self.end.cancel();
    }

    fn marked<S>(&self, service: S, asked: &Arc<AtomicBool>, progress: &Progress) -> Marked<S> {
        Marked {
            service,
            asked: Arc::clone(asked),
            progress: progress.clone(),
            end: ConnectionEnd(self.end.clone()),
            streams: self.counted.clone().map(|replica| Streams {
                replica,
                most: self.limits.streams,
                open: Arc::default(),
            }),
        }
    }
}

/// A service that notes the first request of a connection, and hands every request the connection's end.
#[derive(Clone)]
struct Marked<S> {
    service: S,
    asked: Arc<AtomicBool>,
    progress: Progress,
    end: ConnectionEnd,
    streams: Option<Streams>,
}

/// How many streams of one connection are open; the transport refuses more than it may have.
#[derive(Clone)]
struct Streams {
    replica: Arc<Replica>,
    most: u32,
    open: Arc<AtomicU32>,
}

/// One stream that is open.
#[derive(Clone)]
pub(super) struct OpenStream(#[expect(dead_code, reason = "counts until it is dropped")] Arc<CountedStream>);

struct CountedStream(Arc<AtomicU32>);

impl Drop for CountedStream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Streams {
    fn open(&self) -> OpenStream {
        if self.open.fetch_add(1, Relaxed) + 1 >= self.most {
            self.replica.metrics.serving.reached(Limit::StreamsPerConnection);
        }
        OpenStream(Arc::new(CountedStream(Arc::clone(&self.open))))
    }
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for Marked<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> S::Future {
        self.asked.store(true, Relaxed);
        let stream = self.streams.as_ref().map(Streams::open);
        request.extensions_mut().insert(Way {
            end: self.end.clone(),
            progress: self.progress.clone(),
            stream,
        });
        self.service.call(request)
    }
}

fn builder(streams: u32) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(FIRST_REQUEST).keep_alive(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
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
