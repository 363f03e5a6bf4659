//! A set's pods as replacing sees them. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use tidemark_judge::{Reason, Verdict};

use crate::{
    api::StoreReplicaSet,
    freshness::{PodFacts, Snapshot},
    names::ordinal,
};

/// Since when pods that are to exist have been missing, by ordinal, as far as this process has seen: nothing in the cluster
/// says it.
pub(crate) type Missing = BTreeMap<u32, Timestamp>;

/// The pods of a set, the StatefulSet they come from, and what is wanted of them.
pub(crate) struct Fleet<'a> {
    /// `spec.replicas` of the set.
    pub(super) wanted: u32,
    /// `spec.replicas` of the StatefulSet.
    pub(super) kept: u32,
    /// The revision that pods are to have; None while the controller has not seen the present template.
    pub(super) revision: Option<&'a str>,
    /// By ordinal. A pod that has not been judged yet is as good as missing.
    pub(super) replicas: Vec<Replica<'a>>,
    /// Those of whom there is no pod, nor one that is being deleted.
    pub(crate) missing: Missing,
}

/// One pod with the verdict on it.
#[derive(Clone, Copy)]
pub(super) struct Replica<'a> {
    pub(super) ordinal: u32,
    pub(super) pod: &'a PodFacts,
    pub(super) verdict: &'a Verdict,
    /// Since when the verdict stands.
    pub(super) since: Timestamp,
}

impl<'a> Fleet<'a> {
    /// The fleet that the latest judgement was about.
    pub(crate) fn of(set: &StoreReplicaSet, statefulset: &'a StatefulSet, snapshot: &'a Snapshot) -> Self {
        let kept = statefulset.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        Self {
            wanted: set.spec.replicas,
            kept: u32::try_from(kept).unwrap_or(0),
            revision: revision(statefulset),
            replicas: replicas(set.metadata.name.as_deref().unwrap_or_default(), snapshot),
            missing: Missing::new(),
        }
    }

    /// The same, with who is missing now, some of them since what was `known` before.
    pub(crate) fn missing_since(mut self, known: &Missing, now: Timestamp) -> Self {
        let absent = self.staying().filter(|ordinal| self.replica(*ordinal).is_none());
        self.missing = absent.map(|at| (at, known.get(&at).copied().unwrap_or(now))).collect();
        self
    }

    /// The ordinals that stay whatever is asked for.
    pub(super) fn staying(&self) -> std::ops::Range<u32> {
        0..self.wanted.min(self.kept)
    }

    pub(super) fn replica(&self, ordinal: u32) -> Option<&Replica<'a>> {
        self.replicas.iter().find(|replica| replica.ordinal == ordinal)
    }

    /// Whether it runs another template than the present one, as far as that is known.
    pub(super) fn is_outdated(&self, replica: &Replica<'_>) -> bool {
        let runs = replica.pod.revision.as_deref();
        self.revision.is_some_and(|revision| runs.is_some_and(|runs| runs != revision))
    }
}

impl Replica<'_> {
    /// Whether no reader is sent to it, by verdict and as seen on the pod.
    pub(super) fn is_out(&self) -> bool {
        !self.verdict.serves && !self.pod.ready
    }

    /// Whether it was taken out to be replaced or rebuilt.
    pub(super) fn is_begun(&self) -> bool {
        matches!(self.verdict.reason, Reason::Replacing | Reason::Rebuilding)
    }

    /// Whether it is out for more than the blocks it has not yet, so that waiting does not bring it back.
    pub(super) fn is_broken(&self) -> bool {
        self.is_out() && !self.verdict.reason.is_measured() && !self.is_begun()
    }

    /// Whether nothing more is to be waited for: it is in sync and seen Ready. One that is fenced is as its owner wants it.
    pub(super) fn is_done(&self) -> bool {
        (self.verdict.in_sync() && self.pod.ready) || self.verdict.reason == Reason::Fenced
    }

    /// Since when it has not been in sync, by times that stand on the pod where there are such: they outlive this
    /// process.
    pub(super) fn late_since(&self) -> Timestamp {
        let changed = if self.pod.ready { Some(self.since) } else { self.pod.ready_changed };
        changed.into_iter().chain(self.pod.created).max().unwrap_or(self.since)
    }
}

/// The revision of the template, once the controller has seen it.
fn revision(statefulset: &StatefulSet) -> Option<&str> {
    let status = statefulset.status.as_ref()?;
    let seen = status.observed_generation >= statefulset.metadata.generation;
    status.update_revision.as_deref().filter(|revision| seen && !revision.is_empty())
}

fn replicas<'a>(name: &str, snapshot: &'a Snapshot) -> Vec<Replica<'a>> {
    let verdicts = snapshot.judgement.verdicts.iter().zip(&snapshot.since);
    let replica = |(verdict, since): (&'a Verdict, &Timestamp)| {
        let pod = snapshot.pods.iter().find(|pod| pod.uid == verdict.uid.as_str())?;
        Some(Replica { ordinal: ordinal(name, &pod.name)?, pod, verdict, since: *since })
    };
    let mut replicas: Vec<_> = verdicts.filter_map(replica).collect();
    replicas.sort_by_key(|replica| replica.ordinal);
    replicas
}
