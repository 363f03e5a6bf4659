//! What the freshness path needs of a set, taken from its spec. Pure.

use std::time::Duration;

use tidemark_judge::{Genesis, Mode, PodName, Policy};

use super::{ask::Protocol, hashes, primary::PrimaryAt, secrets::TlsSecrets};
use crate::{
    aim::Aim,
    api::{self, FollowerProtocol, HealthSpec, PrimarySpec, StoreReplicaSet},
    over_tls::OverTls,
};

/// A set as the freshness path sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetSpec {
    /// `metadata.uid`: another set of the same name is another fleet.
    pub uid: String,
    /// The rules of judging.
    pub policy: Policy,
    /// The primary to ask for its tip; None when it is not observed, or refused.
    pub primary: Option<PrimaryAt>,
    /// How far apart it is asked: what the set may ask of it is also the operator's bound.
    pub primary_interval: Duration,
    /// The port on which followers serve.
    pub port: u16,
    /// What followers speak.
    pub protocol: Protocol,
    /// How pods that are made now are asked over TLS; None: without. Those that exist say by themselves how.
    pub tls: Option<TlsSecrets>,
    /// The genesis pinned in the status.
    pub pinned: Option<Genesis>,
}

impl FleetSpec {
    /// Reads a set. A set whose primary is refused is judged all the same, without asking that primary.
    pub fn of(set: &StoreReplicaSet, aim: &Aim) -> Self {
        let spec = &set.spec;
        let refused = aim.refusal(&spec.primary.url, set.metadata.namespace.as_deref()).is_some();
        let pinned = set.status.as_ref().and_then(|status| status.genesis.as_deref());
        Self {
            uid: set.metadata.uid.clone().unwrap_or_default(),
            policy: policy(set),
            primary: (spec.primary.observe && !refused)
                .then(|| primary_at(set.metadata.namespace.as_deref(), &spec.primary)),
            primary_interval: primary_interval(set),
            port: spec.follower.port,
            protocol: protocol(set),
            tls: OverTls::of(set).map(|over_tls| {
                TlsSecrets::of_followers(set.metadata.namespace.as_deref().unwrap_or_default(), over_tls)
            }),
            pinned: pinned.and_then(parse_genesis),
        }
    }
}

impl FleetSpec {
    /// The spec as one judges by it who stands by: he asks a tenth as often, and what he hears stays fresh as much longer.
    pub(super) fn standing_by(&self) -> Self {
        let mut spec = self.clone();
        spec.policy.poll_interval *= STANDBY_PACE;
        spec.primary_interval *= STANDBY_PACE;
        spec.policy.stale_after *= STANDBY_PACE;
        spec
    }
}

/// How many intervals of the leader's one of a standby's has.
const STANDBY_PACE: u32 = 10;

fn primary_at(namespace: Option<&str>, primary: &PrimarySpec) -> PrimaryAt {
    let url = seen_from(namespace, &primary.url);
    let named = primary.tls.clone().unwrap_or_default();
    let tls = url.starts_with("https://").then(|| TlsSecrets {
        field: "spec.primary.tls",
        namespace: namespace.unwrap_or_default().to_owned(),
        ca_secret: named.ca_secret,
        client_secret: named.client_secret,
        server_name: named.server_name,
    });
    PrimaryAt { url, tls }
}

fn primary_interval(set: &StoreReplicaSet) -> Duration {
    let rate = set.spec.primary.requests_per_second.max(1);
    set.spec.health.poll_interval.get().max(Duration::from_secs(1) / rate)
}

/// The address of what pods of `namespace` reach as `url`: to them a host without dots is a Service beside them.
fn seen_from(namespace: Option<&str>, url: &str) -> String {
    let url = url.trim_end_matches('/');
    let Ok(mut parsed) = url::Url::parse(url) else { return url.to_owned() };
    let (Some(url::Host::Domain(host)), Some(namespace)) = (parsed.host(), namespace) else {
        return url.to_owned();
    };
    if host.contains('.') || host == "localhost" {
        return url.to_owned();
    }
    let qualified = format!("{host}.{namespace}.svc");
    match parsed.set_host(Some(&qualified)) {
        Ok(()) => parsed.as_str().trim_end_matches('/').to_owned(),
        Err(_) => url.to_owned(),
    }
}

fn protocol(set: &StoreReplicaSet) -> Protocol {
    match set.spec.follower.protocol {
        FollowerProtocol::Tidemark => Protocol::Tidemark,
        FollowerProtocol::RpcStatus => Protocol::RpcStatus,
    }
}

