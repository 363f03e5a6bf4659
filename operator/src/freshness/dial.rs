//! Connects to followers, over TLS or not, as their pods say.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::Instant};
use tokio_util::either::Either;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::{
    secrets::{TlsSecrets, Watched},
    tls::{Stream, Tls, TlsFailure},
};
use crate::link::Dial;

/// What of a block may be on its way unread, in bytes, so that no number of large ones fills the memory.
const WINDOW: u32 = 64 * 1024;

/// How a pod says that it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Without TLS.
    Plain,
    /// With these.
    Tls(Arc<TlsSecrets>),
    /// Over TLS, but not in which way, for this reason.
    Unreadable(Arc<str>),
}

/// The same with what it takes.
#[derive(Clone, Debug)]
pub(super) enum Way {
    Plain,
    Tls(Watched),
    Unreadable(Arc<str>),
}

/// One follower.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) to: SocketAddr,
    pub(super) way: Way,
    /// How long one answer may take, a new connection included.
    pub(super) timeout: Duration,
}

impl Dial for Route {
    type Stream = Stream;

    fn dial(&self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(self.connection())
    }

    fn authority(&self) -> String {
        self.to.to_string()
    }

    fn secure(&self) -> bool {
        !matches!(self.way, Way::Plain)
    }
}

impl Route {
    async fn connection(&self) -> io::Result<Stream> {
        // So that one who hangs in the handshake is told from one who hangs with the answer.
        let limit = self.timeout.mul_f64(0.9);
        let end = Instant::now() + limit;
        let tls = self.tls().await?;
        let stream = TcpStream::connect(self.to).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = tls else { return Ok(Either::Left(stream)) };
        let host = self.to.ip().to_string();
        let shaken = tokio::time::timeout_at(end, tls.connect(&host, stream)).await;
        Ok(Either::Right(Box::new(shaken.unwrap_or_else(|_| Err(TlsFailure::Late(limit).into()))?)))
    }

    /// What TLS is spoken with; None: it is not. What Secrets hold by now is for new connections, as it is for
    /// followers.
    async fn tls(&self) -> Result<Option<Arc<Tls>>, TlsFailure> {
        match &self.way {
            Way::Plain => Ok(None),
            Way::Tls(watched) => watched.tls().await.map(Some),
            Way::Unreadable(why) => Err(TlsFailure::Unstated(why.to_string())),
        }
    }

    /// A connection for one block, which may be large.
    pub(super) fn channel(&self) -> Option<Channel> {
        let scheme = if self.secure() { "https" } else { "http" };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{}", self.to)).ok()?;
        let endpoint = endpoint.initial_stream_window_size(WINDOW).initial_connection_window_size(2 * WINDOW);
        let route = self.clone();
        let connector = service_fn(move |_: Uri| {
            let route = route.clone();
            async move { route.connection().await.map(TokioIo::new) }
        });
        Some(endpoint.connect_timeout(self.timeout).connect_with_connector_lazy(connector))
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use super::{Route, Way};

    #[tokio::test]
    async fn blocks_are_read_at_addresses_of_both_families() {
        for address in ["10.0.0.7", "fd00::7"] {
            let to = SocketAddr::new(address.parse().expect("an address"), 57291);
            let route = Route { to, way: Way::Plain, timeout: Duration::from_secs(1) };
            assert!(route.channel().is_some(), "{address}");
        }
    }
}
