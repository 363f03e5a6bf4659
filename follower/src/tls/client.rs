//! TLS towards upstreams.

use std::{io, path::PathBuf, sync::Arc, time::Instant};

use clap::Args;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{DnsName, ServerName},
};
use tokio::{net::TcpStream, task::spawn_blocking};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    TlsError,
    material::{Identity, certificates, key, roots, unusable},
    reload::{Reloading, say},
};
use crate::replica::Replica;

/// The files and the name for upstreams of https.
#[derive(Debug, Clone, Default, Args)]
pub struct UpstreamTlsArgs {
    /// Certificate authorities of upstreams with https, in PEM; without it, those the system trusts. Read anew when it
    /// changes.
    #[arg(long, env = "TIDEMARK_UPSTREAM_CA", value_name = "FILE")]
    pub upstream_ca: Option<PathBuf>,
    /// Certificate chain that upstreams with https are shown, in PEM. Read anew when it changes.
    #[arg(
        long,
        env = "TIDEMARK_UPSTREAM_CLIENT_CERT",
        value_name = "FILE",
        requires = "upstream_client_key"
    )]
    pub upstream_client_cert: Option<PathBuf>,
    /// Private key of that certificate, in PEM. Read anew when it changes.
    #[arg(
        long,
        env = "TIDEMARK_UPSTREAM_CLIENT_KEY",
        value_name = "FILE",
        requires = "upstream_client_cert"
    )]
    pub upstream_client_key: Option<PathBuf>,
    /// Name that the certificates of upstreams must be of; without it, the host of each URL.
    #[arg(long, env = "TIDEMARK_UPSTREAM_SERVER_NAME", value_name = "NAME", value_parser = dns_name)]
    pub upstream_server_name: Option<String>,
}

fn dns_name(text: &str) -> Result<String, String> {
    match DnsName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("write the name that is in the certificate, as in primary.shop.svc".to_owned()),
    }
}

/// Makes the client's side of a handshake.
pub struct ClientTls {
    files: Arc<Reloading<ClientConfig>>,
    server_name: Option<String>,
}

impl ClientTls {
    /// Reads the files.
    ///
    /// # Errors
    /// When they cannot be read or used.
    pub fn open(args: &UpstreamTlsArgs, replica: &Arc<Replica>) -> Result<Self, TlsError> {
        let identity = args.upstream_client_cert.iter().chain(&args.upstream_client_key);
        let paths: Vec<PathBuf> = identity.chain(&args.upstream_ca).cloned().collect();
        let (files, with_identity) = (paths.clone(), args.upstream_client_cert.is_some());
        let make = move |contents: &[Vec<u8>]| config(&files, contents, with_identity);
        let (first, replica) = (paths.first().cloned().unwrap_or_default(), Arc::clone(replica));
        let report = move |change: Result<(), &TlsError>| {
            say("upstream", &first, change);
            replica.metrics.tls_reloaded("upstream", change.is_ok());
        };
        let files = Arc::new(Reloading::open(paths, Box::new(make), Box::new(report))?);
        Ok(Self { files, server_name: args.upstream_server_name.clone() })
    }

    /// Shakes hands with the upstream `host`, with the files as they are now.
    ///
    /// # Errors
    /// When its certificate is not one to trust, or it does not want ours.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let files = Arc::clone(&self.files);
        let config = spawn_blocking(move || files.current(Instant::now())).await.map_err(io::Error::other)?;
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        TlsConnector::from(config).connect(name, stream).await
    }
}

/// `paths` are certificate and key, if there is an identity, and then the authorities, if they are named.
fn config(paths: &[PathBuf], contents: &[Vec<u8>], with_identity: bool) -> Result<ClientConfig, TlsError> {
    let at = if with_identity { 2 } else { 0 };
    let authorities = match paths.get(at) {
        Some(path) => roots(path, &contents[at])?,
        None => system_roots()?,
    };
    let identity = with_identity.then(|| {
        let chain = certificates(&paths[0], &contents[0])?;
        Ok::<_, TlsError>(Identity { chain, key: key(&paths[1], &contents[1])? })
    });
    let first = paths.first().cloned().unwrap_or_default();
    made(authorities, identity.transpose()?).map_err(|detail| unusable(&first)(detail))
}

fn made(authorities: RootCertStore, identity: Option<Identity>) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let builder = builder.with_root_certificates(authorities);
    let made = match identity {
        Some(identity) => builder.with_client_auth_cert(identity.chain, identity.key),
        None => Ok(builder.with_no_client_auth()),
    };
    let mut config = made.map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    found
        .errors
        .iter()
        .for_each(|error| tracing::warn!("a certificate of the system cannot be read: {error}"));
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
}
