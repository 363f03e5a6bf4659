//! What the freshness path tells the rest of the operator. Pure.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use tidemark_judge::{Judgement, Notice, PodName, PodUid, Reason};

use super::{member::SeenPod, roll::Volumes, sight::Sight, state::Pods, trouble::Trouble};

/// The latest judgement on a set, with what it was based on.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The judgement.
    pub judgement: Judgement,
    /// The pods of the set, in the order of their names.
    pub pods: Arc<[PodFacts]>,
    /// Since when each verdict holds, in the order of the judgement's verdicts.
    pub since: Vec<Timestamp>,
    /// What is seen of the members beside their verdicts, in the same order.
    pub sights: Vec<Sight>,
    /// Pods whose processes do not know what the set's protocol asks, in the order of their names.
    pub foreign: Vec<PodName>,
    /// Pods whose gates cannot be written, and why.
    pub failing: BTreeMap<PodName, String>,
    /// Why the primary's latest request was not answered, and what to do about it.
    pub primary_error: Option<String>,
    /// Why the primary cannot be reached as the set asks, and what to do about it.
    pub secret_error: Option<String>,
    /// Why followers cannot be asked over TLS as the set asks, and what to do about it.
    pub follower_secret_error: Option<String>,
    /// Pods with which TLS does not come about, and why.
    pub not_over_tls: BTreeMap<PodName, String>,
}

/// What the rest of the operator knows of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Its name.
    pub name: String,
    /// Whether it is Ready.
    pub ready: bool,
    /// What keeps it from starting.
    pub trouble: Option<Trouble>,
    /// Its UID.
    pub uid: String,
    /// Its version as judged, for preconditions.
    pub resource_version: String,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// The revision of the template it was made from.
    pub revision: Option<String>,
    /// Whether it is to be made anew on an empty volume.
    pub rebuild: bool,
    /// What holds its data; None when the data goes with the pod.
    pub claim: Option<Claim>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When it last became Ready or ceased to be.
    pub ready_changed: Option<Timestamp>,
}

/// A claim as known at the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub name: String,
    /// Its UID; None while no such claim is seen: it is gone, or somebody made it without our labels.
    pub uid: Option<String>,
}

impl PodFacts {
    /// The facts of these pods, in the order of their names.
    pub(super) fn of(pods: &Pods, volumes: &Volumes) -> Vec<Self> {
        let claim = |pod: &SeenPod| {
            Some(Claim { name: pod.claim.clone()?, uid: volumes.get(&pod.uid).map(ToString::to_string) })
        };
        let facts = |pod: &SeenPod| Self {
            name: pod.name.to_string(),
            ready: pod.ready && !pod.terminating && !pod.ended,
            trouble: pod.trouble.clone(),
            uid: pod.uid.to_string(),
            resource_version: pod.resource_version.clone(),
            terminating: pod.terminating,
            revision: pod.revision.clone(),
            rebuild: pod.rebuild,
            claim: claim(pod),
            created: pod.created,
            ready_changed: pod.ready_changed,
        };
        let mut facts: Vec<_> = pods.values().map(facts).collect();
        facts.sort_by(|a, b| a.name.cmp(&b.name));
        facts
    }
}

impl Snapshot {
    /// Whether nothing is worth a status write at once since `before`; movement of tips is not.
    pub(super) fn decides_as(&self, before: &Self) -> bool {
        self.verdicts().eq(before.verdicts())
            && self.notices().eq(before.notices())
            && self.judgement.genesis == before.judgement.genesis
            && (Arc::ptr_eq(&self.pods, &before.pods)
                || self.pods.iter().map(unversioned).eq(before.pods.iter().map(unversioned)))
            && self.foreign == before.foreign
            && self.failing.keys().eq(before.failing.keys())
            && self.secret_error == before.secret_error
            && self.follower_secret_error == before.follower_secret_error
            && self.not_over_tls.keys().eq(before.not_over_tls.keys())
    }

    fn verdicts(&self) -> impl Iterator<Item = (&PodUid, bool, Reason, Option<Reason>)> {
        let verdicts = self.judgement.verdicts.iter();
        verdicts.map(|verdict| (&verdict.uid, verdict.serves, verdict.reason, verdict.held_from))
    }

    fn notices(&self) -> impl Iterator<Item = (&'static str, Vec<PodName>)> {
        self.judgement.notices.iter().map(|notice| (notice.reason(), named(notice)))
    }
}

/// A pod without what changes with each write to it.
fn unversioned(pod: &PodFacts) -> PodFacts {
    PodFacts { resource_version: String::new(), ..pod.clone() }
}

/// The pods a notice names.
fn named(notice: &Notice) -> Vec<PodName> {
    match notice {
        Notice::MembersSilent { silent, .. } => silent.clone(),
        Notice::Divergence { pods, .. } | Notice::MembersDiverged { pods, .. } => pods.clone(),
        Notice::MembersWrongGenesis { found, .. } => found.iter().map(|(pod, _)| pod.clone()).collect(),
        _ => Vec::new(),
    }
}
