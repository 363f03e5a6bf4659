//! The PodDisruptionBudget: drains take one replica at a time, and one that is out does not stand in their way.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use crate::{api::StoreReplicaSet, names};

pub(super) fn budget(set: &StoreReplicaSet) -> PodDisruptionBudget {
    let name = super::set_name(set);
    let spec = PodDisruptionBudgetSpec {
        max_unavailable: Some(IntOrString::Int(1)),
        selector: Some(LabelSelector { match_labels: Some(names::labels(name)), ..LabelSelector::default() }),
        unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        ..PodDisruptionBudgetSpec::default()
    };
    PodDisruptionBudget { metadata: super::meta(set, name.to_owned()), spec: Some(spec), status: None }
}
