//! The connections of a scripted store: over TLS or not, and as ill-mannered as a test wants them.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures::stream::{Stream, unfold};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;
use tonic::transport::server::Connected;

use super::{Counts, Script, lock};

/// What a store does with connections. A change ends those that are open, with the next bytes that come over them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manners {
    /// Speaks HTTP/2.
    #[default]
    Honest,
    /// Takes connections and says nothing.
    Hangs,
    /// Says what is no HTTP/2, without end.
    Babbles,
    /// Resets connections.
    Resets,
    /// Says one byte of HTTP/2 a second.
    Drips,
}

/// What a store shows, and whether it wants to be shown something.
#[derive(Clone)]
pub struct ServerTls(Arc<ServerConfig>);

impl ServerTls {
    /// Serves with a certificate and its key, to those only that hold a certificate of `clients`, if that is given; all
    /// in PEM.
    ///
    /// # Errors
    /// If they cannot be used.
    pub fn new(certificate: &str, key: &str, clients: Option<&str>) -> Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(clients.as_bytes())?)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build()?)
            }
        };
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes())?];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
        let mut config =
            builder.with_single_cert(chain, key).context("certificate and key do not belong together")?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

impl PartialEq for ServerTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ServerTls")
    }
}

type Socket = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// One connection of a store that is honest.
pub(super) struct Line {
    socket: Socket,
    script: Arc<Mutex<Script>>,
    counts: Arc<Counts>,
    tls: Option<ServerTls>,
}

/// The connections that are to be served.
pub(super) fn accept(
    listener: TcpListener,
    script: Arc<Mutex<Script>>,
    counts: Arc<Counts>,
) -> impl Stream<Item = io::Result<Line>> {
    let (lines, served) = mpsc::channel(16);
    tokio::spawn(async move {
        loop {
            let socket = tokio::select! {
                () = lines.closed() => return,
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => socket,
                    Err(_) => continue,
                },
            };
            let (script, counts, lines) = (Arc::clone(&script), Arc::clone(&counts), lines.clone());
            tokio::spawn(async move {
                let Script { manners, tls, .. } = lock(&script).clone();
                if manners != Manners::Honest {
                    return misbehave(manners, socket).await;
                }
                if let Ok(socket) = shake(socket, tls.clone()).await {
                    // Nobody serves any more once the store is dropped.
                    let _ = lines.send(Line { socket, script, counts, tls }).await;
                }
            });
        }
    });
    unfold(served, async |mut served| Some((Ok(served.recv().await?), served)))
}

async fn shake(socket: TcpStream, tls: Option<ServerTls>) -> io::Result<Socket> {
    Ok(match tls {
        None => Either::Left(socket),
        Some(ServerTls(config)) => Either::Right(Box::new(TlsAcceptor::from(config).accept(socket).await?)),
    })
}

async fn misbehave(manners: Manners, mut socket: TcpStream) {
    /// An empty frame SETTINGS, with which a server begins, and the start of one that never ends.
    const HTTP2: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 1];
    let pause = || tokio::time::sleep(Duration::from_secs(1));
    match manners {
        Manners::Honest | Manners::Hangs => std::future::pending().await,
        Manners::Resets => drop(socket.set_zero_linger()),
        Manners::Babbles => while socket.write_all(&[0xff; 4096]).await.is_ok() {},
        Manners::Drips => {
            for byte in HTTP2.iter().chain(std::iter::repeat(&0)) {
                if socket.write_all(&[*byte]).await.is_err() {
                    return;
                }
                pause().await;
            }
        }
    }
}

impl Line {
    fn still_honest(&self) -> io::Result<()> {
        let script = lock(&self.script);
        let same = script.manners == Manners::Honest && script.tls == self.tls;
        if same { Ok(()) } else { Err(io::ErrorKind::ConnectionReset.into()) }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = std::task::ready!(Pin::new(&mut self.socket).poll_read(cx, buf));
        Poll::Ready(read.and_then(|()| self.still_honest()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = std::task::ready!(Pin::new(&mut self.socket).poll_write(cx, buf))?;
        self.counts.written.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl Connected for Line {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}
