//! The StatefulSet: who the followers are and what they keep.

use k8s_openapi::{
    api::{
        apps::v1::{
            StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
            StatefulSetUpdateStrategy,
        },
        core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements},
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
    },
};

use super::{Valid, recorded};
use crate::{
    api::{StorageSpec, StoreReplicaSet},
    names::{self, VOLUME},
};

/// Renders the StatefulSet, with the template found if the spec that made it is as it was. Its pods are deleted by this
/// operator alone, but for the last ones when `replicas` is less.
pub(super) fn statefulset(valid: &Valid<'_>, replicas: u32) -> StatefulSet {
    let set = valid.set;
    let name = super::set_name(set);
    let template = recorded::template(valid.statefulset, set).unwrap_or_else(|| valid.template.clone());
    let mut statefulset = StatefulSet {
        metadata: super::meta(set, name.to_owned()),
        spec: Some(StatefulSetSpec {
            replicas: i32::try_from(replicas).ok(),
            selector: LabelSelector { match_labels: Some(names::labels(name)), ..LabelSelector::default() },
            service_name: Some(names::peers_service(name)),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            persistent_volume_claim_retention_policy: Some(retention(&set.spec.storage)),
            revision_history_limit: Some(5),
            template: template.clone(),
            volume_claim_templates: claim(set).map(|claim| vec![claim]),
            ..StatefulSetSpec::default()
        }),
        status: None,
    };
    recorded::record(&mut statefulset, set, &template);
    statefulset
}

fn retention(storage: &StorageSpec) -> StatefulSetPersistentVolumeClaimRetentionPolicy {
    let policy = Some(storage.retention.as_str().to_owned());
    StatefulSetPersistentVolumeClaimRetentionPolicy { when_deleted: policy.clone(), when_scaled: policy }
}

fn claim(set: &StoreReplicaSet) -> Option<PersistentVolumeClaim> {
    let size = set.spec.storage.size.clone()?;
    let resources = VolumeResourceRequirements {
        requests: Some([("storage".to_owned(), Quantity(size))].into()),
        ..VolumeResourceRequirements::default()
    };
    let spec = PersistentVolumeClaimSpec {
        access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
        storage_class_name: set.spec.storage.storage_class_name.clone(),
        resources: Some(resources),
        ..PersistentVolumeClaimSpec::default()
    };
    let metadata = ObjectMeta {
        name: Some(VOLUME.to_owned()),
        labels: Some(names::labels(super::set_name(set))),
        ..ObjectMeta::default()
    };
    Some(PersistentVolumeClaim { metadata, spec: Some(spec), status: None })
}
