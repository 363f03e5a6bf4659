//! Finds what the schema cannot: names that are taken, addresses nobody may be aimed at. Pure.

use std::net::IpAddr;

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Resource;

use super::observe::Observed;
use crate::api::StoreReplicaSet;

/// What the operator's flags allow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Accept primaries at loopback and link-local addresses.
    pub allow_loopback: bool,
}

/// A set that may be built.
#[derive(Debug)]
pub(super) struct Valid<'a> {
    /// The set.
    pub set: &'a StoreReplicaSet,
    /// Its StatefulSet as found, or what remembers it.
    pub statefulset: Option<&'a StatefulSet>,
}

/// Why a set is not accepted; only a change by its owner helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejection {
    /// A stable CamelCase name.
    pub reason: &'static str,
    /// What is wrong, and the way out.
    pub message: String,
}

/// Environment variables that the operator sets.
const RESERVED: [&str; 3] = ["POD_UID", "POD_NAME", "POD_IP"];

/// Accepts a set or says why not.
///
/// # Errors
/// The first reason found.
pub(super) fn validate<'a>(
    set: &'a StoreReplicaSet,
    observed: &'a Observed,
    rules: Rules,
) -> Result<Valid<'a>, Rejection> {
    names_are_free(set, observed)?;
    primaries(set, rules)?;
    environment(set)?;
    Ok(Valid { set, statefulset: observed.recorded_on() })
}

fn names_are_free(set: &StoreReplicaSet, observed: &Observed) -> Result<(), Rejection> {
    let uid = set.metadata.uid.as_deref();
    let Observed { account, peers, read, budget, statefulset, memento: _ } = observed;
    free(uid, account.as_ref())?;
    free(uid, peers.as_ref())?;
    free(uid, read.as_ref())?;
    free(uid, budget.as_ref())?;
    free(uid, statefulset.as_ref())
}

fn free<K: Resource<DynamicType = ()>>(uid: Option<&str>, found: Option<&K>) -> Result<(), Rejection> {
    let Some(found) = found.filter(|found| !controlled_by(*found, uid)) else { return Ok(()) };
    let (kind, name) = (K::kind(&()), found.meta().name.as_deref().unwrap_or_default());
    let message = format!(
        "{kind} {name} exists and does not belong to this StoreReplicaSet, so it is left alone: \
         delete or rename it, or give this StoreReplicaSet another name"
    );
    Err(Rejection { reason: "NameConflict", message })
}

/// Whether the set with this UID, and nothing else, controls the object.
pub(super) fn controlled_by<K: Resource>(object: &K, uid: Option<&str>) -> bool {
    let owners = object.meta().owner_references.iter().flatten();
    let controller =
        owners.filter(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str()).next();
    uid.is_some() && controller == uid
}

fn primaries(set: &StoreReplicaSet, rules: Rules) -> Result<(), Rejection> {
    let primary = &set.spec.primary;
    let urls = std::iter::once(("spec.primary.url", &primary.url))
        .chain(primary.fallback_urls.iter().map(|url| ("spec.primary.fallbackUrls", url)));
    for (field, url) in urls {
        if let Some(why) = primary_refusal(url, rules.allow_loopback) {
            let message = format!("{field} {url} {why}: name the primary's Service or address instead");
            return Err(Rejection { reason: "PrimaryRefused", message });
        }
    }
    Ok(())
}

/// Why the operator may not be aimed at this address; None when it may.
pub fn primary_refusal(url: &str, allow_loopback: bool) -> Option<&'static str> {
    let Ok(url) = url::Url::parse(url) else { return Some("is no URL") };
    if url.port_or_known_default().is_none_or(|port| port == 0) {
        return Some("has no port that can be connected to");
    }
    let local = match url.host() {
        Some(url::Host::Domain(name)) => is_local_name(name),
        Some(url::Host::Ipv4(address)) => is_local(IpAddr::V4(address)),
        Some(url::Host::Ipv6(address)) => is_local(address.to_canonical()),
        None => return Some("names no host"),
    };
    (local && !allow_loopback)
        .then_some("is a loopback or link-local address, which names each pod's or node's own self")
}

fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}

fn environment(set: &StoreReplicaSet) -> Result<(), Rejection> {
    let mut env = set.spec.follower.env.iter();
    let Some(taken) = env.find(|variable| RESERVED.contains(&variable.name.as_str())) else { return Ok(()) };
    let message = format!("spec.follower.env sets {}, which the operator sets: remove it", taken.name);
    Err(Rejection { reason: "ReservedEnvironment", message })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::{Value, json};

    use super::{Observed, Rejection, Rules, primary_refusal, validate};
    use crate::api::StoreReplicaSet;

    fn set(primary: &str, env: Value) -> StoreReplicaSet {
        let set = json!({
            "metadata": { "name": "a", "namespace": "n", "uid": "ours" },
            "spec": { "primary": { "url": primary }, "follower": { "image": "i", "env": env } },
        });
        serde_json::from_value(set).expect("a set")
    }

    fn check(set: &StoreReplicaSet, observed: &Observed) -> Option<Rejection> {
        validate(set, observed, Rules::default()).err()
    }

    fn owned_by(uid: &str, controller: bool) -> Observed {
        let service = json!({ "metadata": { "name": "a", "ownerReferences": [
            { "apiVersion": "v", "kind": "k", "name": "a", "uid": uid, "controller": controller }
        ] } });
        let read: Service = serde_json::from_value(service).expect("a Service");
        Observed { read: Some(read), ..Observed::default() }
    }

    #[test]
    fn an_object_of_our_name_is_ours_only_if_this_very_set_controls_it() {
        let set = set("http://primary:1", json!([]));
        assert_eq!(check(&set, &owned_by("ours", true)), None);
        for foreign in [owned_by("ours", false), owned_by("an earlier set's", true)] {
            let rejection = check(&set, &foreign).expect("a rejection");
            assert_eq!(rejection.reason, "NameConflict");
            assert!(rejection.message.starts_with("Service a exists"), "{}", rejection.message);
        }
        let unowned = Observed {
            read: Some(Service { metadata: Default::default(), spec: None, status: None }),
            ..Observed::default()
        };
        assert_eq!(check(&set, &unowned).expect("a rejection").reason, "NameConflict");
    }

    #[test]
    fn local_addresses_in_every_spelling_are_refused() {
        let local = [
            "http://127.0.0.1:1",
            "http://127.9.9.9:1",
            "http://2130706433:1",
            "http://0x7f.1:1",
            "http://[::1]:1",
            "http://[::ffff:127.0.0.1]:1",
            "http://0.0.0.0:1",
            "http://[::]:1",
            "http://169.254.169.254:80",
            "http://[fe80::1]:1",
            "http://localhost:1",
            "http://LOCALHOST.:1",
            "http://a.localhost:1",
        ];
        for url in local {
            assert!(primary_refusal(url, false).is_some(), "{url}");
            assert!(primary_refusal(url, true).is_none(), "{url}");
        }
        for url in
            ["http://primary:57291", "http://10.0.0.1:1", "http://[fd00::1]:1", "http://localhost.example:1"]
        {
            assert!(primary_refusal(url, false).is_none(), "{url}");
        }
        for url in ["http://:1", "http://primary:99999", "http://primary:0"] {
            assert!(primary_refusal(url, true).is_some(), "{url}");
        }
    }

    #[test]
    fn a_refused_primary_and_a_reserved_variable_are_named() {
        let refused =
            check(&set("http://127.0.0.1:1", json!([])), &Observed::default()).expect("a rejection");
        assert_eq!(refused.reason, "PrimaryRefused");
        assert!(refused.message.contains("spec.primary.url http://127.0.0.1:1"), "{}", refused.message);
        let env = json!([{ "name": "POD_UID", "value": "x" }]);
        let reserved = check(&set("http://primary:1", env), &Observed::default()).expect("a rejection");
        assert_eq!(reserved.reason, "ReservedEnvironment");
        assert!(reserved.message.contains("POD_UID"), "{}", reserved.message);
    }
}
