//! The files by which a follower speaks TLS to its upstream. Pure.

use super::secret_files::{Mounted, Place};
use crate::api::PrimaryTls;

const CA: Place = Place("upstream-ca", "/etc/tidemark/upstream-ca");
const CLIENT: Place = Place("upstream-client", "/etc/tidemark/upstream-client");

/// The flags that name the files and the server.
pub(super) fn args(tls: Option<&PrimaryTls>) -> Vec<String> {
    let Some(tls) = tls else { return Vec::new() };
    let ca = tls.ca_secret.iter().map(|_| format!("--upstream-ca={}/ca.crt", CA.1));
    let client = tls.client_secret.iter().flat_map(|_| {
        [
            format!("--upstream-client-cert={}/tls.crt", CLIENT.1),
            format!("--upstream-client-key={}/tls.key", CLIENT.1),
        ]
    });
    let name = tls.server_name.iter().map(|name| format!("--upstream-server-name={name}"));
    ca.chain(client).chain(name).collect()
}

/// The Secrets that hold the files.
pub(super) fn secrets(tls: Option<&PrimaryTls>) -> impl Iterator<Item = Mounted<'_>> {
    let secrets = tls.map(|tls| [(CA, tls.ca_secret.as_deref()), (CLIENT, tls.client_secret.as_deref())]);
    secrets.into_iter().flatten().filter_map(|(place, secret)| Some(Mounted { place, secret: secret? }))
}
