//! The custom resource `tidemark.dev/v1alpha1` StoreReplicaSet, as Rust types.
//!
//! Owns what a user may write, its defaults, bounds and rules; the schema users install is generated from here.
//! Must not hold behaviour: what the fields do is decided by the modules that read them.

#![expect(unreachable_pub, reason = "the derived schemas are made of hidden copies of these types")]

mod access;
mod charts;
mod crd;
mod follower;
mod health;
mod primary;
mod reference;
mod rollout;
mod service;
mod span;
mod status;
mod storage;
mod template;
mod tls;

pub use access::{DisruptionBudgetSpec, NetworkPolicySpec};
pub use charts::{crd_template, values_schema};
pub use crd::{crd, crd_yaml};
pub use follower::{ChainFormat, FollowerProtocol, FollowerSpec, PullPolicy, SyncMode};
pub use health::{HealthSpec, Mode};
pub use primary::PrimarySpec;
pub use reference::api_reference;
pub use rollout::RolloutSpec;
pub use service::{ExternalTrafficPolicy, IpFamilyPolicy, ServiceSpec, ServiceType, TrafficDistribution};
pub use span::Span;
pub use status::{Member, StoreReplicaSetStatus};
pub use storage::{EmptyDir, Retention, StorageSpec};
pub use template::PodTemplate;
pub use tls::{FollowerTls, PrimaryTls};

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// A fleet of followers of one primary store, kept provably fresh behind a Service.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "tidemark.dev",
    version = "v1alpha1",
    kind = "StoreReplicaSet",
    plural = "storereplicasets",
    shortname = "srs",
    namespaced,
    derive = "PartialEq",
    doc = "A fleet of read-only followers of one primary store, kept provably fresh behind a Service.",
    status = "StoreReplicaSetStatus",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Accepted, rolled out, and enough endpoints serve"
    ),
    printcolumn(
        name = "In-Sync",
        type_ = "integer",
        json_path = ".status.inSyncReplicas",
        description = "Replicas at most maxLagBlocks behind the fleet tip"
    ),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(
        name = "Tip",
        type_ = "integer",
        json_path = ".status.fleetTip",
        description = "Block number that lag is measured against"
    ),
    printcolumn(
        name = "Max-Lag",
        type_ = "integer",
        json_path = ".status.maxLag",
        description = "Most blocks that a replica is behind"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Serving",
        type_ = "integer",
        priority = 1,
        json_path = ".status.readyReplicas",
        description = "Endpoints of the read Service"
    ),
    printcolumn(
        name = "Allowed-Lag",
        type_ = "integer",
        priority = 1,
        json_path = ".spec.health.maxLagBlocks",
        description = "Blocks a replica may be behind before it is taken out"
    ),
    printcolumn(name = "Proven", type_ = "integer", priority = 1, json_path = ".status.provenTip"),
    printcolumn(name = "Primary", type_ = "string", priority = 1, json_path = ".spec.primary.url"),
    validation = Rule::new(
        "self.metadata.name.size() <= 50 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')"
    )
    .message(
        "metadata.name must be a DNS-1035 label of at most 50 characters (it names a Service): \
         start with a letter and use lower-case letters, digits and '-' only"
    ),
    validation = Rule::new(
        "!has(self.spec.fenced) || \
         self.spec.fenced.all(pod, pod.substring(0, pod.lastIndexOf('-')) == self.metadata.name)"
    )
    .message("spec.fenced must name pods of this set: metadata.name, '-' and the pod's ordinal, such as NAME-0"),
    validation = Rule::new("self.spec.follower.protocol != 'rpc-status' || !has(self.spec.primary.fallbackUrls)").message(
        "spec.primary.fallbackUrls has no effect with spec.follower.protocol rpc-status, whose image is told by \
         spec.follower.args alone: name other stores there, or remove it"
    ),
    validation = Rule::new("self.spec.follower.protocol != 'rpc-status' || !has(self.spec.networkPolicy.monitoring)").message(
        "spec.networkPolicy.monitoring has no effect with spec.follower.protocol rpc-status, whose metrics port is not \
         known here: remove it, and add a NetworkPolicy of your own"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct StoreReplicaSetSpec {
    /// How many followers to run.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: u32,

    /// The store that writes the chain, which the followers copy.
    pub primary: PrimarySpec,

    /// What each follower runs.
    pub follower: FollowerSpec,

    /// Where each follower keeps its copy.
    #[serde(default)]
    pub storage: StorageSpec,

    /// When a follower counts as fresh, and how that is found out.
    #[serde(default)]
    pub health: HealthSpec,

    /// The Service that readers use; it has the name of this object.
    #[serde(default)]
    pub service: ServiceSpec,

    /// Names of pods that are taken out of the Service, whatever their lag, for as long as they are listed here;
    /// unset: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 60)))]
    #[x_kube(validation = Rule::new("self.all(pod, pod.matches('^.+-[0-9]+$'))")
        .message("spec.fenced must name pods of this set: metadata.name, '-' and the pod's ordinal, such as NAME-0"))]
    pub fenced: Vec<String>,

    /// How pods are replaced.
    #[serde(default)]
    pub rollout: RolloutSpec,

    /// The PodDisruptionBudget; it has the name of this object.
    #[serde(default)]
    pub disruption_budget: DisruptionBudgetSpec,

    /// The NetworkPolicy; it has the name of this object.
    #[serde(default)]
    pub network_policy: NetworkPolicySpec,

    /// What else the pods get: labels, annotations and any field of a pod's spec.
    #[serde(default)]
    pub pod_template: PodTemplate,
}

impl StoreReplicaSetSpec {
    /// Whether followers have the admin port of Tidemark's own.
    pub fn has_admin_port(&self) -> bool {
        self.follower.protocol == FollowerProtocol::Tidemark
    }
}

/// Enough to lose one replica to a node and one to lag and still serve.
fn default_replicas() -> u32 {
    3
}
