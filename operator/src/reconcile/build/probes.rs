//! Kubelet's probes. They say only that the process serves; lag is never in one, since nothing could overrule a probe.

use k8s_openapi::{
    api::core::v1::{HTTPGetAction, Probe, TCPSocketAction},
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::{
    api::FollowerProtocol,
    names::{ADMIN_PORT_NAME, RPC_PORT_NAME},
};

/// The three probes of a container.
pub(super) struct Probes {
    pub(super) startup: Probe,
    pub(super) liveness: Probe,
    pub(super) readiness: Probe,
}

/// Opening a large store takes its time: five minutes, before which nothing else is asked.
pub(super) fn probes(protocol: FollowerProtocol) -> Probes {
    Probes {
        startup: probe(protocol, "/livez", 1, 300),
        liveness: probe(protocol, "/livez", 10, 3),
        readiness: probe(protocol, "/readyz", 2, 3),
    }
}

fn probe(protocol: FollowerProtocol, path: &str, period_seconds: i32, failures: i32) -> Probe {
    let asks = match protocol {
        FollowerProtocol::Tidemark => Probe { http_get: Some(get(path)), ..Probe::default() },
        FollowerProtocol::RpcStatus => Probe { tcp_socket: Some(connect()), ..Probe::default() },
    };
    Probe {
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(2),
        failure_threshold: Some(failures),
        ..asks
    }
}

fn get(path: &str) -> HTTPGetAction {
    HTTPGetAction {
        path: Some(path.to_owned()),
        port: IntOrString::String(ADMIN_PORT_NAME.to_owned()),
        scheme: Some("HTTP".to_owned()),
        ..HTTPGetAction::default()
    }
}

/// All that is known of another image is the port it serves on.
fn connect() -> TCPSocketAction {
    TCPSocketAction { port: IntOrString::String(RPC_PORT_NAME.to_owned()), ..TCPSocketAction::default() }
}
