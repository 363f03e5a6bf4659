//! Certificates and keys out of the content of Secrets, and the handshake with them.

use std::{cmp::Ordering, error::Error, fmt, io, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;

/// A connection, over TLS or not.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// What is shown to a store, and whom it must prove to be. Two of the same content are equal.
#[derive(Clone)]
pub(super) struct Tls {
    fingerprint: [u8; 32],
    config: Arc<ClientConfig>,
    server_name: Option<String>,
}

/// The content of Secrets; absent parts were not asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Material {
    /// Certificate authorities, in PEM.
    pub(super) authorities: Option<Vec<u8>>,
    /// Certificate chain and private key, in PEM.
    pub(super) identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name its certificate must be of; None: the host of the URL.
    pub(super) server_name: Option<String>,
}

/// Which part of the content is no good.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// Of the authorities.
    #[error("{0}")]
    Authorities(String),
    /// Of the certificate.
    #[error("{0}")]
    Certificate(String),
    /// Of the key, or of certificate and key together.
    #[error("{0}")]
    Key(String),
    /// The image trusts nobody.
    #[error("this image trusts no certificate authority")]
    NoAuthorities,
    /// Of no part, but of what this program speaks TLS with.
    #[error("{0}")]
    Provider(String),
}

impl Tls {
    /// Makes it from the content of Secrets.
    pub(super) fn new(material: &Material) -> Result<Self, TlsError> {
        let authorities = match &material.authorities {
            Some(pem) => authorities(pem)?,
            None => system_authorities()?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Provider(error.to_string()))?
            .with_root_certificates(authorities);
        let mut config = match &material.identity {
            Some((chain, key)) => builder
                .with_client_auth_cert(certificates(chain).map_err(TlsError::Certificate)?, private_key(key)?)
                .map_err(|error| TlsError::Key(error.to_string()))?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Many followers share a name, and the ticket of one means nothing to another.
        config.resumption = Resumption::disabled();
        let (config, server_name) = (Arc::new(config), material.server_name.clone());
        Ok(Self { fingerprint: fingerprint(material), config, server_name })
    }

    /// Shakes hands with `host`.
    pub(super) async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = self.server_name.as_deref().unwrap_or(host);
        let failed = |error| io::Error::from(TlsFailure::Handshake(name.to_owned(), error));
        let server =
            ServerName::try_from(name.to_owned()).map_err(|error| failed(io::Error::other(error)))?;
        TlsConnector::from(Arc::clone(&self.config)).connect(server, stream).await.map_err(failed)
    }
}

/// Why a connection does not come about that is to be of TLS.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsFailure {
    /// What it is made with is not there.
    #[error("{0}")]
    Unprepared(String),
    /// Nobody says how.
    #[error("{0}")]
    Unstated(String),
    /// The two sides do not agree.
    #[error("no TLS with {0}: {1}")]
    Handshake(String, io::Error),
    /// The other side takes its time.
    #[error("no TLS within {} ms", .0.as_millis())]
    Late(Duration),
}

impl From<TlsFailure> for io::Error {
    fn from(failure: TlsFailure) -> Self {
        Self::other(failure)
    }
}

impl TlsFailure {
    /// A word for metrics.
    fn outcome(&self) -> &'static str {
        match self {
            Self::Unprepared(_) => "no_secret",
            Self::Unstated(_) | Self::Handshake(..) | Self::Late(_) => HANDSHAKE,
        }
    }
}

/// The outcome of a request that failed for TLS, and not for what was asked over it.
pub(super) const HANDSHAKE: &str = "tls";

/// A word for metrics, if it is for TLS that something failed. A certificate that a server does not take shows only
/// once the handshake seems done.
pub(super) fn outcome(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    let mut within = chain.filter_map(|error| error.downcast_ref::<io::Error>()?.get_ref());
    within.find_map(|error| {
        let failure = error.downcast_ref::<TlsFailure>().map(TlsFailure::outcome);
        failure.or_else(|| error.is::<rustls::Error>().then_some(HANDSHAKE))
    })
}

fn fingerprint(material: &Material) -> [u8; 32] {
    let (chain, key) =
        material.identity.as_ref().map_or((None, None), |(chain, key)| (Some(chain), Some(key)));
    let name = material.server_name.as_ref().map(|name| name.as_bytes().to_vec());
    let mut hasher = blake3::Hasher::new();
    for part in [material.authorities.as_ref(), chain, key, name.as_ref()] {
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        hasher.update(&length.to_le_bytes()).update(part.map_or(&[], Vec::as_slice));
    }
    hasher.finalize().into()
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err("holds no certificate in PEM".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("is no certificate in PEM: {error}")),
    }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|error| TlsError::Key(format!("is no private key in PEM: {error}")))
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem).map_err(TlsError::Authorities)? {
        roots.add(certificate).map_err(|error| TlsError::Authorities(format!("cannot be used: {error}")))?;
    }
    Ok(roots)
}

fn system_authorities() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoAuthorities) } else { Ok(roots) }
}

impl fmt::Debug for Tls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Tls({})", hex::encode(&self.fingerprint[..4]))
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Tls {}

impl PartialOrd for Tls {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Tls {
    fn cmp(&self, other: &Self) -> Ordering {
        self.fingerprint.cmp(&other.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Error, ErrorKind},
        time::Duration,
    };

    use super::{TlsFailure, outcome};

    #[test]
    fn what_fails_for_tls_is_told_from_what_fails_on_the_way_or_in_the_answer() {
        let refused = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        let cases = [
            (TlsFailure::Unprepared("no Secret".to_owned()).into(), Some("no_secret")),
            (TlsFailure::Unstated("nonsense".to_owned()).into(), Some("tls")),
            (TlsFailure::Late(Duration::from_secs(1)).into(), Some("tls")),
            (TlsFailure::Handshake("a".to_owned(), ErrorKind::UnexpectedEof.into()).into(), Some("tls")),
            (Error::new(ErrorKind::InvalidData, refused), Some("tls")),
            (ErrorKind::ConnectionReset.into(), None),
            (Error::other("something else"), None),
        ];
        for (error, expected) in cases {
            assert_eq!(outcome(&error), expected, "{error}");
        }
    }
}
