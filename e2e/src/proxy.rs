//! Stands before a real API server and is slow, refuses, hangs up or is gone on a test's command.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
};
use futures::StreamExt as _;
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use kube::{Client, Config, client};
use serde_json::json;
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};

/// The largest request that is passed on, in bytes.
const REQUEST_LIMIT: usize = 4 << 20;

/// Chooses requests by their heads.
pub type Which = fn(&Parts) -> bool;

/// What is wrong with the API server; nothing by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// How long a request waits before it is passed on.
    pub delay: Duration,
    /// With what is answered instead, and to which requests.
    pub refusal: Option<(StatusCode, Which)>,
}

#[derive(Debug)]
struct Shared {
    weather: Mutex<Weather>,
    /// How often each was answered, by method, what is asked for, and status.
    tally: Mutex<BTreeMap<(Method, String, StatusCode), u64>>,
    /// Changes when open watches are to end.
    closed: watch::Sender<()>,
}

/// A running proxy; dropping it ends it and all connections through it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    upstream: Config,
    shared: Arc<Shared>,
    /// Of its own, since all connections end with it.
    serving: Option<Runtime>,
}

impl Proxy {
    /// Starts one before the API server that this is the way to.
    ///
    /// # Errors
    /// If no client or listener can be made.
    pub async fn start(mut upstream: Config) -> Result<Self> {
        upstream.default_retry = false;
        let closed = watch::channel(()).0;
        let shared = Arc::new(Shared { weather: Mutex::default(), tally: Mutex::default(), closed });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut proxy = Self { address, upstream, shared, serving: None };
        proxy.come_back().await?;
        Ok(proxy)
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The way through it; it adds the credentials.
    ///
    /// # Errors
    /// If its address were no URL.
    pub fn config(&self) -> Result<Config> {
        let mut config = Config::new(self.url().parse()?);
        config.default_retry = false;
        Ok(config)
    }

    /// Changes the weather for requests from now on.
    pub fn set(&self, weather: Weather) {
        *lock(&self.shared.weather) = weather;
    }

    /// Ends all open watches as a server does that shuts down in order.
    pub fn close_watches(&self) {
        self.shared.closed.send_replace(());
    }

    /// Drops all connections and refuses new ones.
    ///
    /// # Errors
    /// If its runtime cannot be ended.
    pub async fn go_away(&mut self) -> Result<()> {
        let serving = self.serving.take();
        Ok(tokio::task::spawn_blocking(|| drop(serving)).await?)
    }

    /// Listens again, where it did before.
    ///
    /// # Errors
    /// If somebody else listens there by now.
    pub async fn come_back(&mut self) -> Result<()> {
        let (address, upstream, shared) = (self.address, self.upstream.clone(), Arc::clone(&self.shared));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        self.address = runtime.spawn(serve(address, upstream, shared)).await??;
        self.serving = Some(runtime);
        Ok(())
    }

    /// How many requests of these were answered so.
    #[must_use]
    pub fn answered(&self, which: impl Fn(&Method, &str, StatusCode) -> bool) -> u64 {
        let tally = lock(&self.shared.tally);
        tally.iter().filter(|((method, path, status), _)| which(method, path, *status)).map(|(_, n)| n).sum()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.shutdown_background();
        }
    }
}

async fn serve(address: SocketAddr, upstream: Config, shared: Arc<Shared>) -> Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let client = Client::try_from(upstream)?;
    let routes = Router::new().fallback(answer).with_state((client, shared));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(address)
}

async fn answer(State((client, shared)): State<(Client, Arc<Shared>)>, request: Request) -> Response {
    let weather = *lock(&shared.weather);
    let (parts, body) = request.into_parts();
    let (method, path) = (parts.method.clone(), asked_for(&parts));
    tokio::time::sleep(weather.delay).await;
    let answer = match weather.refusal {
        Some((status, of)) if of(&parts) => refusal(status, "the weather is bad"),
        _ => pass_on(parts, body, &client, &shared)
            .await
            .unwrap_or_else(|error| refusal(StatusCode::BAD_GATEWAY, &format!("{error:#}"))),
    };
    *lock(&shared.tally).entry((method, path, answer.status())).or_default() += 1;
    answer
}

/// The path, and whether it is a watch.
fn asked_for(parts: &Parts) -> String {
    let watch = if is_watch(parts) { "?watch" } else { "" };
    format!("{}{watch}", parts.uri.path())
}

/// Whether a request is to watch.
#[must_use]
pub fn is_watch(parts: &Parts) -> bool {
    parts
        .uri
        .query()
        .is_some_and(|query| query.split('&').any(|part| part == "watch=true" || part == "watch=1"))
}

async fn pass_on(parts: Parts, body: Body, client: &Client, shared: &Shared) -> Result<Response> {
    let closed = is_watch(&parts).then(|| shared.closed.subscribe());
    let body = to_bytes(body, REQUEST_LIMIT).await?;
    let mut request = http::Request::builder().method(parts.method).uri(parts.uri);
    for name in [header::CONTENT_TYPE, header::ACCEPT] {
        if let Some(value) = parts.headers.get(&name) {
            request = request.header(name, value);
        }
    }
    let answer = client.send(request.body(client::Body::from(body))?).await?;
    Ok(answer
        .map(|body| Body::from_stream(Body::new(body).into_data_stream().take_until(Box::pin(end(closed))))))
}

/// The time at which a watch is closed; other answers go on to their own end.
async fn end(closed: Option<watch::Receiver<()>>) {
    match closed {
        Some(mut closed) => drop(closed.changed().await),
        None => std::future::pending().await,
    }
}

fn refusal(status: StatusCode, message: &str) -> Response {
    let text = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": status.canonical_reason(), "code": status.as_u16(),
    });
    let mut answer = Response::new(Body::from(text.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one call, so a thread that panicked left it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
