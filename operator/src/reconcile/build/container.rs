//! The container `follower`.

use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction, ObjectFieldSelector,
        Probe, SecurityContext, VolumeMount,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::{
    api::{StoreReplicaSet, StoreReplicaSetSpec},
    names::{ADMIN_PORT, ADMIN_PORT_NAME, CONTAINER, RPC_PORT_NAME, VOLUME},
};

const DATA_DIR: &str = "/data";

pub(super) fn container(set: &StoreReplicaSet) -> Container {
    let follower = &set.spec.follower;
    Container {
        name: CONTAINER.to_owned(),
        image: Some(follower.image.clone()),
        image_pull_policy: Some(follower.image_pull_policy.as_str().to_owned()),
        args: Some(args(&set.spec)),
        env: Some(env(&set.spec)),
        ports: Some(vec![port(RPC_PORT_NAME, follower.port), port(ADMIN_PORT_NAME, ADMIN_PORT)]),
        resources: Some(follower.resources.clone()),
        security_context: Some(security()),
        // Opening a large store takes its time: five minutes, before which nothing else is asked.
        startup_probe: Some(probe("/livez", 1, 300)),
        liveness_probe: Some(probe("/livez", 10, 3)),
        readiness_probe: Some(probe("/readyz", 2, 3)),
        volume_mounts: Some(vec![VolumeMount {
            name: VOLUME.to_owned(),
            mount_path: DATA_DIR.to_owned(),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    }
}

fn args(spec: &StoreReplicaSetSpec) -> Vec<String> {
    let upstreams = std::iter::once(&spec.primary.url).chain(&spec.primary.fallback_urls);
    let upstreams = upstreams.map(|url| format!("--upstream={}", url.trim_end_matches('/')));
    let ours = [
        format!("--data-dir={DATA_DIR}"),
        format!("--listen=[::]:{}", spec.follower.port),
        format!("--admin-listen=[::]:{ADMIN_PORT}"),
        format!("--format={}", spec.follower.format.as_str()),
        format!("--sync={}", spec.follower.sync.as_str()),
    ];
    let genesis = spec.primary.genesis.iter().map(|genesis| format!("--genesis={genesis}"));
    let first = std::iter::once("follow".to_owned());
    first.chain(upstreams).chain(ours).chain(genesis).chain(spec.follower.args.iter().cloned()).collect()
}

fn env(spec: &StoreReplicaSetSpec) -> Vec<EnvVar> {
    let ours = [("POD_UID", "metadata.uid"), ("POD_NAME", "metadata.name"), ("POD_IP", "status.podIP")];
    let ours = ours.map(|(name, path)| from_field(name, path));
    ours.into_iter().chain(volume_size(spec)).chain(spec.follower.env.iter().cloned()).collect()
}

/// What the volume may hold, which its file system does not always know: a directory of the node shows all of its disk.
/// Only a whole number of bytes with one suffix, which is all that followers read.
fn volume_size(spec: &StoreReplicaSetSpec) -> Option<EnvVar> {
    let size = match &spec.storage.empty_dir {
        Some(empty) => empty.size_limit.as_ref(),
        None => spec.storage.size.as_ref(),
    };
    let size = size.filter(|size| {
        let suffix = size.trim_start_matches(|c: char| c.is_ascii_digit());
        suffix != *size && ["", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"].contains(&suffix)
    })?;
    Some(EnvVar { name: "TIDEMARK_VOLUME_SIZE".to_owned(), value: Some(size.clone()), value_from: None })
}

fn from_field(name: &str, path: &str) -> EnvVar {
    let field = ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: path.to_owned() };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value: None, value_from: Some(source) }
}

fn port(name: &str, port: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: port.into(),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

/// A probe says only that the process serves; lag is never in it, since nothing could overrule a probe.
fn probe(path: &str, period_seconds: i32, failures: i32) -> Probe {
    let get = HTTPGetAction {
        path: Some(path.to_owned()),
        port: IntOrString::String(ADMIN_PORT_NAME.to_owned()),
        scheme: Some("HTTP".to_owned()),
        ..HTTPGetAction::default()
    };
    Probe {
        http_get: Some(get),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(2),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..SecurityContext::default()
    }
}
