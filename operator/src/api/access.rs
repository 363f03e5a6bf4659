//! `spec.disruptionBudget` and `spec.networkPolicy`: who may evict the pods, and who may reach them.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The PodDisruptionBudget, by which drains take one serving replica at a time.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DisruptionBudgetSpec {
    /// Whether there is one.
    #[serde(default = "yes")]
    pub create: bool,
}

/// The NetworkPolicy of the pods: readers and peers reach the chain's port, the operator's namespace that and the admin
/// port, and nobody else anything.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.create || (!has(self.readers) && !has(self.monitoring))")
        .message("spec.networkPolicy.readers and monitoring have no effect while create is false: remove them, or set create to true")
)]
pub struct NetworkPolicySpec {
    /// Whether there is one.
    #[serde(default = "yes")]
    pub create: bool,

    /// Who may read, beside the fleet's own pods and the operator's namespace; unset: everybody who reaches the pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub readers: Vec<NetworkPolicyPeer>,

    /// Who may scrape the admin port's metrics, beside the operator's namespace; unset: nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub monitoring: Vec<NetworkPolicyPeer>,
}

fn yes() -> bool {
    true
}

impl Default for DisruptionBudgetSpec {
    fn default() -> Self {
        Self { create: true }
    }
}

impl Default for NetworkPolicySpec {
    fn default() -> Self {
        Self { create: true, readers: Vec::new(), monitoring: Vec::new() }
    }
}
