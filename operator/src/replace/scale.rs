//! How many replicas the StatefulSet is to have now: up at once, down as far as the last ones are out. Pure.

use k8s_openapi::api::apps::v1::StatefulSet;

use super::fleet::Fleet;
use crate::{api::StoreReplicaSet, freshness::Snapshot, names::ordinal};

/// `spec.replicas` of the StatefulSet. `found` is the one in the cluster.
///
/// Where none is found its pods may still be there, as when it is made anew for larger volumes.
pub(crate) fn target(set: &StoreReplicaSet, found: Option<&StatefulSet>, snapshot: Option<&Snapshot>) -> u32 {
    let wanted = set.spec.replicas;
    let name = set.metadata.name.as_deref().unwrap_or_default();
    let Some(snapshot) = snapshot else {
        let kept = found.and_then(|found| found.spec.as_ref()?.replicas);
        return wanted.max(kept.and_then(|kept| u32::try_from(kept).ok()).unwrap_or(0));
    };
    let Some(found) = found else {
        let there = snapshot.pods.iter().filter_map(|pod| ordinal(name, &pod.name));
        return wanted.max(there.max().map_or(0, |last| last + 1));
    };
    next(&Fleet::of(set, found, snapshot))
}

/// Past all of the last ones that are out or do not exist, so that what somebody else scaled up is put back at once.
fn next(fleet: &Fleet<'_>) -> u32 {
    let stays = |ordinal: &u32| fleet.replica(*ordinal).is_some_and(|replica| !replica.is_out());
    let last = (fleet.wanted..fleet.kept).rev().find(stays);
    last.map_or(fleet.wanted, |last| last + 1)
}
