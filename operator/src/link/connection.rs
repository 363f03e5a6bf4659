//! A session on a connection.

use std::{io, task::Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::session::{Answer, Session, SessionError};

/// The most that is read at once, in bytes, into memory that is held no longer than that takes.
const READ: usize = 4_096;

/// Why a call was not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    // Not transparent: what lies in the error is looked for.
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the connection was closed")]
    Closed,
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// An open connection.
pub(super) struct Connection<S> {
    stream: S,
    session: Session,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, session: Session::new() }
    }

    /// Whether a call of so many bytes can be made, as far as is known without waiting.
    pub(super) async fn takes(&mut self, length: usize) -> bool {
        // What came since the last call: pings, or that the peer goes away.
        let read = futures::poll!(std::pin::pin!(self.receive()));
        !matches!(read, Poll::Ready(Err(_))) && self.session.takes(length)
    }

    /// Makes a call. A connection on which one failed, or was given up, is good for nothing more.
    pub(super) async fn call(&mut self, head: &[u8], body: &[u8], limit: usize) -> Result<Answer, CallError> {
        self.session.begin(head, body, limit);
        loop {
            self.send().await?;
            if let Some(answer) = self.session.take_answer() {
                return Ok(answer);
            }
            self.receive().await?;
        }
    }

    /// Sends what there is to send.
    async fn send(&mut self) -> io::Result<()> {
        let out = self.session.take_out();
        if !out.is_empty() {
            self.stream.write_all(&out).await?;
            self.stream.flush().await?;
        }
        Ok(())
    }

    /// Reads once.
    async fn receive(&mut self) -> Result<(), CallError> {
        let Self { stream, session } = self;
        std::future::poll_fn(|context| {
            // On the stack of this poll, so that ten thousand who wait hold ten thousand times nothing.
            let mut buffer = [0; READ];
            let mut buffer = ReadBuf::new(&mut buffer);
            std::task::ready!(std::pin::Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
            Poll::Ready(match buffer.filled() {
                [] => Err(CallError::Closed),
                bytes => session.receive(bytes).map_err(CallError::from),
            })
        })
        .await
    }
}
