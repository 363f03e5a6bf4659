//! The conditions of a set. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{
    api::apps::v1::StatefulSet,
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use tidemark_judge::{ConditionType, Notice, PodName};

use super::validate::Rejection;
use crate::{
    api::{Mode, StoreReplicaSet},
    freshness::{PodFacts, Snapshot},
    replace::Progress,
};

const PAUSED: &str =
    "the annotation tidemark.dev/paused stops reconciling: replicas are judged on, and no object is changed";

/// What reconciling came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The cluster has what the spec asks for, or is told to.
    Applied(Box<StatefulSet>, Progress),
    /// Only a change by the owner helps.
    Rejected(Rejection),
    /// The owner wants nothing to be done.
    Paused,
    /// Something failed that is tried again.
    Failed(String),
}

/// What is wrong with objects although the spec is followed: a reason and a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trouble(pub(super) &'static str, pub(super) String);

/// A condition before it gets its time and generation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) type_: &'static str,
    pub(super) status: Option<bool>,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Finding {
    fn new(type_: &'static str, status: bool, reason: &str, message: impl Into<String>) -> Self {
        Self { type_, status: Some(status), reason: reason.to_owned(), message: message.into() }
    }

    fn unknown(type_: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self { status: None, ..Self::new(type_, false, reason, message) }
    }
}

/// The conditions that objects and pods decide.
pub(super) fn of_objects(set: &StoreReplicaSet, outcome: &Outcome, pods: &[PodFacts]) -> Vec<Finding> {
    let floor = floor(set);
    let ready = pods.iter().filter(|pod| pod.ready).count();
    let serving = format!("{ready} of {} replicas serve, {floor} are needed", set.spec.replicas);
    let available = ready >= floor;
    let available_reason = if available { "EnoughReplicasServe" } else { "TooFewReplicasServe" };
    let progress = progress(set, outcome, pods);
    let rolled_out = progress.reason == "RolledOut";
    let ready = match outcome {
        Outcome::Paused if !available => Finding::new("Ready", false, available_reason, &serving),
        Outcome::Paused => Finding::unknown("Ready", "Paused", PAUSED),
        Outcome::Rejected(rejection) => Finding::new("Ready", false, rejection.reason, &rejection.message),
        _ if !rolled_out => Finding::new("Ready", false, &progress.reason, &progress.message),
        _ => Finding::new("Ready", available, available_reason, &serving),
    };
    let stalled = match outcome {
        Outcome::Rejected(rejection) => Finding::new("Stalled", true, rejection.reason, &rejection.message),
        _ => Finding::new("Stalled", false, "Accepted", "no change of the spec is needed"),
    };
    let idle = stalled.status == Some(true) || matches!(outcome, Outcome::Paused);
    let reconciling = !idle && !rolled_out;
    let reconciling = Finding::new("Reconciling", reconciling, &progress.reason, &progress.message);
    let available = Finding::new("Available", available, available_reason, serving);
    vec![ready, reconciling, stalled, accepted(outcome), available, progress]
}

/// Endpoints that must serve for the set to be Ready.
fn floor(set: &StoreReplicaSet) -> usize {
    let floor = set.spec.health.min_serving.min(set.spec.replicas);
    usize::try_from(floor).unwrap_or(usize::MAX)
}

fn accepted(outcome: &Outcome) -> Finding {
    match outcome {
        Outcome::Applied(..) => Finding::new("Accepted", true, "Accepted", "the spec is followed"),
        Outcome::Rejected(rejection) => Finding::new("Accepted", false, rejection.reason, &rejection.message),
        Outcome::Paused => Finding::unknown("Accepted", "Paused", PAUSED),
        Outcome::Failed(why) => Finding::unknown("Accepted", "ReconcileFailed", why),
    }
}

