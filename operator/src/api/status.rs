//! `status`: what the operator found and decided.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator found and decided.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoreReplicaSetStatus {
    /// The generation of the spec this status speaks of; -1 before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Pods that exist.
    pub replicas: u32,

    /// Pods that are Ready, and so receive readers.
    pub ready_replicas: u32,

    /// Replicas judged in sync.
    pub in_sync_replicas: u32,

    /// Highest trusted, fresh tip of the set and its primary: the block number lag is measured against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleet_tip: Option<u32>,

    /// Most blocks that a replica is behind, among those that were heard from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lag: Option<u32>,

    /// Highest block number up to which every proof is held by some trusted replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proven_tip: Option<u32>,

    /// Genesis commitment of the chain: `spec.primary.genesis`, else the first one seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub genesis: Option<String>,

    /// Selects the pods, for `kubectl scale` and autoscalers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,

    /// What holds of the set as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// Each replica with its verdict.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub members: Vec<Member>,
}

/// One replica and what was decided for it.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Name of the pod.
    pub name: String,

    /// Its published tip, as last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tip: Option<u32>,

    /// Blocks it is behind the fleet tip it was judged against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<u32>,

    /// `In` or `Out` of the Service.
    #[serde(default)]
    pub verdict: String,

    /// Why.
    #[serde(default)]
    pub reason: String,

    /// Since when, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,

    /// What keeps it in the Service in spite of its reason, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<String>,

    /// Blocks per second by which its tip rises, such as 0.33 or 12000, over the last 10 to 20 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,

    /// When it is within `readmitLagBlocks` if it and the reference go on at their rates, in RFC 3339; unset when it
    /// is, or is not catching up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<String>,
}
