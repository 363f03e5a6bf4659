//! The template of the follower pods.

use k8s_openapi::{
    api::core::v1::{
        EmptyDirVolumeSource, PodReadinessGate, PodSecurityContext, PodSpec, PodTemplateSpec, SeccompProfile,
        TopologySpreadConstraint, Volume,
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
    },
};

use super::container::container;
use crate::{
    api::{EmptyDir, StoreReplicaSet},
    names::{self, GATE, VOLUME},
};

/// Who the follower runs as, the user of its image.
const USER: i64 = 65532;

pub(super) fn template(set: &StoreReplicaSet) -> PodTemplateSpec {
    let overrides = &set.spec.pod_template;
    let mut labels = overrides.labels.clone();
    labels.extend(names::labels(super::set_name(set)));
    let metadata = ObjectMeta {
        labels: Some(labels),
        annotations: Some(overrides.annotations.clone()).filter(|annotations| !annotations.is_empty()),
        ..ObjectMeta::default()
    };
    PodTemplateSpec { metadata: Some(metadata), spec: Some(pod(set)) }
}

fn pod(set: &StoreReplicaSet) -> PodSpec {
    let overrides = set.spec.pod_template.clone();
    let spread = spread(set);
    PodSpec {
        containers: vec![container(set)],
        readiness_gates: Some(vec![PodReadinessGate { condition_type: GATE.to_owned() }]),
        service_account_name: Some(super::set_name(set).to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        image_pull_secrets: some(set.spec.follower.image_pull_secrets.clone()),
        security_context: Some(security()),
        volumes: set.spec.storage.empty_dir.as_ref().map(|empty| vec![empty_volume(empty)]),
        node_selector: Some(overrides.node_selector).filter(|labels| !labels.is_empty()),
        tolerations: some(overrides.tolerations),
        affinity: overrides.affinity,
        topology_spread_constraints: some(spread),
        priority_class_name: overrides.priority_class_name,
        termination_grace_period_seconds: Some(overrides.termination_grace_period_seconds),
        ..PodSpec::default()
    }
}

/// As the user says, else evenly over the nodes, so that one node takes as few replicas with it as can be.
fn spread(set: &StoreReplicaSet) -> Vec<TopologySpreadConstraint> {
    let overrides = &set.spec.pod_template;
    if overrides.affinity.is_some() || !overrides.topology_spread_constraints.is_empty() {
        return overrides.topology_spread_constraints.clone();
    }
    let labels = names::labels(super::set_name(set));
    vec![TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }),
        ..TopologySpreadConstraint::default()
    }]
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

fn security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        // Walking a large volume at each start would take minutes, and its owner is right already.
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

fn empty_volume(empty: &EmptyDir) -> Volume {
    let source = EmptyDirVolumeSource { size_limit: empty.size_limit.clone().map(Quantity), medium: None };
    Volume { name: VOLUME.to_owned(), empty_dir: Some(source), ..Volume::default() }
}
