//! A gRPC connection for small calls, one at a time, to one of thousands of servers.
//!
//! A general HTTP/2 client holds buffers and tasks for each connection, which by the thousand outweigh all the rest of
//! this program. This one holds a socket and a few numbers between two calls. It suits the generated clients.

mod connection;
mod frame;
mod hpack;
mod huffman;
mod session;

use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Mutex,
};
use tonic::{Code, Status, codegen::Bytes};
use tower::Service;

use self::{
    connection::{CallError, Connection},
    session::{Answer, SessionError},
};

/// Before each message gRPC tells in a byte whether it is compressed, and in four how long it is.
const MESSAGE_HEAD: usize = 5;

/// Makes connections to one server.
pub(crate) trait Dial: Send + Sync + 'static {
    /// What a connection is.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Makes one.
    fn dial(&self) -> BoxFuture<'_, io::Result<Self::Stream>>;

    /// Who the server is asked to be: its name or address, and its port.
    fn authority(&self) -> String;

    /// Whether connections are made over TLS.
    fn secure(&self) -> bool {
        false
    }
}

/// A connection that is made when it is needed, and made anew when it is gone. Clones share it.
pub(crate) struct Link<D: Dial>(Arc<Shared<D>>);

struct Shared<D: Dial> {
    to: D,
    /// The most data an answer may have, in bytes.
    limit: usize,
    open: Mutex<Option<Connection<D::Stream>>>,
}

impl<D: Dial> Clone for Link<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Dial> Link<D> {
    /// A link to a server, which is not asked for anything yet. Messages of answers may have `limit` bytes.
    pub(crate) fn new(to: D, limit: usize) -> Self {
        Self(Arc::new(Shared { to, limit: limit + MESSAGE_HEAD, open: Mutex::default() }))
    }
}

impl<D: Dial> Service<Request<tonic::body::Body>> for Link<D> {
    type Response = Response<tonic::body::Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.call(request).await })
    }
}

impl<D: Dial> Shared<D> {
    async fn call(&self, request: Request<tonic::body::Body>) -> Result<Response<tonic::body::Body>, Status> {
        let (head, body) = self.encoded(request).await?;
        response(self.answer(&head, &body).await.map_err(status)?)
    }

    /// The head and the data of a request, and no more memory than they take: the body comes in a buffer that is larger
    /// than it, which counts while thousands are asked at the same time, as at the start and when a network hangs.
    async fn encoded(&self, request: Request<tonic::body::Body>) -> Result<(Vec<u8>, Vec<u8>), Status> {
        let (parts, body) = request.into_parts();
        let head = hpack::encode(self.to.secure(), &self.to.authority(), parts.uri.path(), &parts.headers);
        let body = body.collect().await?.to_bytes().to_vec();
        if head.len().max(body.len()) > frame::LONGEST {
            return Err(Status::out_of_range(format!("a request has at most {} bytes", frame::LONGEST)));
        }
        Ok((head, body))
    }

    /// One who gives up before the end takes the connection with it.
    async fn answer(&self, head: &[u8], body: &[u8]) -> Result<Answer, CallError> {
        let mut open = self.open.lock().await;
        if let Some(mut connection) = open.take()
            && connection.takes(body.len()).await
        {
            match connection.call(head, body, self.limit).await {
                // It was closed while it was idle: what is asked for here may be asked for twice.
                Err(error) if error.is_closing() => {}
                answered => return keep(&mut open, connection, answered),
            }
        }
        let mut connection = Connection::new(self.to.dial().await?);
        let answered = connection.call(head, body, self.limit).await;
        keep(&mut open, connection, answered)
    }
}

fn keep<S>(
    open: &mut Option<Connection<S>>,
    connection: Connection<S>,
    answered: Result<Answer, CallError>,
) -> Result<Answer, CallError> {
    if answered.is_ok() {
        *open = Some(connection);
    }
    answered
}

impl CallError {
    fn is_closing(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Closed | Self::Session(SessionError::GoingAway))
    }
}

fn status(error: CallError) -> Status {
    let code = match &error {
        CallError::Session(SessionError::TooLarge(_)) => Code::OutOfRange,
        _ => Code::Unavailable,
    };
    let mut status = Status::new(code, error.to_string());
    status.set_source(Arc::new(error));
    status
}

fn response(answer: Answer) -> Result<Response<tonic::body::Body>, Status> {
    let Answer { status, head, data, trailers } = answer;
    let trailers = std::future::ready(trailers.map(Ok::<HeaderMap, _>));
    let body = tonic::body::Body::new(Full::new(Bytes::from(data)).with_trailers(trailers));
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).map_err(|error| Status::internal(error.to_string()))?;
    *response.version_mut() = Version::HTTP_2;
    *response.headers_mut() = head;
    Ok(response)
}
