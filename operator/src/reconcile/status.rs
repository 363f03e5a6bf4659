//! The status of a set: what it says (pure), and when it is worth a write.

use std::time::Duration;

use jiff::{Timestamp, Unit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tidemark_judge::Verdict;

use super::conditions::{self, Outcome, Trouble, dated, of_judging, of_objects};
use crate::{
    api::{Member, StoreReplicaSet, StoreReplicaSetStatus},
    call::{self, CallError},
    freshness::{Sight, Snapshot},
    names::{self, FIELD_MANAGER, SetKey},
};

/// How often mere movement of a set's tips is written at most.
const REFRESH: Duration = Duration::from_secs(30);
/// How many such writes of all sets there are in a second at most: a write of a status takes an API server 15 to 30 ms
/// of a core, which those that follow decisions need more.
const REFRESHES_PER_SECOND: u32 = 10;

/// How often mere movement of tips is written of each of so many sets.
pub(super) fn refresh(sets: usize) -> Duration {
    let sets = u32::try_from(sets).unwrap_or(u32::MAX);
    REFRESH.max(Duration::from_secs(1) * sets / REFRESHES_PER_SECOND)
}

/// Why a status could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the status: {0}")]
pub struct StatusError(#[from] CallError);

/// What the status is to say after `before`. Before the first judgement what judging decides stays as it was.
pub(super) fn status(
    set: &StoreReplicaSet,
    before: Option<&StoreReplicaSetStatus>,
    outcome: &Outcome,
    troubles: &[Trouble],
    snapshot: Option<&Snapshot>,
    now: Timestamp,
) -> StoreReplicaSetStatus {
    let before = before.cloned().unwrap_or_default();
    let generation = set.metadata.generation;
    // While a set is paused nobody follows its spec, so the status speaks of the one that was followed last.
    let paused = matches!(outcome, Outcome::Paused);
    let observed_generation = if paused { before.observed_generation } else { generation };
    let Some(snapshot) = snapshot else {
        let mut findings = dated(of_objects(set, outcome, &[]), &before.conditions, generation, now);
        // Nobody has looked at the pods yet, so what they decide is left as it was. But of a spec that is newly followed it
        // must not be left open whether there is still something to do: kstatus takes silence for done.
        let is_new = before.observed_generation != generation
            || !before.conditions.iter().any(|old| old.type_ == "Reconciling");
        findings.retain(|condition| match condition.type_.as_str() {
            "Accepted" | "Stalled" => true,
            "Reconciling" => is_new,
            _ => false,
        });
        keep(&mut findings, &before.conditions, outcome);
        let kept = before.conditions.iter().filter(|old| !findings.iter().any(|new| new.type_ == old.type_));
        let conditions = findings.iter().chain(kept).cloned().collect();
        return StoreReplicaSetStatus { observed_generation, conditions, ..before };
    };
    let mut findings = of_objects(set, outcome, &snapshot.pods);
    if let (Outcome::Applied(..), Some((reason, message))) = (outcome, conditions::remark(set, snapshot)) {
        for accepted in findings.iter_mut().filter(|finding| finding.type_ == "Accepted") {
            (accepted.reason, accepted.message) = (reason.to_owned(), message.clone());
        }
    }
    findings.extend(of_judging(snapshot, troubles));
    let mut conditions = dated(findings, &before.conditions, generation, now);
    keep(&mut conditions, &before.conditions, outcome);
    StoreReplicaSetStatus {
        observed_generation,
        replicas: count(snapshot.pods.len()),
        ready_replicas: count(snapshot.pods.iter().filter(|pod| pod.ready).count()),
        in_sync_replicas: count(
            snapshot.judgement.verdicts.iter().filter(|verdict| verdict.in_sync()).count(),
        ),
        fleet_tip: snapshot.judgement.fleet_tip.map(|tip| tip.0),
        max_lag: snapshot.judgement.verdicts.iter().filter_map(|verdict| verdict.lag).max(),
        proven_tip: snapshot.judgement.proven_tip.map(|tip| tip.0),
        genesis: snapshot.judgement.genesis.map(|genesis| genesis.to_string()).or(before.genesis),
        selector: Some(names::selector(set.metadata.name.as_deref().unwrap_or_default())),
        conditions,
        members: members(snapshot, now),
    }
}

/// A failure that is tried again, or a pause, says nothing about what stood before it: only Reconciling tells of it, and
/// Progressing of a pause. But nothing is Ready that does not serve.
fn keep(conditions: &mut [Condition], before: &[Condition], outcome: &Outcome) {
    let paused = matches!(outcome, Outcome::Paused);
    if !paused && !matches!(outcome, Outcome::Failed(_)) {
        return;
    }
    let serves = conditions.iter().any(|found| found.type_ == "Available" && found.status == "True");
    let is_kept = |type_: &str| match type_ {
        "Accepted" | "Stalled" => true,
        "Progressing" => !paused,
        "Ready" => serves,
        _ => false,
    };
    for condition in conditions.iter_mut().filter(|condition| is_kept(&condition.type_)) {
        if let Some(old) = before.iter().find(|old| old.type_ == condition.type_) {
            *condition = old.clone();
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn members(snapshot: &Snapshot, now: Timestamp) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for (at, (verdict, since)) in snapshot.judgement.verdicts.iter().zip(&snapshot.since).enumerate() {
        // While a pod is being replaced two bear its name; the status has room for the later one.
        members.retain(|member| member.name != verdict.pod.as_str());
        members.push(member(verdict, *since, snapshot.sights.get(at), now));
    }
    members
}

fn member(verdict: &Verdict, since: Timestamp, sight: Option<&Sight>, now: Timestamp) -> Member {
    let eta = sight.and_then(|sight| now.checked_add(sight.eta?).ok()?.round(Unit::Second).ok());
    Member {
        name: verdict.pod.to_string(),
        tip: verdict.tip.map(|tip| tip.0),
        lag: verdict.lag,
        verdict: if verdict.serves { "In" } else { "Out" }.to_owned(),
        reason: verdict.reason.to_string(),
        since: Some(since.to_string()),
        held_by: verdict.held_from.map(|_| verdict.reason.to_string()),
        rate: sight.and_then(|sight| sight.rate).map(rate_text),
        eta: eta.map(|eta| eta.to_string()),
    }
}

/// Two digits after the point below ten, none above.
fn rate_text(rate: f64) -> String {
    if rate < 10.0 { format!("{}", (rate * 100.0).round() / 100.0) } else { format!("{rate:.0}") }
}

/// Whether `next` says something that cannot wait: anything but how far tips have moved.
pub(super) fn is_news(before: Option<&StoreReplicaSetStatus>, next: &StoreReplicaSetStatus) -> bool {
    before.map(without_movement) != Some(without_movement(next))
}

fn without_movement(status: &StoreReplicaSetStatus) -> StoreReplicaSetStatus {
    let mut status = status.clone();
    (status.fleet_tip, status.max_lag, status.proven_tip) = (None, None, None);
    for member in &mut status.members {
        (member.tip, member.lag, member.since) = (None, None, None);
        (member.rate, member.eta) = (None, None);
    }
    for condition in &mut status.conditions {
        if condition.type_ == "ChainStalled" {
            condition.message.clear();
        }
    }
    status
}

/// Writes the status.
///
/// # Errors
/// If the API server refuses, fails or does not answer.
pub(super) async fn write(
    client: &Client,
    key: &SetKey,
    uid: Option<&str>,
    status: &StoreReplicaSetStatus,
) -> Result<(), StatusError> {
    let api: Api<StoreReplicaSet> = Api::namespaced(client.clone(), &key.namespace);
    let body = json!({
        "apiVersion": "tidemark.dev/v1alpha1",
        "kind": "StoreReplicaSet",
        // Another set of the same name is not told what was found of this one.
        "metadata": { "name": key.name, "uid": uid },
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(&body);
    call::within(call::LONGEST, api.patch_status(&key.name, &params, &patch)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::api::apps::v1::StatefulSet;
    use serde_json::{Value, json};

    use super::{is_news, refresh};
    use crate::{
        api::{Mode, StoreReplicaSet, StoreReplicaSetStatus},
        freshness::{PodFacts, Snapshot},
        reconcile::{
            conditions::{Outcome, Trouble},
            validate::Rejection,
        },
        replace::Progress,
    };

    /// The status that follows on the one the set has.
    fn status(
        set: &StoreReplicaSet,
        outcome: &Outcome,
        snapshot: Option<&Snapshot>,
        now: Timestamp,
    ) -> StoreReplicaSetStatus {
        super::status(set, set.status.as_ref(), outcome, &[], snapshot, now)
    }

    fn set(min_serving: u32) -> StoreReplicaSet {
        let set = json!({
            "metadata": { "name": "a", "namespace": "n", "uid": "u", "generation": 3 },
            "spec": {
                "replicas": 2, "primary": { "url": "http://p:1" }, "follower": { "image": "i" },
                "health": { "minServing": min_serving },
            },
        });
        serde_json::from_value(set).expect("a set")
    }

    fn applied(status: Value) -> Outcome {
        let found = json!({ "metadata": { "generation": 5 }, "status": status });
        let found: StatefulSet = serde_json::from_value(found).expect("a StatefulSet");
        Outcome::Applied(Box::new(found), Progress::default())
    }

    fn done() -> Outcome {
        applied(json!({ "observedGeneration": 5, "replicas": 2, "updatedReplicas": 2 }))
    }

    #[test]
    fn tips_of_many_sets_are_written_less_often_and_never_more_than_ten_in_a_second() {
        let seconds = [0, 1, 300, 301, 1_000, 10_000].map(|sets| refresh(sets).as_secs_f64());
        assert_eq!(seconds, [30.0, 30.0, 30.0, 30.1, 100.0, 1_000.0]);
    }

    fn pods(ready: [bool; 2]) -> Snapshot {
        let pods = ready.map(|ready| PodFacts { name: "a".to_owned(), ready, ..PodFacts::default() });
        Snapshot { pods: pods.into(), ..Snapshot::default() }
    }

    fn condition(status: &StoreReplicaSetStatus, type_: &str) -> (String, String) {
        let found = status.conditions.iter().find(|condition| condition.type_ == type_).expect(type_);
        (found.status.clone(), found.reason.clone())
    }

    fn check(
        set: &StoreReplicaSet,
        outcome: &Outcome,
        snapshot: &Snapshot,
        expected: [(&str, &str, &str); 3],
    ) {
        let status = status(set, outcome, Some(snapshot), Timestamp::UNIX_EPOCH);
        for (type_, value, reason) in expected {
            assert_eq!(condition(&status, type_), (value.to_owned(), reason.to_owned()), "{type_}");
        }
    }

    #[test]
    fn ready_needs_the_floor_and_not_every_replica() {
        let ready = [
            ("Ready", "True", "EnoughReplicasServe"),
            ("Reconciling", "False", "RolledOut"),
            ("Stalled", "False", "Accepted"),
        ];
        check(&set(1), &done(), &pods([true, false]), ready);
        let short = [
            ("Ready", "False", "TooFewReplicasServe"),
            ("Available", "False", "TooFewReplicasServe"),
            ("Stalled", "False", "Accepted"),
        ];
        check(&set(1), &done(), &pods([false, false]), short);
        check(&set(5), &done(), &pods([true, true]), ready);
    }

    #[test]
    fn a_rollout_that_the_controller_has_not_seen_or_finished_is_reconciling() {
        let expected = [
            ("Ready", "False", "RollingOut"),
            ("Reconciling", "True", "RollingOut"),
            ("Progressing", "True", "RollingOut"),
        ];
        let unseen = applied(json!({ "observedGeneration": 4, "replicas": 2, "updatedReplicas": 2 }));
        check(&set(1), &unseen, &pods([true, true]), expected);
        let under_way = json!({
            "observedGeneration": 5, "replicas": 2, "updatedReplicas": 1, "currentRevision": "x", "updateRevision": "y",
        });
        check(&set(1), &applied(under_way), &pods([true, true]), expected);
    }

    #[test]
    fn a_rejected_set_is_stalled_and_its_serving_pods_still_count() {
        let rejection = Rejection { reason: "NameConflict", message: "taken".to_owned() };
        let expected = [
            ("Stalled", "True", "NameConflict"),
            ("Available", "True", "EnoughReplicasServe"),
            ("Accepted", "False", "NameConflict"),
        ];
        check(&set(1), &Outcome::Rejected(rejection), &pods([true, true]), expected);
    }

    #[test]
    fn a_failure_that_is_tried_again_takes_nothing_back() {
        let mut working = set(1);
        working.status = Some(status(&working, &done(), Some(&pods([true, true])), Timestamp::UNIX_EPOCH));
        let failed = Outcome::Failed("no answer".to_owned());
        let expected = [
            ("Ready", "True", "EnoughReplicasServe"),
            ("Accepted", "True", "Accepted"),
            ("Reconciling", "True", "ReconcileFailed"),
        ];
        check(&working, &failed, &pods([true, true]), expected);
        let outage = [
            ("Ready", "False", "ReconcileFailed"),
            ("Available", "False", "TooFewReplicasServe"),
            ("Accepted", "True", "Accepted"),
        ];
        check(&working, &failed, &pods([false, false]), outage);
        let new = [
            ("Ready", "False", "ReconcileFailed"),
            ("Accepted", "Unknown", "ReconcileFailed"),
            ("Stalled", "False", "Accepted"),
        ];
        check(&set(1), &failed, &pods([true, true]), new);
    }

    #[test]
    fn a_paused_set_is_judged_on_and_speaks_of_the_spec_that_was_followed_last() {
        let mut working = set(1);
        working.status = Some(status(&working, &done(), Some(&pods([true, true])), Timestamp::UNIX_EPOCH));
        working.metadata.generation = Some(4);
        let expected = [
            ("Ready", "True", "EnoughReplicasServe"),
            ("Reconciling", "False", "Paused"),
            ("Progressing", "Unknown", "Paused"),
        ];
        check(&working, &Outcome::Paused, &pods([true, true]), expected);
        let paused = status(&working, &Outcome::Paused, Some(&pods([true, true])), Timestamp::UNIX_EPOCH);
        assert_eq!(paused.observed_generation, Some(3));
        assert_eq!(condition(&paused, "Accepted"), ("True".to_owned(), "Accepted".to_owned()));
        let outage = [
            ("Ready", "False", "TooFewReplicasServe"),
            ("Available", "False", "TooFewReplicasServe"),
            ("Stalled", "False", "Accepted"),
        ];
        check(&working, &Outcome::Paused, &pods([false, false]), outage);
        let new = [
            ("Ready", "Unknown", "Paused"),
            ("Accepted", "Unknown", "Paused"),
            ("Reconciling", "False", "Paused"),
        ];
        check(&set(1), &Outcome::Paused, &pods([true, true]), new);
    }

    #[test]
    fn troubles_of_objects_are_degraded_with_their_own_reason() {
        let trouble = Trouble("FieldConflict", "rival keeps changing".to_owned());
        let found = super::status(
            &set(1),
            None,
            &done(),
            &[trouble],
            Some(&pods([true, true])),
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(condition(&found, "Degraded"), ("True".to_owned(), "FieldConflict".to_owned()));
        assert_eq!(condition(&found, "Ready"), ("True".to_owned(), "EnoughReplicasServe".to_owned()));
    }

    #[test]
    fn a_set_that_only_observes_says_what_it_would_have_done() {
        let mut observing = set(1);
        observing.spec.health.mode = Mode::Observe;
        let found = status(&observing, &done(), Some(&pods([true, true])), Timestamp::UNIX_EPOCH);
        let accepted =
            found.conditions.iter().find(|condition| condition.type_ == "Accepted").expect("Accepted");
        assert_eq!((accepted.status.as_str(), accepted.reason.as_str()), ("True", "ObserveOnly"));
        assert!(accepted.message.ends_with("Enforce would keep out nobody"), "{}", accepted.message);
    }

    #[test]
    fn movement_of_tips_alone_is_no_news() {
        let before = status(&set(1), &done(), Some(&pods([true, true])), Timestamp::UNIX_EPOCH);
        let moved = StoreReplicaSetStatus { fleet_tip: Some(9), proven_tip: Some(7), ..before.clone() };
        assert!(!is_news(Some(&before), &moved));
        let fewer = StoreReplicaSetStatus { in_sync_replicas: 9, ..before.clone() };
        assert!(is_news(Some(&before), &fewer));
        assert!(is_news(None, &before));
    }

    #[test]
    fn rates_are_as_exact_as_they_are_of_use() {
        let check = |rate: f64, text: &str| assert_eq!(super::rate_text(rate), text);
        check(0.0, "0");
        check(0.333, "0.33");
        check(9.994, "9.99");
        check(12_000.4, "12000");
    }

    #[test]
    fn a_status_that_the_watch_does_not_show_yet_is_not_written_again() {
        let (set, pods) = (set(1), pods([true, true]));
        let written = status(&set, &done(), Some(&pods), Timestamp::UNIX_EPOCH);
        let later = Timestamp::from_second(9).expect("a time");
        assert_eq!(super::status(&set, Some(&written), &done(), &[], Some(&pods), later), written);
    }

    #[test]
    fn before_the_first_judgement_what_judging_decides_stays_as_it_was() {
        let mut judged = set(1);
        judged.status = Some(status(&judged, &done(), Some(&pods([true, true])), Timestamp::UNIX_EPOCH));
        let next = status(&judged, &done(), None, Timestamp::UNIX_EPOCH);
        assert_eq!((next.replicas, next.ready_replicas), (2, 2));
        assert_eq!(condition(&next, "Ready"), ("True".to_owned(), "EnoughReplicasServe".to_owned()));
    }

    #[test]
    fn a_spec_that_is_newly_followed_is_not_done_before_anybody_looked() {
        let making = || applied(json!({ "observedGeneration": 4 }));
        let reconciling = ("True".to_owned(), "RollingOut".to_owned());
        let mut set = set(1);
        let first = status(&set, &making(), None, Timestamp::UNIX_EPOCH);
        assert_eq!(first.observed_generation, Some(3));
        assert_eq!(condition(&first, "Reconciling"), reconciling);
        set.status = Some(status(&set, &done(), Some(&pods([true, true])), Timestamp::UNIX_EPOCH));
        set.metadata.generation = Some(4);
        let changed = status(&set, &making(), None, Timestamp::UNIX_EPOCH);
        assert_eq!(condition(&changed, "Reconciling"), reconciling);
    }
}
