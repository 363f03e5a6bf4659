//! The Services: one for readers, which follows readiness, and one for peers, which does not.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::{
    api::StoreReplicaSet,
    names::{self, ADMIN_PORT, ADMIN_PORT_NAME, RPC_PORT_NAME},
};

/// The Service of readers. It publishes ready pods only: that is what the gate works through.
pub(super) fn read(set: &StoreReplicaSet) -> Service {
    let name = super::set_name(set);
    let mut metadata = super::meta(set, name.to_owned());
    metadata.annotations = Some(set.spec.service.annotations.clone());
    let spec = ServiceSpec {
        type_: Some(set.spec.service.type_.as_str().to_owned()),
        selector: Some(names::labels(name)),
        ports: Some(vec![rpc_port(set)]),
        ..ServiceSpec::default()
    };
    Service { metadata, spec: Some(spec), status: None }
}

/// The headless Service that gives each pod a name, ready or not.
pub(super) fn peers(set: &StoreReplicaSet) -> Service {
    let name = super::set_name(set);
    let admin = port(ADMIN_PORT_NAME, ADMIN_PORT, "http");
    let spec = ServiceSpec {
        cluster_ip: Some("None".to_owned()),
        publish_not_ready_addresses: Some(true),
        selector: Some(names::labels(name)),
        ports: Some(vec![rpc_port(set), admin]),
        ..ServiceSpec::default()
    };
    Service { metadata: super::meta(set, names::peers_service(name)), spec: Some(spec), status: None }
}

fn rpc_port(set: &StoreReplicaSet) -> ServicePort {
    port(RPC_PORT_NAME, set.spec.follower.port, "kubernetes.io/h2c")
}

fn port(name: &str, port: u16, protocol: &str) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: port.into(),
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        app_protocol: Some(protocol.to_owned()),
        ..ServicePort::default()
    }
}
