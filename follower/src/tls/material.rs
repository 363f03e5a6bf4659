//! Certificates and keys out of the content of PEM files. Pure.

use std::path::Path;

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use super::TlsError;

/// A certificate chain and its key.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// The certificates of a file, at least one.
pub(super) fn certificates(path: &Path, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let not_pem = |detail: String| TlsError::NotPem { path: path.to_owned(), what: "certificate", detail };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
    let found = found.map_err(|error| not_pem(error.to_string()))?;
    if found.is_empty() { Err(not_pem("there is none".to_owned())) } else { Ok(found) }
}

/// The first private key of a file.
pub(super) fn key(path: &Path, content: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(content).map_err(|error| TlsError::NotPem {
        path: path.to_owned(),
        what: "private key",
        detail: error.to_string(),
    })
}

/// Authorities to trust.
pub(super) fn roots(path: &Path, content: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, content)? {
        roots.add(certificate).map_err(|error| unusable(path)(error.to_string()))?;
    }
    Ok(roots)
}

pub(super) fn unusable(path: &Path) -> impl Fn(String) -> TlsError {
    move |detail| TlsError::Unusable { path: path.to_owned(), detail }
}