fn policy(set: &StoreReplicaSet) -> Policy {
    let (spec, health) = (&set.spec, &set.spec.health);
    let dear = protocol(set) == Protocol::RpcStatus;
    Policy {
        replicas: spec.replicas,
        genesis: spec.primary.genesis.as_deref().and_then(parse_genesis),
        observe_primary: spec.primary.observe,
        upstream_reported: !dear,
        compare_every: if dear { hashes::EVERY } else { Duration::ZERO },
        fenced: spec.fenced.iter().map(|pod| PodName::from(pod.as_str())).collect(),
        ..health_policy(health)
    }
}

fn health_policy(health: &HealthSpec) -> Policy {
    Policy {
        max_lag: health.max_lag_blocks,
        readmit_lag: health.readmit_lag(),
        readmit_after: health.readmit_after,
        hard_max_lag: health.hard_max_lag_blocks,
        min_serving: health.min_serving,
        poll_interval: health.poll_interval.get(),
        stale_after: health.stale_after.get(),
        stall_after: health.stall_after.get(),
        forget_after: health.forget_after.get(),
        mode: match health.mode {
            api::Mode::Enforce => Mode::Enforce,
            api::Mode::Observe => Mode::Observe,
        },
        ..Policy::default()
    }
}

/// Reads `0x` and 64 hexadecimal digits.
pub(super) fn parse_genesis(text: &str) -> Option<Genesis> {
    let bytes = hex::decode(text.strip_prefix("0x")?).ok()?;
    Some(Genesis(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{Aim, FleetSpec, Protocol, seen_from};

    #[test]
    fn images_without_tidemark_report_no_upstream_and_are_compared_seldom() {
        let spec = |protocol: &str| {
            let set = json!({ "metadata": { "name": "a" }, "spec": {
                "primary": { "url": "http://p:1" }, "follower": { "image": "i", "protocol": protocol },
            } });
            FleetSpec::of(&serde_json::from_value(set).expect("a set"), &Aim::default())
        };
        let (ours, theirs) = (spec("tidemark"), spec("rpc-status"));
        assert_eq!((ours.protocol, theirs.protocol), (Protocol::Tidemark, Protocol::RpcStatus));
        assert!(ours.policy.upstream_reported && !theirs.policy.upstream_reported);
        assert_eq!(ours.policy.compare_every, Duration::ZERO);
        assert_eq!(theirs.policy.compare_every, Duration::from_secs(30));
    }

    #[test]
    fn what_the_set_may_ask_of_its_primary_bounds_the_operator_too() {
        let interval = |poll: &str, rate: u32| {
            let set = json!({ "metadata": { "name": "a" }, "spec": {
                "primary": { "url": "http://p:1", "requestsPerSecond": rate }, "follower": { "image": "i" },
                "health": { "pollInterval": poll },
            } });
            FleetSpec::of(&serde_json::from_value(set).expect("a set"), &Aim::default()).primary_interval
        };
        assert_eq!(interval("200ms", 4), Duration::from_millis(250));
        assert_eq!(interval("200ms", 5), Duration::from_millis(200));
        assert_eq!(interval("1s", 12), Duration::from_secs(1));
    }

    #[test]
    fn secrets_are_those_beside_the_set_and_http_needs_none() {
        let at = |primary: serde_json::Value| {
            super::primary_at(Some("shop"), &serde_json::from_value(primary).expect("a primary"))
        };
        assert_eq!(at(json!({ "url": "http://p.x:1" })).tls, None);
        let secure = at(json!({ "url": "https://p:1", "tls": { "caSecret": "ca", "serverName": "n" } }));
        let tls = secure.tls.expect("https");
        assert_eq!((secure.url.as_str(), tls.namespace.as_str()), ("https://p.shop.svc:1", "shop"));
        assert_eq!(
            (tls.ca_secret.as_deref(), tls.client_secret, tls.server_name.as_deref()),
            (Some("ca"), None, Some("n"))
        );
        assert!(at(json!({ "url": "https://p.x:1" })).tls.is_some());
    }

    #[test]
    fn a_service_beside_the_set_is_asked_there_and_not_beside_the_operator() {
        let check = |url: &str, expected: &str| assert_eq!(seen_from(Some("shop"), url), expected);
        check("http://primary:57291", "http://primary.shop.svc:57291");
        check("http://primary:57291/", "http://primary.shop.svc:57291");
        check("http://primary.other:57291", "http://primary.other:57291");
        check("http://primary.other.svc.cluster.local:1/", "http://primary.other.svc.cluster.local:1");
        check("http://10.0.0.1:57291", "http://10.0.0.1:57291");
        check("http://[fd00::1]:57291", "http://[fd00::1]:57291");
        check("http://localhost:1", "http://localhost:1");
    }
}
