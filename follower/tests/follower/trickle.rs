//! Lets the large messages of a scripted upstream arrive piece by piece, or not to their end.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures::{StreamExt as _, future::BoxFuture, stream};
use tokio::time::sleep;
use tonic::{
    body::Body,
    codegen::{
        Bytes, Service,
        http::{Request, Response},
    },
    server::NamedService,
};

use crate::scripted::Script;

/// How a stream of blocks arrives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trickle {
    /// Bytes that pass at once, in total.
    pub(crate) free: usize,
    /// Bytes in each piece behind those.
    pub(crate) piece: usize,
    /// The time before each such piece.
    pub(crate) pause: Duration,
}

/// A service whose streams of blocks arrive as the script says.
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
        let answer = self.inner.call(request);
        let script = Arc::clone(&self.script);
        Box::pin(async move {
            let response = answer.await?;
            let trickle = script.lock().unwrap().trickle.filter(|_| is_stream);
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
    Body::new(axum::body::Body::from_stream(paced))
}

fn pieces(chunk: Bytes, len: usize) -> Vec<Bytes> {
    (0..chunk.len()).step_by(len).map(|at| chunk.slice(at..chunk.len().min(at + len))).collect()
}
