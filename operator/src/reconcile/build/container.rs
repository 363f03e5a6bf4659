//! The container `follower`.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, ObjectFieldSelector, SecurityContext,
    VolumeMount,
};

use super::{ending, follower_tls, probes::probes, secret_files, share::share, upstream_tls};
use crate::{
    api::{FollowerProtocol, StoreReplicaSet, StoreReplicaSetSpec},
    names::{ADMIN_PORT, ADMIN_PORT_NAME, CONTAINER, RPC_PORT_NAME, VOLUME},
};

const DATA_DIR: &str = "/data";

/// Environment variables that the operator sets.
pub(in crate::reconcile) const RESERVED_ENV: [&str; 6] =
    ["POD_UID", "POD_NAME", "POD_IP", "UPSTREAM_URL", "DATA_DIR", "TIDEMARK_VOLUME_SIZE"];

pub(super) fn container(set: &StoreReplicaSet) -> Container {
    let follower = &set.spec.follower;
    let probes = probes(follower.protocol);
    Container {
        name: CONTAINER.to_owned(),
        image: Some(follower.image.clone()),
        image_pull_policy: Some(follower.image_pull_policy.as_str().to_owned()),
        args: super::some(args(&set.spec)),
        env: Some(env(&set.spec)),
        ports: Some(ports(&set.spec)),
        resources: Some(follower.resources.clone()),
        security_context: Some(security(follower.protocol)),
        startup_probe: Some(probes.startup),
        liveness_probe: Some(probes.liveness),
        readiness_probe: Some(probes.readiness),
        lifecycle: ending::lifecycle(set),
        volume_mounts: Some(mounts(&set.spec)),
        ..Container::default()
    }
}

/// Ours are flags of Tidemark's own follower; another image gets the user's alone.
fn args(spec: &StoreReplicaSetSpec) -> Vec<String> {
    let ours = match spec.follower.protocol {
        FollowerProtocol::Tidemark => flags(spec),
        FollowerProtocol::RpcStatus => Vec::new(),
    };
    ours.into_iter().chain(spec.follower.args.iter().cloned()).collect()
}

fn flags(spec: &StoreReplicaSetSpec) -> Vec<String> {
    let (primary, follower) = (&spec.primary, &spec.follower);
    let upstreams = std::iter::once(&primary.url).chain(&primary.fallback_urls);
    let upstreams = upstreams.map(|url| format!("--upstream={}", url.trim_end_matches('/')));
    let ours = [
        format!("--data-dir={DATA_DIR}"),
        format!("--listen=[::]:{}", follower.port),
        format!("--admin-listen=[::]:{ADMIN_PORT}"),
        format!("--format={}", follower.format.as_str()),
        format!("--sync={}", follower.sync.as_str()),
        format!("--requests-per-second={}", share(spec)),
        format!("--shutdown-delay={}", follower.shutdown_delay),
    ];
    let genesis = primary.genesis.iter().map(|genesis| format!("--genesis={genesis}"));
    let first = std::iter::once("follow".to_owned());
    let upstream_tls = upstream_tls::args(primary.tls.as_ref());
    let tls = follower_tls::args(follower.tls.as_ref());
    first.chain(upstreams).chain(upstream_tls).chain(ours).chain(tls).chain(genesis).collect()
}

fn env(spec: &StoreReplicaSetSpec) -> Vec<EnvVar> {
    let fields = [("POD_UID", "metadata.uid"), ("POD_NAME", "metadata.name"), ("POD_IP", "status.podIP")];
    let fields = fields.map(|(name, path)| from_field(name, path));
    let values = [("UPSTREAM_URL", spec.primary.url.trim_end_matches('/')), ("DATA_DIR", DATA_DIR)];
    let values = values.map(|(name, value)| with_value(name, value));
    let size = volume_size(spec).map(|size| with_value("TIDEMARK_VOLUME_SIZE", size));
    fields.into_iter().chain(values).chain(size).chain(spec.follower.env.iter().cloned()).collect()
}

/// What the volume may hold, which its file system does not always know: a directory of the node shows all of its disk.
/// Only a whole number of bytes with one suffix, which is all that followers read.
fn volume_size(spec: &StoreReplicaSetSpec) -> Option<&str> {
    let size = match &spec.storage.empty_dir {
        Some(empty) => empty.size_limit.as_deref(),
        None => spec.storage.size.as_deref(),
    };
    size.filter(|size| {
        let suffix = size.trim_start_matches(|c: char| c.is_ascii_digit());
        suffix != *size && ["", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"].contains(&suffix)
    })
}

fn with_value(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn from_field(name: &str, path: &str) -> EnvVar {
    let field = ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: path.to_owned() };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value: None, value_from: Some(source) }
}

fn ports(spec: &StoreReplicaSetSpec) -> Vec<ContainerPort> {
    let admin = spec.has_admin_port().then(|| port(ADMIN_PORT_NAME, ADMIN_PORT));
    std::iter::once(port(RPC_PORT_NAME, spec.follower.port)).chain(admin).collect()
}

fn port(name: &str, port: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: port.into(),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn mounts(spec: &StoreReplicaSetSpec) -> Vec<VolumeMount> {
    let data =
        VolumeMount { name: VOLUME.to_owned(), mount_path: DATA_DIR.to_owned(), ..VolumeMount::default() };
    std::iter::once(data).chain(secret_files::mounts(spec)).collect()
}

/// As restricted as pods can be. Of another image it is not known that it writes to its volume alone.
fn security(protocol: FollowerProtocol) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: (protocol == FollowerProtocol::Tidemark).then_some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..SecurityContext::default()
    }
}