fn progress(set: &StoreReplicaSet, outcome: &Outcome, pods: &[PodFacts]) -> Finding {
    let (statefulset, progress) = match outcome {
        Outcome::Rejected(rejection) => {
            return Finding::new("Progressing", false, rejection.reason, &rejection.message);
        }
        Outcome::Paused => return Finding::unknown("Progressing", "Paused", PAUSED),
        Outcome::Failed(why) => return Finding::new("Progressing", true, "ReconcileFailed", why),
        Outcome::Applied(statefulset, progress) => (statefulset, progress),
    };
    if let Some(stalled) = &progress.stalled {
        return Finding::new("Progressing", false, "RolloutStalled", stalled);
    }
    if let Some(stuck) = troubles(pods) {
        return Finding::new("Progressing", false, "FollowerNotStarting", stuck);
    }
    let (updated, existing) = rollout(statefulset);
    if (updated, existing) == (i64::from(set.spec.replicas), i64::from(set.spec.replicas)) {
        return Finding::new(
            "Progressing",
            true,
            "RolledOut",
            format!("all {updated} replicas run the present template"),
        );
    }
    let mut message =
        format!("{updated} of {} replicas run the present template, {existing} exist", set.spec.replicas);
    if let Some(waiting) = &progress.waiting {
        message.push_str(&format!("; {waiting}"));
    }
    Finding::new("Progressing", true, "RollingOut", message)
}

/// Pods of the present template, and all pods; none while the controller has not seen the present spec.
fn rollout(statefulset: &StatefulSet) -> (i64, i64) {
    let Some(status) = &statefulset.status else { return (0, 0) };
    if status.observed_generation < statefulset.metadata.generation {
        return (0, status.replicas.into());
    }
    // The counts of the update revision are absent until the first rollout is under way.
    let same = status.update_revision == status.current_revision;
    let updated = status.updated_replicas.unwrap_or(0).max(if same { status.replicas } else { 0 });
    (updated.into(), status.replicas.into())
}

/// What keeps pods from starting, one pod after the other.
fn troubles(pods: &[PodFacts]) -> Option<String> {
    let troubled = pods.iter().filter_map(|pod| {
        let trouble = pod.trouble.as_ref()?;
        Some(format!("pod {}: {}", pod.name, trouble.text))
    });
    let troubled: Vec<_> = troubled.collect();
    (!troubled.is_empty()).then(|| troubled.join("; "))
}

/// The conditions that judging decides.
pub(super) fn of_judging(snapshot: &Snapshot, objects: &[Trouble]) -> Vec<Finding> {
    let stuck = troubles(&snapshot.pods).map(|stuck| ("FollowerNotStarting", stuck));
    let notices = |type_| snapshot.judgement.notices.iter().filter(move |notice| notice.condition() == type_);
    let told =
        |type_| notices(type_).map(|notice| (notice.reason(), words(notice, snapshot))).collect::<Vec<_>>();
    let mut degraded = told(ConditionType::Degraded);
    degraded.extend(objects.iter().map(|Trouble(reason, message)| (*reason, message.clone())));
    degraded.extend(foreign(snapshot));
    degraded.extend(unwritten(snapshot));
    degraded.extend(stuck);
    let mut observation: Vec<_> = secrets(snapshot).collect();
    observation.extend(not_over_tls(snapshot));
    observation.extend(told(ConditionType::ObservationDegraded));
    vec![
        raised("Degraded", degraded, "AsExpected", "nothing contradicts anything else"),
        raised(
            "ChainStalled",
            told(ConditionType::ChainStalled),
            "BlocksArrive",
            "no stall of the chain has been seen",
        ),
        raised("ObservationDegraded", observation, "Observed", "nobody is kept in for want of an answer"),
    ]
}

fn raised(type_: &'static str, told: Vec<(&'static str, String)>, otherwise: &str, calm: &str) -> Finding {
    let Some((reason, _)) = told.first() else { return Finding::new(type_, false, otherwise, calm) };
    let messages: Vec<_> = told.iter().map(|(_, message)| message.as_str()).collect();
    Finding::new(type_, true, reason, messages.join("; "))
}

/// A notice in words; a silent primary's with its address and error, which only the sampler knows.
fn words(notice: &Notice, snapshot: &Snapshot) -> String {
    match (notice, &snapshot.primary_error) {
        (Notice::PrimarySilent, Some(error)) => error.clone(),
        _ => notice.to_string(),
    }
}

