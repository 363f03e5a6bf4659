//! TLS of the read port.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use tokio::{net::TcpStream, task::spawn_blocking, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    TlsError,
    material::{Identity, certificates, key, roots, unusable},
    reload::{Reloading, say},
};
use crate::replica::Replica;

/// A client that has not finished its handshake after this long gives its slot to another.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// The files of the read port.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsArgs {
    /// Certificate chain of the gRPC port, in PEM: it speaks TLS then, and nothing else. Read anew when it changes.
    #[arg(long, env = "TIDEMARK_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of that certificate, in PEM. Read anew when it changes.
    #[arg(long, env = "TIDEMARK_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Certificate authorities, in PEM: only clients with a certificate of one of them are served. Read anew when it
    /// changes.
    #[arg(long, env = "TIDEMARK_TLS_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
}

/// Makes the server's side of a handshake.
pub struct ServerTls(Arc<Reloading<ServerConfig>>);

impl ServerTls {
    /// Reads the files, if there are any.
    ///
    /// # Errors
    /// When they cannot be read or used.
    pub fn open(args: &TlsArgs, replica: &Arc<Replica>) -> Result<Option<Self>, TlsError> {
        let (Some(cert), Some(key)) = (&args.tls_cert, &args.tls_key) else { return Ok(None) };
        let paths: Vec<PathBuf> = [cert, key].into_iter().chain(&args.tls_client_ca).cloned().collect();
        let (files, first, replica) = (paths.clone(), cert.clone(), Arc::clone(replica));
        let report = move |change: Result<(), &TlsError>| {
            say("server", &first, change);
            replica.metrics.tls_reloaded("server", change.is_ok());
        };
        let make = move |contents: &[Vec<u8>]| config(&files, contents);
        Reloading::open(paths, Box::new(make), Box::new(report)).map(|files| Some(Self(Arc::new(files))))
    }

    /// Shakes hands with a client, with the files as they are now.
    ///
    /// # Errors
    /// When the client does not, or not in time.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let files = Arc::clone(&self.0);
        let config = spawn_blocking(move || files.current(Instant::now())).await.map_err(io::Error::other)?;
        let shaken = timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await;
        shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

fn config(paths: &[PathBuf], contents: &[Vec<u8>]) -> Result<ServerConfig, TlsError> {
    let identity =
        Identity { chain: certificates(&paths[0], &contents[0])?, key: key(&paths[1], &contents[1])? };
    let authorities = paths.get(2).map(|path| roots(path, &contents[2])).transpose()?;
    made(identity, authorities).map_err(unusable(&paths[0]))
}

fn made(identity: Identity, authorities: Option<RootCertStore>) -> Result<ServerConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let builder = match authorities {
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| error.to_string())?)
        }
        None => builder.with_no_client_auth(),
    };
    let made = builder.with_single_cert(identity.chain, identity.key);
    let mut config = made.map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
