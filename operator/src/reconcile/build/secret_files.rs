//! Secrets as files of the follower. Pure.
//!
//! They are mounted as directories, so that what changes in them reaches the follower, which reads them anew.

use k8s_openapi::api::core::v1::{SecretVolumeSource, Volume, VolumeMount};

use super::{follower_tls, upstream_tls};
use crate::api::StoreReplicaSetSpec;

/// Readable by the follower's group alone.
const MODE: i32 = 0o440;

/// The name of a volume, and where it is mounted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(pub(super) &'static str, pub(super) &'static str);

/// A Secret and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mounted<'a> {
    pub(super) place: Place,
    pub(super) secret: &'a str,
}

/// All Secrets as volumes.
pub(super) fn volumes(spec: &StoreReplicaSetSpec) -> impl Iterator<Item = Volume> {
    mounted(spec).map(|Mounted { place: Place(name, _), secret }| volume(name, secret))
}

/// Where they are mounted.
pub(super) fn mounts(spec: &StoreReplicaSetSpec) -> impl Iterator<Item = VolumeMount> {
    mounted(spec).map(|Mounted { place: Place(name, path), .. }| mount(name, path))
}

fn mounted(spec: &StoreReplicaSetSpec) -> impl Iterator<Item = Mounted<'_>> {
    let upstream = upstream_tls::secrets(spec.primary.tls.as_ref());
    upstream.chain(follower_tls::secrets(spec.follower.tls.as_ref()))
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
