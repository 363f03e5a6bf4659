//! What is told of the pods of one fleet: made anew only when one of them, or a claim, has changed.

use std::{collections::BTreeMap, sync::Arc};

use tidemark_judge::{PodUid, VolumeUid};

use super::{fleets::Fleets, snapshot::PodFacts, state::Pods};

/// The UIDs of the claims that hold the data of pods; a pod that is not listed holds its own.
pub(super) type Volumes = BTreeMap<PodUid, VolumeUid>;

/// Who is in a fleet, and what holds their data.
#[derive(Debug, Default)]
pub(super) struct Roll {
    pods: Arc<Pods>,
    claims_changed: u64,
    pub(super) volumes: Volumes,
    pub(super) facts: Arc<[PodFacts]>,
}

impl Roll {
    /// Takes the pods as they are now, and the claims as they are known.
    pub(super) fn keep(&mut self, fleets: &Fleets, namespace: &str, pods: &Arc<Pods>) {
        let since = Arc::ptr_eq(&self.pods, pods).then_some(self.claims_changed);
        let Some((claims_changed, volumes)) = fleets.volumes(namespace, pods, since) else { return };
        let facts = PodFacts::of(pods, &volumes).into();
        *self = Self { pods: Arc::clone(pods), claims_changed, volumes, facts };
    }
}
