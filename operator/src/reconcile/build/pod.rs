//! The template of the follower pods.

use std::collections::BTreeMap;

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

use super::{container::container, ending, overlay, secret_files, some};
use crate::{
    api::{EmptyDir, StoreReplicaSet},
    names::{self, GATE, RESTARTED_AT, VOLUME},
    over_tls::OverTls,
    reconcile::validate::Rejection,
};

/// Who the follower runs as, the user of its image.
const USER: i64 = 65532;

/// The template that the spec makes now, with what the user lays over it.
///
/// # Errors
/// If what the user lays over it is no part of a pod, or takes away what the operator relies on.
pub(in crate::reconcile) fn template(set: &StoreReplicaSet) -> Result<PodTemplateSpec, Rejection> {
    let metadata = ObjectMeta {
        labels: Some(names::labels(super::set_name(set))),
        annotations: annotations(set),
        ..ObjectMeta::default()
    };
    overlay::laid_over(PodTemplateSpec { metadata: Some(metadata), spec: Some(pod(set)) }, set)
}

fn annotations(set: &StoreReplicaSet) -> Option<BTreeMap<String, String>> {
    let over_tls = OverTls::of(set).map(|over_tls| over_tls.annotation());
    let annotations: BTreeMap<_, _> = restarted_at(set).into_iter().chain(over_tls).collect();
    (!annotations.is_empty()).then_some(annotations)
}

/// So that pods that are to be restarted differ from those before.
fn restarted_at(set: &StoreReplicaSet) -> Option<(String, String)> {
    let at = set.metadata.annotations.as_ref()?.get(RESTARTED_AT)?;
    Some((RESTARTED_AT.to_owned(), at.clone()))
}

fn pod(set: &StoreReplicaSet) -> PodSpec {
    PodSpec {
        containers: vec![container(set)],
        readiness_gates: Some(vec![PodReadinessGate { condition_type: GATE.to_owned() }]),
        service_account_name: Some(super::set_name(set).to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        image_pull_secrets: some(set.spec.follower.image_pull_secrets.clone()),
        security_context: Some(security()),
        volumes: some(volumes(set)),
        topology_spread_constraints: some(spread(set)),
        termination_grace_period_seconds: Some(ending::grace(set)),
        ..PodSpec::default()
    }
}

fn volumes(set: &StoreReplicaSet) -> Vec<Volume> {
    let data = set.spec.storage.empty_dir.as_ref().map(empty_volume);
    data.into_iter().chain(secret_files::volumes(&set.spec)).collect()
}

/// Unless the user says where pods go: evenly over the nodes, so that one node takes as few replicas with it as can be.
fn spread(set: &StoreReplicaSet) -> Option<TopologySpreadConstraint> {
    let over = &set.spec.pod_template;
    if over.gives("affinity") || over.gives("topologySpreadConstraints") {
        return None;
    }
    let labels = names::labels(super::set_name(set));
    Some(TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }),
        ..TopologySpreadConstraint::default()
    })
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
