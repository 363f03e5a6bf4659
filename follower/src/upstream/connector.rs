//! Makes one connection, over TLS if the URL says so, and never a second one, so that no reconnect escapes the checks of a new session.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tonic::{
    codegen::http::Uri,
    transport::{Channel, Endpoint},
};
use tower::service_fn;

use super::UpstreamError;
use crate::tls::ClientTls;

const CONNECT: Duration = Duration::from_secs(1);
/// How often the connection is pinged, also while idle.
const PING: Duration = Duration::from_secs(1);
/// A peer that stays silent this long after a ping is gone; long enough for a busy one.
const PONG: Duration = Duration::from_secs(2);
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Connects to the host and port of `url`.
pub(super) async fn connect(url: &str, tls: Option<&Arc<ClientTls>>) -> Result<Channel, UpstreamError> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| UpstreamError::Unreachable(format!("{url} is no URL: {error}")))?
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let used = AtomicBool::new(false);
    let tls = tls.cloned();
    let once = service_fn(move |uri: Uri| {
        let (again, tls) = (used.swap(true, Relaxed), tls.clone());
        async move {
            if again { Err(io::ErrorKind::NotConnected.into()) } else { dial(&uri, tls.as_deref()).await }
        }
    });
    match tokio::time::timeout(CONNECT, endpoint.connect_with_connector(once)).await {
        Ok(connected) => connected.map_err(|error| UpstreamError::Unreachable(causes(&error))),
        Err(_) => Err(UpstreamError::Unreachable(format!("no connection within {CONNECT:?}"))),
    }
}

/// A connection, over TLS or not.
type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

async fn dial(uri: &Uri, tls: Option<&ClientTls>) -> io::Result<TokioIo<Stream>> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    if !is_secure {
        return Ok(TokioIo::new(Either::Left(stream)));
    }
    let tls = tls.ok_or_else(|| io::Error::other("there are no TLS files for it"))?;
    Ok(TokioIo::new(Either::Right(Box::new(tls.connect(host, stream).await?))))
}

/// Each cause once, though most repeat the one below them.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    causes.fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        said if said.contains(&cause) => text,
        said => format!("{said}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refused_connection_says_so_once() {
        let refused =
            connect("http://127.0.0.1:1", None).await.expect_err("nobody listens there").to_string();
        assert_eq!(refused.matches("refused").count(), 1, "{refused}");
    }
}
