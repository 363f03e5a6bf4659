//! What the freshness path needs of a set, taken from its spec. Pure.

use tidemark_judge::{Genesis, Mode, PodName, Policy};

use crate::{
    aim::Aim,
    api::{self, HealthSpec, StoreReplicaSet},
};

/// A set as the freshness path sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetSpec {
    /// `metadata.uid`: another set of the same name is another fleet.
    pub uid: String,
    /// The rules of judging.
    pub policy: Policy,
    /// The primary to ask for its tip; None when it is not observed, or refused.
    pub primary: Option<String>,
    /// The port on which followers serve.
    pub port: u16,
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
                .then(|| seen_from(set.metadata.namespace.as_deref(), &spec.primary.url)),
            port: spec.follower.port,
            pinned: pinned.and_then(parse_genesis),
        }
    }
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

fn policy(set: &StoreReplicaSet) -> Policy {
    let (spec, health) = (&set.spec, &set.spec.health);
    Policy {
        replicas: spec.replicas,
        genesis: spec.primary.genesis.as_deref().and_then(parse_genesis),
        observe_primary: spec.primary.observe,
        upstream_reported: true,
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
    use super::seen_from;

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
