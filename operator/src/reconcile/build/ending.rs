//! How a follower ends: it serves on for `shutdownDelay`, then closes what it has open. Pure.

use k8s_openapi::api::core::v1::{Lifecycle, LifecycleHandler, SleepAction};

use crate::api::{FollowerProtocol, StoreReplicaSet};

/// A follower closes within 6 s of the end of `shutdownDelay`; the rest is for a slow node.
pub(super) const CLOSING_SECONDS: i64 = 10;
/// What Kubernetes grants a pod that says nothing.
pub(super) const USUAL_GRACE: i64 = 30;

/// Whole seconds for which a follower serves on.
fn delay_seconds(set: &StoreReplicaSet) -> i64 {
    let millis = set.spec.follower.shutdown_delay.get().as_millis().div_ceil(1_000);
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// The least seconds between the order to end and the kill.
pub(super) fn least_grace(set: &StoreReplicaSet) -> i64 {
    delay_seconds(set).saturating_add(CLOSING_SECONDS)
}

/// The seconds granted unless the user says otherwise: as ample after a long delay as after none.
pub(super) fn grace(set: &StoreReplicaSet) -> i64 {
    delay_seconds(set).saturating_add(USUAL_GRACE - 5).max(USUAL_GRACE)
}

/// Tidemark's own follower waits by itself. Any other image is told to end only after kubelet has waited for it.
pub(super) fn lifecycle(set: &StoreReplicaSet) -> Option<Lifecycle> {
    let seconds = delay_seconds(set);
    if set.spec.follower.protocol == FollowerProtocol::Tidemark || seconds == 0 {
        return None;
    }
    let sleep = LifecycleHandler { sleep: Some(SleepAction { seconds }), ..LifecycleHandler::default() };
    Some(Lifecycle { pre_stop: Some(sleep), ..Lifecycle::default() })
}