/// Gates that cannot be written: what was decided about these pods does not happen.
fn unwritten(snapshot: &Snapshot) -> Option<(&'static str, String)> {
    let failing = snapshot.failing.iter().map(|(pod, error)| format!("{pod}: {error}"));
    let failing: Vec<_> = failing.collect();
    let message = format!("gates cannot be written, and stay as they are: {}", failing.join("; "));
    (!failing.is_empty()).then_some(("GateWritesFailing", message))
}

/// Followers that answer, and do not know what they are asked.
fn foreign(snapshot: &Snapshot) -> Option<(&'static str, String)> {
    let pods: Vec<_> = snapshot.foreign.iter().map(PodName::as_str).collect();
    let message = format!(
        "{} answer, but do not speak what spec.follower.protocol says: run an image that does, or create another \
         StoreReplicaSet with protocol rpc-status",
        pods.join(", ")
    );
    (!pods.is_empty()).then_some(("ProtocolUnsupported", message))
}

/// What is wrong with the Secrets of `spec.primary.tls` and `spec.follower.tls`.
fn secrets(snapshot: &Snapshot) -> impl Iterator<Item = (&'static str, String)> {
    let primary = snapshot.secret_error.clone().map(|error| ("PrimarySecret", error));
    let followers = snapshot.follower_secret_error.clone().map(|error| ("FollowerSecret", error));
    primary.into_iter().chain(followers)
}

/// So many different reasons are told: a fleet has one, or two while it changes.
const REASONS: usize = 8;

/// Followers with which TLS does not come about, those of one reason together.
fn not_over_tls(snapshot: &Snapshot) -> Option<(&'static str, String)> {
    let mut pods_of = BTreeMap::<&str, Vec<&str>>::new();
    for (pod, why) in &snapshot.not_over_tls {
        pods_of.entry(why).or_default().push(pod.as_str());
    }
    let told = pods_of.iter().take(REASONS).map(|(why, pods)| format!("{}: {why}", pods.join(", ")));
    let told: Vec<_> = told.collect();
    let message = format!("followers are not heard over TLS: {}; check spec.follower.tls", told.join("; "));
    (!told.is_empty()).then_some(("FollowerHandshake", message))
}

/// What is to be said about an accepted spec: that it is unwise, or that it closes no gate.
pub(super) fn remark(set: &StoreReplicaSet, snapshot: &Snapshot) -> Option<(&'static str, String)> {
    let mut notices = snapshot.judgement.notices.iter();
    let unwise = notices.find(|notice| notice.condition() == ConditionType::Accepted);
    let unwise = unwise.map(|notice| (notice.reason(), notice.to_string()));
    unwise.or_else(|| (set.spec.health.mode == Mode::Observe).then(|| ("ObserveOnly", would_do(snapshot))))
}

/// What `mode: Enforce` would have done.
fn would_do(snapshot: &Snapshot) -> String {
    let out = snapshot.judgement.verdicts.iter().filter(|verdict| !verdict.serves);
    let out: Vec<_> = out.map(|verdict| format!("{} ({})", verdict.pod, verdict.reason)).collect();
    let out = if out.is_empty() { "nobody".to_owned() } else { out.join(", ") };
    format!("spec.health.mode is Observe, so no gate is closed; Enforce would keep out {out}")
}

/// Gives findings their times: that of the last change of status.
pub(super) fn dated(
    findings: Vec<Finding>,
    before: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let date = |finding: Finding| {
        let status = finding.status.map_or("Unknown", |status| if status { "True" } else { "False" });
        let same = before.iter().find(|old| old.type_ == finding.type_ && old.status == status);
        Condition {
            type_: finding.type_.to_owned(),
            status: status.to_owned(),
            reason: finding.reason,
            message: finding.message,
            observed_generation: generation,
            last_transition_time: same.map_or(Time::from(now), |old| old.last_transition_time.clone()),
        }
    };
    findings.into_iter().map(date).collect()
}
