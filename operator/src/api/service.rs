//! `spec.service`: the Service readers use.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How readers reach the followers.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.nodePort) || self.type != 'ClusterIP'")
        .message("spec.service.nodePort needs spec.service.type NodePort or LoadBalancer: change the type, or remove nodePort"),
    validation = Rule::new("!has(self.externalTrafficPolicy) || self.type != 'ClusterIP'")
        .message("spec.service.externalTrafficPolicy needs spec.service.type NodePort or LoadBalancer: change the type, or remove it"),
    validation = Rule::new("!has(self.loadBalancerClass) || self.type == 'LoadBalancer'")
        .message("spec.service.loadBalancerClass needs spec.service.type LoadBalancer: change the type, or remove it"),
    validation = Rule::new("!has(self.loadBalancerSourceRanges) || self.type == 'LoadBalancer'")
        .message("spec.service.loadBalancerSourceRanges needs spec.service.type LoadBalancer: change the type, or remove it"),
    validation = Rule::new("self.type != 'LoadBalancer' || oldSelf.type != 'LoadBalancer' || \
            (has(self.loadBalancerClass) == has(oldSelf.loadBalancerClass) && \
            (!has(self.loadBalancerClass) || self.loadBalancerClass == oldSelf.loadBalancerClass))")
        .message("spec.service.loadBalancerClass cannot change while spec.service.type is LoadBalancer: \
                  set the type to ClusterIP first, then both")
)]
pub struct ServiceSpec {
    /// Kind of the read Service: reachable inside the cluster (ClusterIP), also on a port of every node (NodePort), or also
    /// through the provider's load balancer (LoadBalancer).
    #[serde(default, rename = "type")]
    pub type_: ServiceType,

    /// Annotations of the read Service, for load balancers and meshes; unset: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: BTreeMap<String, String>,

    /// Labels of the read Service, beside those by which the operator finds it; unset: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("!('app.kubernetes.io/name' in self || 'app.kubernetes.io/instance' in self || 'app.kubernetes.io/managed-by' in self)")
        .message("spec.service.labels must not set app.kubernetes.io/name, instance or managed-by, \
                  by which the operator finds what it made: remove them"))]
    pub labels: BTreeMap<String, String>,

    /// Port of every node that leads to the followers; unset: the cluster chooses one when the type needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub node_port: Option<u16>,

    /// Where traffic from outside the cluster may go; unset: Cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,

    /// Which load balancer of the cluster serves it; unset: the cluster's default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9]([-A-Za-z0-9._/]*[A-Za-z0-9])?$')")
        .message("spec.service.loadBalancerClass must be the name of a load balancer's class, such as example.com/internal"))]
    pub load_balancer_class: Option<String>,

    /// Address ranges that the load balancer admits, such as 198.51.100.0/24; unset: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 64)))]
    #[x_kube(validation = Rule::new("self.all(range, isCIDR(range))")
        .message("spec.service.loadBalancerSourceRanges must each be an address range, such as 198.51.100.0/24"))]
    pub load_balancer_source_ranges: Vec<String>,

    /// Which endpoints are preferred for readers inside the cluster; unset: all alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_distribution: Option<TrafficDistribution>,

    /// Address families of the read Service; unset: SingleStack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_family_policy: Option<IpFamilyPolicy>,
}

/// Whether traffic from outside may be sent on to another node (Cluster) or stays on the node it reached (Local, which keeps
/// the client's address); unset: Cluster.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExternalTrafficPolicy {
    /// To followers on any node.
    Cluster,
    /// To followers on the node that was reached.
    Local,
}

/// Which endpoints readers inside the cluster prefer: PreferClose, those of their zone while one serves there; unset: all
/// alike.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrafficDistribution {
    /// Those in the reader's zone, as long as one serves there.
    PreferClose,
}

/// Address families of the read Service: one (SingleStack), two where the cluster has them (PreferDualStack), or two and
/// nothing else (RequireDualStack); unset: SingleStack.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpFamilyPolicy {
    /// One.
    SingleStack,
    /// Two where the cluster has them.
    PreferDualStack,
    /// Two; refused where the cluster has one.
    RequireDualStack,
}

/// Kind of the read Service.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceType {
    /// Reachable inside the cluster.
    #[default]
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// Also on a port of every node.
    NodePort,
    /// Also through the provider's load balancer.
    LoadBalancer,
}

impl ServiceType {
    /// The name Kubernetes uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

impl ExternalTrafficPolicy {
    /// The name Kubernetes uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Local => "Local",
        }
    }
}

impl TrafficDistribution {
    /// The name Kubernetes uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PreferClose => "PreferClose",
        }
    }
}

impl IpFamilyPolicy {
    /// The name Kubernetes uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SingleStack => "SingleStack",
            Self::PreferDualStack => "PreferDualStack",
            Self::RequireDualStack => "RequireDualStack",
        }
    }
}
