//! `spec.follower`: what each follower runs.

use k8s_openapi::api::core::v1::{EnvVar, LocalObjectReference, ResourceRequirements};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FollowerTls, Span};

/// The follower's container.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.port == oldSelf.port")
        .message("spec.follower.port is immutable, since readers and peers hold it: create another StoreReplicaSet"),
    validation = Rule::new("self.format == oldSelf.format")
        .message("spec.follower.format is immutable, since the volumes hold it: create another StoreReplicaSet"),
    validation = Rule::new("self.protocol == oldSelf.protocol")
        .message("spec.follower.protocol is immutable, since the volumes hold what such an image wrote: create another StoreReplicaSet"),
    validation = Rule::new("self.protocol != 'rpc-status' || self.sync == 'auto'")
        .message("spec.follower.sync has no meaning with spec.follower.protocol rpc-status, whose image is told by spec.follower.args alone: remove sync"),
    validation = Rule::new("self.protocol != 'rpc-status' || self.format == 'opaque'")
        .message("spec.follower.format has no meaning with spec.follower.protocol rpc-status, whose image knows its own chain: remove format"),
    validation = Rule::new("self.protocol == 'rpc-status' || self.port != 57292")
        .message("spec.follower.port must not be 57292, where followers serve probes and metrics: choose another port"),
    validation = Rule::new("self.protocol == 'rpc-status' || !has(self.args) || \
            self.args.all(arg, !arg.matches('^--(upstream|upstream-ca|upstream-client-cert|upstream-client-key|upstream-server-name|\
data-dir|listen|admin-listen|format|sync|genesis|requests-per-second|shutdown-delay|tls-cert|tls-key|tls-client-ca)(=.*)?$'))")
        .message("spec.follower.args must not repeat what the operator sets: use the fields url, fallbackUrls, tls, genesis and \
                  requestsPerSecond of spec.primary, and port, format, sync, shutdownDelay and tls of spec.follower instead; \
                  --data-dir and --admin-listen cannot be changed"),
    validation = Rule::new("!has(self.tls) || self.protocol == 'rpc-status' || has(self.tls.certSecret)")
        .message("spec.follower.tls needs certSecret, which followers show to readers: name a Secret of type kubernetes.io/tls, \
                  or remove tls to serve without TLS"),
    validation = Rule::new("!has(self.tls) || self.protocol != 'rpc-status' || !(has(self.tls.certSecret) || has(self.tls.clientCaSecret))")
        .message("spec.follower.tls.certSecret and clientCaSecret have no effect with spec.follower.protocol rpc-status, whose image \
                  is told by spec.follower.args alone: remove them, and mount their Secrets with spec.podTemplate"),
    validation = Rule::new("!has(self.tls) || self.protocol != 'rpc-status' || has(self.tls.caSecret)")
        .message("spec.follower.tls.caSecret is needed with spec.follower.protocol rpc-status: name the Secret whose ca.crt the \
                  followers' certificates come from, or remove tls to ask them without TLS")
)]
pub struct FollowerSpec {
    /// The image, with tag or digest. There is no default.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[^ \\t\\n]+$')")
        .message("spec.follower.image must name a container image, such as tidemark.local/tidemark-follower:0.1.0"))]
    pub image: String,

    /// When kubelet pulls the image: Always before a start, IfNotPresent on the node, or Never.
    #[serde(default)]
    pub image_pull_policy: PullPolicy,

    /// Secrets of this namespace that hold credentials for the image's registry; unset: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,

    /// What the image answers: `tidemark`, which is `tidemark.v1` and rpc.Api, as Tidemark's own follower does; or
    /// `rpc-status`, which is rpc.Api alone, as any store of blocks does: it gets no flags but spec.follower.args, and
    /// probes that connect to the port. Immutable.
    #[serde(default)]
    pub protocol: FollowerProtocol,

    /// The port on which followers serve the chain, in the pods and in the Services. Immutable.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1024, max = 65535))]
    pub port: u16,

    /// How blocks are fetched: by polling, by subscription, or by whichever the upstream offers.
    #[serde(default)]
    pub sync: SyncMode,

    /// What a block is: `opaque` bytes numbered by their position; `native`, Tidemark's own chain, in which each block names
    /// its parent's hash; or `miden`, the Miden chain of protocol version 0.15, whose blocks are checked whole. Immutable.
    #[serde(default)]
    pub format: ChainFormat,

    /// Arguments of the image: all of them with protocol rpc-status, else after those of the operator. `$(UPSTREAM_URL)`,
    /// `$(POD_NAME)`, `$(POD_IP)` and `$(DATA_DIR)` stand for what they name; unset: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub args: Vec<String>,

    /// Environment variables after those of the operator (POD_UID, POD_NAME, POD_IP, UPSTREAM_URL,
    /// DATA_DIR, TIDEMARK_VOLUME_SIZE); unset: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub env: Vec<EnvVar>,

    /// How long a follower goes on serving after it is told to end, so that readers can move on first.
    #[serde(default = "default_shutdown_delay")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,7}(ms|s|m|h)){1,4}$') && duration(self) >= duration('0s') && duration(self) <= duration('30m')")
        .message("spec.follower.shutdownDelay must be a span of time from 0s to 30m, such as 5s"))]
    pub shutdown_delay: Span,

    /// How followers serve over TLS, and how the operator asks them; unset: without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<FollowerTls>,

    /// What the container asks for and may use; unset: as the namespace's LimitRange says, else whatever the node has.
    #[serde(default)]
    pub resources: ResourceRequirements,
}

/// The port of the follower when none is chosen.
fn default_port() -> u16 {
    57291
}

/// Endpoints and load balancers learn within this that a pod is ending.
fn default_shutdown_delay() -> Span {
    Span::seconds(5)
}

/// What an image answers.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FollowerProtocol {
    /// `tidemark.v1.Replica/Tips` and rpc.Api: tips, hashes and the state of the upstream; flags and probes are Tidemark's.
    #[default]
    Tidemark,
    /// `rpc.Api/Status` and GetBlockByNumber alone: any image; its flags are spec.follower.args, its probes connect to the port.
    RpcStatus,
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
