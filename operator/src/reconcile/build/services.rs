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
    let asked = &set.spec.service;
    let mut metadata = super::meta(set, name.to_owned());
    metadata.annotations = Some(asked.annotations.clone());
    metadata.labels.get_or_insert_default().extend(asked.labels.clone());
    let spec = ServiceSpec {
        type_: Some(asked.type_.as_str().to_owned()),
        selector: Some(names::labels(name)),
        ports: Some(vec![ServicePort { node_port: asked.node_port.map(i32::from), ..rpc_port(set) }]),
        external_traffic_policy: asked.external_traffic_policy.map(|policy| policy.as_str().to_owned()),
        load_balancer_class: asked.load_balancer_class.clone(),
        load_balancer_source_ranges: super::some(asked.load_balancer_source_ranges.clone()),
        traffic_distribution: asked.traffic_distribution.map(|distribution| distribution.as_str().to_owned()),
        ip_family_policy: asked.ip_family_policy.map(|policy| policy.as_str().to_owned()),
        ..ServiceSpec::default()
    };
    Service { metadata, spec: Some(spec), status: None }
}

/// The headless Service that gives each pod a name, ready or not.
pub(super) fn peers(set: &StoreReplicaSet) -> Service {
    let name = super::set_name(set);
    let admin = set.spec.has_admin_port().then(|| port(ADMIN_PORT_NAME, ADMIN_PORT, "http"));
    let spec = ServiceSpec {
        cluster_ip: Some("None".to_owned()),
        publish_not_ready_addresses: Some(true),
        selector: Some(names::labels(name)),
        ports: Some(std::iter::once(rpc_port(set)).chain(admin).collect()),
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
