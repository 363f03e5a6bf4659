//! `spec.storage`: where each follower keeps its copy.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The volume of each follower: a claim of its own (`size`), or space on the node that goes with the pod (`emptyDir`).
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.size) != has(self.emptyDir)")
        .message("spec.storage needs exactly one of size (a volume claim for each follower) and emptyDir (space that goes with the pod)"),
    validation = Rule::new("!has(self.emptyDir) || !has(self.storageClassName)")
        .message("spec.storage.storageClassName has no effect with spec.storage.emptyDir: remove one of them"),
    validation = Rule::new("has(self.emptyDir) == has(oldSelf.emptyDir)")
        .message("spec.storage cannot change between size and emptyDir: create another StoreReplicaSet"),
    validation = Rule::new("!has(self.size) || !has(oldSelf.size) || !isQuantity(self.size) || \
            quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0")
        .message("spec.storage.size may grow and never shrink: keep it, or create another StoreReplicaSet"),
    validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && \
            (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)")
        .message("spec.storage.storageClassName is immutable: create another StoreReplicaSet")
)]
pub struct StorageSpec {
    /// Size of each follower's volume claim, such as 10Gi. It may grow and never shrink; unset: emptyDir
    /// is used instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))")
        .message("spec.storage.size must be a quantity above 0, such as 10Gi"))]
    pub size: Option<String>,

    /// Storage class of the claims; unset: the cluster's default. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
        .message("spec.storage.storageClassName must be the name of a StorageClass: lower-case letters, digits, '-' and '.'"))]
    pub storage_class_name: Option<String>,

    /// What becomes of the claims when the set shrinks or is deleted: they stay, and a follower of the same name finds its
    /// copy again (Retain), or they go with their follower (Delete).
    #[serde(default)]
    pub retention: Retention,

    /// Keep the copy on the node, in space that goes with the pod; unset: in a claim of `size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDir>,
}

/// Space on the node.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EmptyDir {
    /// The most it may hold before kubelet evicts the pod, such as 10Gi; unset: what the node has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))")
        .message("spec.storage.emptyDir.sizeLimit must be a quantity above 0, such as 10Gi"))]
    pub size_limit: Option<String>,
}

/// What becomes of volume claims whose follower is gone for good.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Retention {
    /// They stay, and a follower of the same name finds its copy again.
    #[default]
    Retain,
    /// They are deleted with their follower.
    Delete,
}

impl Retention {
    /// The name Kubernetes uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retain => "Retain",
            Self::Delete => "Delete",
        }
    }
}

impl Default for StorageSpec {
    fn default() -> Self {
        Self {
            size: Some("10Gi".to_owned()),
            storage_class_name: None,
            retention: Retention::default(),
            empty_dir: None,
        }
    }
}
