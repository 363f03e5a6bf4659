//! The files by which a follower serves over TLS. Pure.

use super::secret_files::{Mounted, Place};
use crate::api::FollowerTls;

const CERT: Place = Place("follower-tls", "/etc/tidemark/follower-tls");
const CLIENT_CA: Place = Place("follower-client-ca", "/etc/tidemark/follower-client-ca");

/// The flags that name the files.
pub(super) fn args(tls: Option<&FollowerTls>) -> Vec<String> {
    let Some(tls) = tls else { return Vec::new() };
    let cert = tls
        .cert_secret
        .iter()
        .flat_map(|_| [format!("--tls-cert={}/tls.crt", CERT.1), format!("--tls-key={}/tls.key", CERT.1)]);
    let client_ca = tls.client_ca_secret.iter().map(|_| format!("--tls-client-ca={}/ca.crt", CLIENT_CA.1));
    cert.chain(client_ca).collect()
}

/// The Secrets that hold the files.
pub(super) fn secrets(tls: Option<&FollowerTls>) -> impl Iterator<Item = Mounted<'_>> {
    let secrets =
        tls.map(|tls| [(CERT, tls.cert_secret.as_deref()), (CLIENT_CA, tls.client_ca_secret.as_deref())]);
    secrets.into_iter().flatten().filter_map(|(place, secret)| Some(Mounted { place, secret: secret? }))
}
