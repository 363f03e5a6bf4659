//! Lets blocks of a scripted upstream arrive piece by piece, or not to their end.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures::{StreamExt as _, future::BoxFuture, stream};
use http_body_util::BodyExt as _;
use tokio::time::sleep;
use tonic::{
    body::Body,
    codegen::{
        Bytes, Service,
        http::{HeaderMap, HeaderName, HeaderValue, Request, Response},
    },
    server::NamedService,
};

use crate::scripted::Script;

/// How a stream of blocks, or an answer with one, arrives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trickle {
    /// Bytes that pass at once, in total.
    pub(crate) free: usize,
    /// Bytes in each piece behind those.
    pub(crate) piece: usize,
    /// The time before each such piece.
    pub(crate) pause: Duration,
}

/// A service whose blocks arrive as the script says.
#[derive(Clone)]
pub(crate) struct Trickling<S> {
    pub(crate) inner: S,
    pub(crate) script: Arc<Mutex<Script>>,
}

impl<S: NamedService> NamedService for Trickling<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Trickling<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_stream = request.uri().path().ends_with("/BlockSubscription");
        let is_call = request.uri().path().ends_with("/GetBlockByNumber");
        let answer = self.inner.call(request);
        let script = Arc::clone(&self.script);
        Box::pin(async move {
            let response = answer.await?;
            let trickle = {
                let script = script.lock().unwrap();
                script.trickle.filter(|_| is_stream).or(script.call_trickle.filter(|_| is_call))
            };
            Ok(match trickle {
                Some(trickle) => response.map(|body| slowly(body, trickle)),
                None => response,
            })
        })
    }
}

fn slowly(body: Body, trickle: Trickle) -> Body {
    let whole = axum::body::Body::new(body).into_data_stream();
    let mut passed = 0;
    let pieces = whole.flat_map(move |chunk| stream::iter(pieces(chunk.unwrap(), trickle.piece)));
    let paced = pieces.then(move |piece| {
        passed += piece.len();
        let waits = passed > trickle.free;
        async move {
            if waits {
                sleep(trickle.pause).await;
            }
            Ok::<Bytes, Infallible>(piece)
        }
    });
    // The pieces are data alone: the status that closes a call is put behind them again.
    let done =
        HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    Body::new(axum::body::Body::from_stream(paced).with_trailers(async { Some(Ok(done)) }))
}

fn pieces(chunk: Bytes, len: usize) -> Vec<Bytes> {
    (0..chunk.len()).step_by(len).map(|at| chunk.slice(at..chunk.len().min(at + len))).collect()
}
