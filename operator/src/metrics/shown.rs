//! What is shown of a set. Pure: tells one judgement's from that of the one before.

use tidemark_judge::{PodName, Policy, Reason, Verdict};

use crate::freshness::Snapshot;

/// What is shown of a set; None is not shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) fleet_tip: Option<u32>,
    pub(super) proven_tip: Option<u32>,
    pub(super) max_lag: Option<u32>,
    pub(super) wanted: Option<u32>,
    pub(super) floor: Option<u32>,
    pub(super) ready: Option<u32>,
    pub(super) replicas: Vec<ShownReplica>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShownReplica {
    pub(super) pod: PodName,
    pub(super) reason: Reason,
    pub(super) serves: bool,
    pub(super) lag: Option<u32>,
}

impl Shown {
    pub(super) fn of(policy: &Policy, snapshot: &Snapshot) -> Self {
        let judgement = &snapshot.judgement;
        Self {
            fleet_tip: judgement.fleet_tip.map(|tip| tip.0),
            proven_tip: judgement.proven_tip.map(|tip| tip.0),
            max_lag: Some(policy.max_lag),
            wanted: Some(policy.replicas),
            floor: Some(policy.min_serving.min(policy.replicas)),
            ready: u32::try_from(snapshot.pods.iter().filter(|pod| pod.ready).count()).ok(),
            replicas: judgement.verdicts.iter().map(ShownReplica::of).collect(),
        }
    }

    /// Whether the series of a replica and its reason goes on.
    pub(super) fn has(&self, other: &ShownReplica) -> bool {
        self.replicas.iter().any(|replica| replica.pod == other.pod && replica.reason == other.reason)
    }
}

impl ShownReplica {
    fn of(verdict: &Verdict) -> Self {
        let Verdict { pod, reason, serves, lag, .. } = verdict;
        Self { pod: pod.clone(), reason: *reason, serves: *serves, lag: *lag }
    }
}
