//! The way in: `rpc.Api` by the shortest way, everything else by the router.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use axum::Router;
use futures::{FutureExt as _, future::BoxFuture};
use hyper::{Request, Response, body::Incoming};
use tower::{Service, ServiceExt as _};

use super::{api::Api, body::AnswerBody, connections::Way, rpc};
use crate::metrics::Open;

/// Everything that the read port serves.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) api: Arc<Api>,
    pub(super) others: Router,
}

impl Service<Request<Incoming>> for Entry {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        let open = Open::on(&self.api.replica.metrics.serving.streams);
        let open = (open, request.extensions_mut().get_mut::<Way>().and_then(|way| way.stream.take()));
        if request.uri().path().starts_with(rpc::PATH) {
            let answer = Arc::clone(&self.api).call(request);
            return answer.map(|answer| Ok(answer.map(|body| body.counted(open)))).boxed();
        }
        let answer = self.others.clone().oneshot(request);
        answer.map(|answer| Ok(answer?.map(|body| AnswerBody::other(body).counted(open)))).boxed()
    }
}
