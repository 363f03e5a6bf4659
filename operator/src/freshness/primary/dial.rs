//! Connects to primaries: never to the operator's own node, and over TLS if the URL says so.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio_util::either::Either;
use tower::{Service, service_fn};

use super::super::{
    ask::LONGEST_ANSWER,
    tls::{Stream, Tls},
};
use crate::{aim::is_local, link::Dial};

/// Which primary, and how it is spoken to: one is asked once, however many sets name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    pub(super) url: String,
    /// None for http.
    pub(super) tls: Option<Arc<Tls>>,
}

/// Makes connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialer {
    pub(super) allow_loopback: bool,
}

/// One primary, for a client of small answers.
pub(super) struct Route {
    pub(super) uri: Uri,
    pub(super) way: Way,
    pub(super) dialer: Dialer,
}

impl Dial for Route {
    type Stream = Stream;

    fn dial(&self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(self.dialer.connection(&self.uri, self.way.tls.clone()))
    }

    fn authority(&self) -> String {
        self.uri.authority().map(ToString::to_string).unwrap_or_default()
    }

    fn secure(&self) -> bool {
        self.way.tls.is_some()
    }
}

impl Dialer {
    /// What connects along `way`, for a client that may read whole blocks.
    pub(super) fn connector(
        self,
        way: &Way,
    ) -> impl Service<
        Uri,
        Response = TokioIo<Stream>,
        Error = io::Error,
        Future = BoxFuture<'static, io::Result<TokioIo<Stream>>>,
    > + Clone
    + Send
    + 'static {
        let tls = way.tls.clone();
        service_fn(move |uri: Uri| {
            let tls = tls.clone();
            Box::pin(async move { Ok(TokioIo::new(self.connection(&uri, tls).await?)) })
                as BoxFuture<'static, _>
        })
    }

    async fn connection(self, uri: &Uri, tls: Option<Arc<Tls>>) -> io::Result<Stream> {
        in_time(async {
            let (host, port) = place(uri);
            let stream = self.connect(host, port).await?;
            Ok(match tls {
                None => Either::Left(stream),
                Some(tls) => Either::Right(Box::new(tls.connect(host, stream).await?)),
            })
        })
        .await
    }

    /// A name is judged by what it resolves to now, since that may be another address than it was yesterday.
    async fn connect(self, host: &str, port: u16) -> io::Result<TcpStream> {
        let found: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
        let allowed: Vec<_> = found.iter().filter(|found| self.allows(found.ip())).copied().collect();
        if let (Some(first), []) = (found.first(), allowed.as_slice()) {
            let why =
                format!("{host} is {}, a loopback or link-local address, which is not asked", first.ip());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        let stream = TcpStream::connect(allowed.as_slice()).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn allows(self, address: IpAddr) -> bool {
        self.allow_loopback || !is_local(address)
    }
}

fn place(uri: &Uri) -> (&str, u16) {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let secure = uri.scheme_str() == Some("https");
    (host, uri.port_u16().unwrap_or(if secure { 443 } else { 80 }))
}

async fn in_time<T>(connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    const LIMIT: Duration = LONGEST_ANSWER;
    let late =
        || io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {} ms", LIMIT.as_millis()));
    tokio::time::timeout(LIMIT, connecting).await.unwrap_or_else(|_| Err(late()))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::Dialer;

    #[tokio::test]
    async fn a_name_that_resolves_to_this_node_is_refused_when_it_is_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let connect = async |allow_loopback, host| Dialer { allow_loopback }.connect(host, port).await;
        for host in ["localhost", "127.0.0.1", "::ffff:127.0.0.1"] {
            let refused = connect(false, host).await.expect_err("it is this node");
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{refused}");
        }
        connect(true, "localhost").await.expect("somebody listens");
    }
}
