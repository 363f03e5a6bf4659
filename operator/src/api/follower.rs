//! `spec.follower`: what each follower runs.

use k8s_openapi::api::core::v1::{EnvVar, LocalObjectReference, ResourceRequirements};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The follower's container.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.port == oldSelf.port")
        .message("spec.follower.port is immutable, since readers and peers hold it: create another StoreReplicaSet"),
    validation = Rule::new("self.format == oldSelf.format")
        .message("spec.follower.format is immutable, since the volumes hold it: create another StoreReplicaSet")
)]
pub struct FollowerSpec {
    /// The image, with tag or digest. There is no default.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[^ \\t\\n]+$')")
        .message("spec.follower.image must name a container image, such as tidemark.local/tidemark-follower:0.1.0"))]
    pub image: String,

    /// When kubelet pulls the image.
    #[serde(default)]
    pub image_pull_policy: PullPolicy,

    /// Secrets of this namespace that hold credentials for the image's registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,

    /// The port on which followers serve the chain, in the pods and in the Services. Immutable.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1024, max = 65535))]
    #[x_kube(validation = Rule::new("self != 57292")
        .message("spec.follower.port must not be 57292, where followers serve probes and metrics: choose another port"))]
    pub port: u16,

    /// How blocks are fetched: by polling, by subscription, or by whichever the upstream offers.
    #[serde(default)]
    pub sync: SyncMode,

    /// What a block is. Immutable.
    #[serde(default)]
    pub format: ChainFormat,

    /// Arguments after those of the operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    #[x_kube(validation = Rule::new("self.all(arg, !arg.matches('^--(upstream|data-dir|listen|admin-listen|format|sync|genesis)(=.*)?$'))")
        .message("spec.follower.args must not repeat what the operator sets: use spec.primary.url, spec.primary.fallbackUrls, \
                  spec.primary.genesis, spec.follower.port, spec.follower.format and spec.follower.sync instead; \
                  --data-dir and --admin-listen cannot be changed"))]
    pub args: Vec<String>,

    /// Environment variables after those of the operator (POD_UID, POD_NAME, POD_IP).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub env: Vec<EnvVar>,

    /// What the container asks for and may use.
    #[serde(default)]
    pub resources: ResourceRequirements,
}

/// The port of the follower when none is chosen.
fn default_port() -> u16 {
    57291
}

/// When kubelet pulls an image.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Before every start.
    Always,
    /// Only when the node does not hold it.
    #[default]
    IfNotPresent,
    /// Not at all: the node must hold it.
    Never,
}

impl PullPolicy {
    /// The name Kubernetes uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// How a follower fetches blocks.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncMode {
    /// By subscription if the upstream offers it, else by polling.
    #[default]
    Auto,
    /// By polling only.
    Poll,
    /// By subscription only.
    Subscribe,
}

impl SyncMode {
    /// The value of the follower's flag `--sync`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Poll => "poll",
            Self::Subscribe => "subscribe",
        }
    }
}

/// What a block is.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChainFormat {
    /// Tidemark's own chain, in which each block names its parent's hash.
    Native,
    /// Any bytes: a block's number is the position it was asked for at.
    #[default]
    Opaque,
    /// The Miden chain, protocol version 0.15: signature, body and the whole chain before each block are checked.
    Miden,
}

impl ChainFormat {
    /// The value of the follower's flag `--format`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Opaque => "opaque",
            Self::Miden => "miden",
        }
    }
}
