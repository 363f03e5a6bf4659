//! Names the operator gives: labels, objects, ports, the gate. Everything else reads them here.

use std::collections::BTreeMap;

use kube::ResourceExt as _;

use crate::api::StoreReplicaSet;

/// The pod condition by which a follower is let into the Service or kept out of it.
pub const GATE: &str = "tidemark.dev/in-sync";
/// Under which name fields are applied.
pub const FIELD_MANAGER: &str = "tidemark-operator";
/// The annotation of a set by which its pods are made anew whenever its value changes.
pub const RESTARTED_AT: &str = "tidemark.dev/restartedAt";
/// The container that follows.
pub const CONTAINER: &str = "follower";
/// The port of the chain, by name.
pub const RPC_PORT_NAME: &str = "rpc";
/// The port of probes and metrics, by name.
pub const ADMIN_PORT_NAME: &str = "admin";
/// The port of probes and metrics.
pub const ADMIN_PORT: u16 = 57292;
/// The volume of the chain.
pub const VOLUME: &str = "data";
/// Selects everything this operator makes.
pub const MANAGED_BY_SELECTOR: &str = "app.kubernetes.io/managed-by=tidemark-operator";
/// The label that holds the name of the set.
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";
/// The annotation by which a pod is to be made anew on an empty volume.
pub const REBUILD: &str = "tidemark.dev/rebuild";
/// The label in which the StatefulSet's controller says from which revision of the template a pod was made.
pub const REVISION_LABEL: &str = "controller-revision-hash";
/// The annotation in which a pod says how it is asked over TLS; without it, it is asked without.
pub const FOLLOWER_TLS: &str = "tidemark.dev/follower-tls";
/// The annotation of a set with which its owner stops reconciling, and never judging: `"true"`.
pub const PAUSED: &str = "tidemark.dev/paused";

const NAME_LABEL: &str = "app.kubernetes.io/name";
const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// A set by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl SetKey {
    /// The key of a set.
    pub fn of(set: &StoreReplicaSet) -> Self {
        Self { namespace: set.namespace().unwrap_or_default(), name: set.name_any() }
    }
}

impl std::fmt::Display for SetKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.namespace, self.name)
    }
}

/// Whether the owner of a set wants nothing of it written but status and gates.
pub fn is_paused(set: &StoreReplicaSet) -> bool {
    set.annotations().get(PAUSED).is_some_and(|paused| paused == "true")
}

/// The labels of everything that belongs to the set `name`, by which its pods are selected.
pub fn labels(name: &str) -> BTreeMap<String, String> {
    [(NAME_LABEL, "tidemark-follower"), (INSTANCE_LABEL, name), (MANAGED_BY_LABEL, FIELD_MANAGER)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The same labels as a selector's text.
pub fn selector(name: &str) -> String {
    let labels = labels(name).into_iter().map(|(key, value)| format!("{key}={value}"));
    labels.collect::<Vec<_>>().join(",")
}

/// The ordinal of a pod of the set `name`.
pub(crate) fn ordinal(name: &str, pod: &str) -> Option<u32> {
    pod.strip_prefix(name)?.strip_prefix('-')?.parse().ok()
}

/// The headless Service through which followers find each other.
pub fn peers_service(name: &str) -> String {
    format!("{name}-peers")
}
