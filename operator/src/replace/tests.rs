//! The plan, by what stands in the cluster and what was judged.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::json;
use tidemark_judge::{Intent, Judgement, Reason, Verdict};

use super::{
    fleet::{Fleet, Missing},
    plan::{Plan, Step, plan},
    scale::target,
};
use crate::{
    api::StoreReplicaSet,
    freshness::{Claim, PodFacts, Snapshot, Trouble},
};

const DEADLINE: Duration = Duration::from_secs(600);
const MADE: i64 = 1_000;

/// A pod: the revision of its template, and how it stands.
#[derive(Clone, Copy)]
struct Seen {
    revision: &'static str,
    reason: Reason,
    ready: bool,
}

const fn seen(revision: &'static str, reason: Reason) -> Seen {
    let ready = matches!(reason, Reason::InSync | Reason::HeldByFloor | Reason::HeldFirstRound);
    Seen { revision, reason, ready }
}

fn set(replicas: u32) -> StoreReplicaSet {
    let set = json!({
        "metadata": { "name": "a", "namespace": "n", "uid": "u" },
        "spec": { "replicas": replicas, "primary": { "url": "http://p:1" }, "follower": { "image": "i" } },
    });
    serde_json::from_value(set).expect("a set")
}

/// A StatefulSet whose present template is `new`.
fn statefulset(replicas: u32, observed: i64) -> StatefulSet {
    let found = json!({
        "metadata": { "name": "a", "generation": 5 },
        "spec": { "replicas": replicas, "selector": {}, "serviceName": "a", "template": {} },
        "status": { "observedGeneration": observed, "replicas": replicas, "updateRevision": "new" },
    });
    serde_json::from_value(found).expect("a StatefulSet")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn snapshot(pods: &[Seen]) -> Snapshot {
    let (mut snapshot, mut facts) = (Snapshot::default(), Vec::new());
    for (ordinal, seen) in pods.iter().enumerate() {
        let serves = seen.ready || seen.reason == Reason::InSync;
        snapshot.judgement.verdicts.push(Verdict {
            pod: format!("a-{ordinal}").into(),
            uid: format!("u{ordinal}").into(),
            ..crate::testing::verdict(serves && !seen.reason.is_on_purpose(), seen.reason)
        });
        snapshot.since.push(at(MADE));
        facts.push(PodFacts {
            name: format!("a-{ordinal}"),
            uid: format!("u{ordinal}"),
            resource_version: format!("{ordinal}7"),
            ready: seen.ready,
            terminating: seen.reason == Reason::Terminating,
            revision: Some(seen.revision.to_owned()),
            created: Some(at(MADE)),
            ..PodFacts::default()
        });
    }
    snapshot.pods = facts.into();
    snapshot
}

fn facts(snapshot: &mut Snapshot) -> &mut [PodFacts] {
    Arc::make_mut(&mut snapshot.pods)
}

fn made(replicas: u32, kept: u32, snapshot: &Snapshot, now: i64) -> Plan {
    let (set, statefulset) = (set(replicas), statefulset(kept, 5));
    plan(&Fleet::of(&set, &statefulset, snapshot), DEADLINE, at(now))
}

fn summary(plan: &Plan) -> (Vec<(&str, Intent)>, Vec<&str>) {
    let intents = plan.intents.iter().map(|(uid, intent)| (uid.as_str(), *intent));
    let steps = plan.steps.iter().map(|step| match step {
        Step::Replace(doomed) | Step::Rebuild(doomed) => doomed.uid.as_str(),
    });
    (intents.collect(), steps.collect())
}

fn check(pods: &[Seen], intents: &[(&str, Intent)], deleted: &[&str]) {
    let count = u32::try_from(pods.len()).expect("few");
    let plan = made(count, count, &snapshot(pods), MADE);
    assert_eq!(summary(&plan), (intents.to_vec(), deleted.to_vec()), "{plan:?}");
}

use Reason::{
    AwaitingFirstSample, CatchingUp, Fenced, HeldByFloor, InSync, Lagging, NotRunning, Replacing, Terminating,
};

#[test]
fn nobody_leaves_while_all_run_the_present_template() {
    check(&[seen("new", InSync), seen("new", Lagging)], &[], &[]);
}

#[test]
fn the_highest_ordinal_goes_first_and_is_deleted_once_it_is_seen_out() {
    let old = seen("old", InSync);
    check(&[old, old, old], &[("u2", Intent::Replace)], &[]);
    let leaving = Seen { ready: true, ..seen("old", Replacing) };
    check(&[old, old, leaving], &[("u2", Intent::Replace)], &[]);
    check(&[old, old, seen("old", Replacing)], &[("u2", Intent::Replace)], &["u2"]);
}

#[test]
fn the_next_waits_until_the_replacement_is_in_sync() {
    let old = seen("old", InSync);
    for reason in [Terminating, AwaitingFirstSample, CatchingUp, Lagging, HeldByFloor, NotRunning] {
        check(&[old, old, seen("new", reason)], &[], &[]);
    }
    check(&[old, old, Seen { ready: false, ..seen("new", InSync) }], &[], &[]);
    for reason in [InSync, Fenced] {
        check(&[old, old, seen("new", reason)], &[("u1", Intent::Replace)], &[]);
    }
    let missing = snapshot(&[old, old]);
    assert_eq!(summary(&made(3, 3, &missing, MADE)), (vec![], vec![]));
}

#[test]
fn one_that_lags_goes_before_one_that_is_in_and_what_has_begun_before_both() {
    let (old, lagging) = (seen("old", InSync), seen("old", Lagging));
    check(&[lagging, lagging, old], &[("u1", Intent::Replace)], &["u1"]);
    check(&[seen("old", Replacing), lagging, old], &[("u0", Intent::Replace)], &["u0"]);
}

#[test]
fn all_that_are_broken_go_at_once_and_nobody_else_with_them() {
    let (broken, waiting) = (seen("old", NotRunning), seen("old", AwaitingFirstSample));
    let (zero, one) = (("u0", Intent::Replace), ("u1", Intent::Replace));
    check(&[broken, waiting, seen("old", InSync)], &[zero, one], &["u0", "u1"]);
    check(&[broken, seen("old", Fenced), seen("old", Lagging)], &[zero, one], &["u0", "u1"]);
}

#[test]
fn one_that_may_come_back_waits_for_the_replacement_and_one_in_trouble_does_not() {
    let pods = [seen("old", InSync), seen("old", NotRunning), seen("new", CatchingUp)];
    check(&pods, &[], &[]);
    let mut crashing = snapshot(&pods);
    facts(&mut crashing)[1].trouble =
        Some(Trouble { reason: "CrashLoopBackOff".to_owned(), text: String::new() });
    assert_eq!(summary(&made(3, 3, &crashing, MADE)).1, ["u1"]);
}

#[test]
fn a_template_that_the_controller_has_not_seen_replaces_nobody() {
    let (set, pods) = (set(1), snapshot(&[seen("old", NotRunning)]));
    let statefulset = statefulset(1, 4);
    let plan = plan(&Fleet::of(&set, &statefulset, &pods), DEADLINE, at(MADE));
    assert_eq!(summary(&plan), (vec![], vec![]));
}

#[test]
fn a_replacement_that_is_not_in_sync_in_time_stalls_the_rollout_until_it_is_or_is_superseded() {
    let old = seen("old", InSync);
    let pods = snapshot(&[old, seen("new", Lagging)]);
    let early = made(2, 2, &pods, MADE + 599);
    assert_eq!((early.again, early.progress.stalled), (Some(Duration::from_secs(1)), None));
    let late = made(2, 2, &pods, MADE + 600);
    let why = late.progress.stalled.as_deref().expect("stalled");
    assert!(why.contains("a-1 has not been in sync for 600 s") && why.contains("too far behind"), "{why}");
    assert_eq!((&late.intents, late.again), (&crate::freshness::Intents::new(), None));
    let superseded = snapshot(&[old, seen("newer", Lagging)]);
    assert_eq!(summary(&made(2, 2, &superseded, MADE + 600)).1, ["u1"]);
    let done = snapshot(&[seen("new", InSync), seen("new", Lagging)]);
    assert_eq!(made(2, 2, &done, MADE + 600).progress.stalled, None, "nobody waits for it");
}

#[test]
fn a_pod_that_is_never_made_stalls_the_rollout_too() {
    let (set, statefulset) = (set(2), statefulset(2, 5));
    let pods = snapshot(&[seen("new", InSync)]);
    let missing = |known: &Missing, now: i64| {
        let fleet = Fleet::of(&set, &statefulset, &pods).missing_since(known, at(now));
        (fleet.missing.clone(), plan(&fleet, DEADLINE, at(now)))
    };
    let (known, first) = missing(&Missing::new(), MADE);
    assert_eq!(known, [(1, at(MADE))].into());
    assert_eq!((first.again, first.progress.stalled), (Some(DEADLINE), None));
    assert_eq!(missing(&known, MADE + 599).1.again, Some(Duration::from_secs(1)));
    let why = missing(&known, MADE + 600).1.progress.stalled.expect("stalled");
    assert!(why.contains("pod 1 has not been made for 600 s"), "{why}");
    let whole = snapshot(&[seen("new", InSync), seen("new", InSync)]);
    assert!(Fleet::of(&set, &statefulset, &whole).missing_since(&known, at(MADE)).missing.is_empty());
}

#[test]
fn the_time_of_a_replacement_counts_from_when_it_was_last_ready() {
    let mut pods = snapshot(&[seen("old", InSync), seen("new", Lagging)]);
    facts(&mut pods)[1].ready_changed = Some(at(MADE + 500));
    assert_eq!(made(2, 2, &pods, MADE + 1_099).progress.stalled, None);
    assert!(made(2, 2, &pods, MADE + 1_100).progress.stalled.is_some());
}

#[test]
fn one_to_be_rebuilt_goes_with_its_volume_one_at_a_time_unless_it_is_out() {
    let claim = Claim { name: "data-a-1".to_owned(), uid: Some("v".to_owned()) };
    let mut pods = snapshot(&[seen("new", InSync), seen("new", InSync), seen("new", InSync)]);
    facts(&mut pods)[0].rebuild = true;
    (facts(&mut pods)[1].rebuild, facts(&mut pods)[1].claim) = (true, Some(claim.clone()));
    assert_eq!(summary(&made(3, 3, &pods, MADE)), (vec![("u1", Intent::Rebuild)], vec![]));
    (pods.judgement.verdicts[1].serves, pods.judgement.verdicts[1].reason) = (false, Reason::Rebuilding);
    facts(&mut pods)[1].ready = false;
    let plan = made(3, 3, &pods, MADE);
    let [Step::Rebuild(doomed)] = plan.steps.as_slice() else { panic!("{plan:?}") };
    assert_eq!((doomed.version.as_str(), &doomed.claim), ("17", &Some(claim)));
    (pods.judgement.verdicts[1].reason, pods.judgement.verdicts[2].reason) = (Lagging, Lagging);
    pods.judgement.verdicts[2].serves = false;
    facts(&mut pods)[2].ready = false;
    assert_eq!(summary(&made(3, 3, &pods, MADE)).1, ["u1"], "it needs nobody else");
}

#[test]
fn replicas_grow_at_once_and_shrink_as_far_as_the_last_are_out() {
    let next = |wanted: u32, kept: u32, pods: &[Seen]| {
        target(&set(wanted), Some(&statefulset(kept, 5)), Some(&snapshot(pods)))
    };
    let (inside, outside) = (seen("new", InSync), seen("new", Lagging));
    assert_eq!(next(5, 2, &[inside, inside]), 5);
    assert_eq!(next(1, 3, &[inside, inside, inside]), 3);
    assert_eq!(next(1, 3, &[inside, inside, outside]), 2);
    assert_eq!(next(1, 3, &[inside, outside, inside]), 3);
    assert_eq!(next(1, 3, &[inside, outside, outside]), 1);
    assert_eq!(next(1, 7, &[inside, inside]), 2, "pods that were never made");
    let leaving = Seen { ready: true, ..seen("new", Reason::ScalingDown) };
    assert_eq!(next(0, 1, &[leaving]), 1, "its endpoint may still be there");
    assert_eq!(next(0, 1, &[seen("new", Reason::ScalingDown)]), 0);
    assert_eq!(next(1, 1, &[outside]), 1);
}

#[test]
fn pods_that_have_lost_their_statefulset_are_let_go_one_by_one_too() {
    let inside = seen("new", InSync);
    let pods = snapshot(&[inside, inside, inside]);
    assert_eq!(target(&set(1), None, Some(&pods)), 3);
    assert_eq!(
        target(&set(1), None, Some(&Snapshot { judgement: Judgement::default(), ..Snapshot::default() })),
        1
    );
    assert_eq!(target(&set(1), Some(&statefulset(3, 5)), None), 3, "nothing is known of its pods");
}

#[test]
fn the_last_of_too_many_is_asked_to_leave_and_is_not_replaced() {
    let (old, new) = (seen("old", InSync), seen("new", InSync));
    let plan = made(1, 3, &snapshot(&[new, old, old]), MADE);
    assert_eq!(summary(&plan), (vec![("u2", Intent::ScaleDown)], vec![]));
    let plan = made(1, 2, &snapshot(&[old, old, seen("old", Lagging)]), MADE);
    let expected = vec![("u0", Intent::Replace), ("u1", Intent::ScaleDown), ("u2", Intent::ScaleDown)];
    assert_eq!(summary(&plan), (expected, vec![]));
}
