//! Finds what the schema cannot: names that are taken, addresses nobody may be aimed at. Pure.

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::PodTemplateSpec};
use kube::Resource;

use super::{build, observe::Observed};
use crate::{aim::Aim, api::StoreReplicaSet};

/// What the operator's flags say of all sets.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Which primaries may be named.
    pub aim: Aim,
    /// The operator's own namespace; None: it runs outside of the cluster.
    pub namespace: Option<String>,
}

/// A set that may be built.
#[derive(Debug)]
pub(super) struct Valid<'a> {
    /// The set.
    pub set: &'a StoreReplicaSet,
    /// Its StatefulSet as found, or what remembers it.
    pub statefulset: Option<&'a StatefulSet>,
    /// The pods' template as the spec makes it now.
    pub template: PodTemplateSpec,
    /// The operator's own namespace.
    pub operator_namespace: Option<&'a str>,
}

/// Why a set is not accepted; only a change by its owner helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejection {
    /// A stable CamelCase name.
    pub reason: &'static str,
    /// What is wrong, and the way out.
    pub message: String,
}

/// Accepts a set or says why not.
///
/// # Errors
/// The first reason found.
pub(super) fn validate<'a>(
    set: &'a StoreReplicaSet,
    observed: &'a Observed,
    rules: &'a Rules,
) -> Result<Valid<'a>, Rejection> {
    names_are_free(set, observed)?;
    primaries(set, &rules.aim)?;
    environment(set)?;
    reachable(set, rules)?;
    Ok(Valid {
        set,
        template: build::template(set)?,
        statefulset: observed.recorded_on(),
        operator_namespace: rules.namespace.as_deref(),
    })
}

fn names_are_free(set: &StoreReplicaSet, observed: &Observed) -> Result<(), Rejection> {
    let uid = set.metadata.uid.as_deref();
    let Observed { account, peers, read, budget, policy, statefulset, memento: _ } = observed;
    free(uid, account.as_ref())?;
    free(uid, peers.as_ref())?;
    free(uid, read.as_ref())?;
    free(uid, budget.as_ref())?;
    free(uid, policy.as_ref())?;
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

fn primaries(set: &StoreReplicaSet, aim: &Aim) -> Result<(), Rejection> {
    let primary = &set.spec.primary;
    let urls = std::iter::once(("spec.primary.url", &primary.url))
        .chain(primary.fallback_urls.iter().map(|url| ("spec.primary.fallbackUrls", url)));
    for (field, url) in urls {
        if let Some(why) = aim.refusal(url, set.metadata.namespace.as_deref()) {
            let message = format!("{field} {url} {why}: name the primary's Service or address instead");
            return Err(Rejection { reason: "PrimaryRefused", message });
        }
    }
    Ok(())
}

/// A policy that narrows readers must name the operator beside them, or every follower would fall silent.
fn reachable(set: &StoreReplicaSet, rules: &Rules) -> Result<(), Rejection> {
    let policy = &set.spec.network_policy;
    if !policy.create || policy.readers.is_empty() || rules.namespace.is_some() {
        return Ok(());
    }
    let message = "spec.networkPolicy.readers would keep the operator out too, which does not know its own namespace: \
                   start it with --pod-namespace, or remove readers";
    Err(Rejection { reason: "OperatorNamespaceUnknown", message: message.to_owned() })
}

fn environment(set: &StoreReplicaSet) -> Result<(), Rejection> {
    let mut env = set.spec.follower.env.iter();
    let Some(taken) = env.find(|variable| build::RESERVED_ENV.contains(&variable.name.as_str())) else {
        return Ok(());
    };
    let message = format!("spec.follower.env sets {}, which the operator sets: remove it", taken.name);
    Err(Rejection { reason: "ReservedEnvironment", message })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::{Value, json};

    use super::{Observed, Rejection, Rules, validate};
    use crate::api::StoreReplicaSet;

    fn set(primary: &str, env: Value) -> StoreReplicaSet {
        let set = json!({
            "metadata": { "name": "a", "namespace": "n", "uid": "ours" },
            "spec": { "primary": { "url": primary }, "follower": { "image": "i", "env": env } },
        });
        serde_json::from_value(set).expect("a set")
    }

    fn check(set: &StoreReplicaSet, observed: &Observed) -> Option<Rejection> {
        validate(set, observed, &Rules::default()).err()
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
    fn readers_are_not_narrowed_by_an_operator_that_would_shut_itself_out() {
        let mut set = set("http://primary:1", json!([]));
        let readers = json!([{ "podSelector": {} }]);
        set.spec.network_policy.readers = serde_json::from_value(readers).expect("readers");
        assert_eq!(
            check(&set, &Observed::default()).expect("a rejection").reason,
            "OperatorNamespaceUnknown"
        );
        let rules = Rules { namespace: Some("system".to_owned()), ..Rules::default() };
        assert!(validate(&set, &Observed::default(), &rules).is_ok());
        set.spec.network_policy.create = false;
        assert_eq!(check(&set, &Observed::default()), None);
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
