//! The body of an answer: pieces that are ready, or an outlet that more come out of.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::{
    HeaderMap,
    body::{Body, Frame},
    header::HeaderValue,
};
use tonic::{Status, codegen::Bytes};

use super::{connections::OpenStream, outlet::Outlet};
use crate::metrics::Open;

/// What is handed to the transport at once: a client that stops reading leaves little more than this in its buffers.
pub(super) const HANDED: usize = 64 << 10;

/// The body of an answer.
#[derive(Default)]
pub(super) struct AnswerBody {
    kind: Kind,
    open: Option<OpenCall>,
}

/// Counts the call as open, in the process and on its connection.
pub(super) type OpenCall = (Open, Option<OpenStream>);

#[derive(Default)]
enum Kind {
    /// Nothing is left.
    #[default]
    Done,
    /// All pieces are here; the trailers follow.
    Ready(VecDeque<Bytes>),
    /// More may come, and what is left untaken is dropped in time.
    Outlet(Box<Outlet>),
    /// Of a service that is not ours.
    Other(axum::body::Body),
}

impl AnswerBody {
    pub(super) fn ready(pieces: VecDeque<Bytes>) -> Self {
        Kind::Ready(pieces).into()
    }

    pub(super) fn outlet(outlet: Outlet) -> Self {
        Kind::Outlet(Box::new(outlet)).into()
    }

    pub(super) fn other(body: axum::body::Body) -> Self {
        Kind::Other(body).into()
    }

    /// Counts the answer as open until it is dropped.
    pub(super) fn counted(mut self, open: OpenCall) -> Self {
        self.open = Some(open);
        self
    }
}

impl From<Kind> for AnswerBody {
    fn from(kind: Kind) -> Self {
        Self { kind, open: None }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = match &mut self.kind {
            Kind::Done => return Poll::Ready(None),
            Kind::Other(body) => return Pin::new(body).poll_frame(context),
            Kind::Ready(pieces) => next_piece(pieces).map_or_else(|| Err(Status::ok("")), Ok),
            Kind::Outlet(outlet) => std::task::ready!(outlet.poll(context)),
        };
        Poll::Ready(Some(Ok(match frame {
            Ok(piece) => Frame::data(piece),
            Err(status) => {
                self.kind = Kind::Done;
                Frame::trailers(trailers(&status))
            }
        })))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Done => true,
            Kind::Other(body) => body.is_end_stream(),
            Kind::Ready(_) | Kind::Outlet(_) => false,
        }
    }
}

/// The next piece, of a size that is handed over at once.
pub(super) fn next_piece(pieces: &mut VecDeque<Bytes>) -> Option<Bytes> {
    match pieces.front_mut() {
        Some(first) if first.len() > HANDED => Some(first.split_to(HANDED)),
        _ => pieces.pop_front(),
    }
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    if status.code() == tonic::Code::Ok {
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
    } else if status.add_header(&mut trailers).is_err() {
        // What cannot be written as a header is left out.
        let bare = Status::new(status.code(), "");
        drop(bare.add_header(&mut trailers));
    }
    trailers
}
