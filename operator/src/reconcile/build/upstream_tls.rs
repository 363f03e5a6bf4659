//! The files by which a follower speaks TLS to its upstream. Pure.
//!
//! The Secrets are mounted as directories, so that what changes in them reaches the follower, which reads them anew.

use k8s_openapi::api::core::v1::{SecretVolumeSource, Volume, VolumeMount};

use crate::api::PrimaryTls;

const CA: (&str, &str) = ("upstream-ca", "/etc/tidemark/upstream-ca");
const CLIENT: (&str, &str) = ("upstream-client", "/etc/tidemark/upstream-client");
/// Readable by the follower's group alone.
const MODE: i32 = 0o440;

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

/// The Secrets as volumes.
pub(super) fn volumes(tls: Option<&PrimaryTls>) -> Vec<Volume> {
    mounted(tls).map(|((name, _), secret)| volume(name, secret)).collect()
}

/// Where they are mounted.
pub(super) fn mounts(tls: Option<&PrimaryTls>) -> Vec<VolumeMount> {
    mounted(tls).map(|((name, path), _)| mount(name, path)).collect()
}

fn mounted(tls: Option<&PrimaryTls>) -> impl Iterator<Item = ((&'static str, &'static str), &str)> {
    let secrets = tls.map(|tls| [(CA, tls.ca_secret.as_deref()), (CLIENT, tls.client_secret.as_deref())]);
    secrets.into_iter().flatten().filter_map(|(place, secret)| Some((place, secret?)))
}

fn volume(name: &str, secret: &str) -> Volume {
    let source = SecretVolumeSource {
        secret_name: Some(secret.to_owned()),
        default_mode: Some(MODE),
        ..SecretVolumeSource::default()
    };
    Volume { name: name.to_owned(), secret: Some(source), ..Volume::default() }
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}
