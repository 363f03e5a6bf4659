//! Rule 12, the part that needs no plan: whether one member may be taken out on purpose.

use crate::{Judgement, Observed, PodUid, Policy};

/// Whether `pod` may be taken out for replacement, scale-down or fencing: what is left must still be
/// min(`minServing`, `replicas` − 1) members that serve and are Ready. One that does not serve may always leave,
/// since a rollout must be able to cure a broken fleet.
#[must_use]
pub fn may_leave(policy: &Policy, observed: &Observed, judgement: &Judgement, pod: &PodUid) -> bool {
    let ready = |uid: &PodUid| observed.members.iter().any(|m| m.uid == *uid && m.ready && !m.terminating);
    let serving = || judgement.verdicts.iter().filter(|verdict| verdict.serves && ready(&verdict.uid));
    if !serving().any(|verdict| verdict.uid == *pod) {
        return true;
    }
    let floor = policy.min_serving.min(policy.replicas.saturating_sub(1));
    serving().count() > usize::try_from(floor).unwrap_or(usize::MAX)
}
