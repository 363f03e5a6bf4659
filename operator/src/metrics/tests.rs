//! What a scraper reads after judgements and conditions.

use std::time::Duration;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use tidemark_judge::{BlockNumber, Judgement, Policy, Reason, Verdict};

use super::{Metrics, SampleAge};
use crate::{
    freshness::{PodFacts, Snapshot},
    names::SetKey,
};

fn key() -> SetKey {
    SetKey { namespace: "n".into(), name: "a".into() }
}

fn snapshot(reason: Reason, serves: bool) -> Snapshot {
    let verdict = Verdict { lag: Some(3), ..crate::testing::verdict(serves, reason) };
    let judgement =
        Judgement { verdicts: vec![verdict], fleet_tip: Some(BlockNumber(7)), ..Judgement::default() };
    let pods = [true, false].map(|ready| PodFacts { ready, ..PodFacts::default() });
    Snapshot { judgement, pods: pods.into(), ..Snapshot::default() }
}

fn condition(type_: &str, status: &str, reason: &str) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    }
}

fn text(metrics: &Metrics) -> String {
    metrics.text(&[]).expect("text")
}

#[test]
fn what_is_unknown_is_not_shown_as_it_last_was() {
    let (metrics, policy) = (Metrics::new(), Policy::default());
    metrics.judged(&key(), &policy, &snapshot(Reason::InSync, true));
    let mut silent = snapshot(Reason::Unknown, false);
    (silent.judgement.verdicts[0].lag, silent.judgement.fleet_tip) = (None, None);
    metrics.judged(&key(), &policy, &silent);
    let text = text(&metrics);
    assert!(!text.contains("replica_lag_blocks{") && !text.contains("fleet_tip_blocks{"), "{text}");
}

#[test]
fn a_replica_shows_its_latest_reason_only_and_nothing_once_the_set_is_gone() {
    let (metrics, policy) = (Metrics::new(), Policy::default());
    metrics.judged(&key(), &policy, &snapshot(Reason::InSync, true));
    metrics.judged(&key(), &policy, &snapshot(Reason::Lagging, false));
    metrics.conditions(&key(), &[condition("Ready", "True", "EnoughReplicasServe")]);
    let shown = text(&metrics);
    assert!(shown.contains("reason=\"Lagging\"} 0"), "{shown}");
    assert!(!shown.contains("InSync"), "{shown}");
    assert!(shown.contains("tidemark_operator_fleet_tip_blocks{namespace=\"n\",set=\"a\"} 7"), "{shown}");
    metrics.forget(&key());
    assert!(!text(&metrics).contains("set=\"a\""));
}

#[test]
fn what_a_set_wants_stands_beside_what_it_has_and_the_floor_is_never_above_the_replicas() {
    let metrics = Metrics::new();
    let policy = Policy { replicas: 2, min_serving: 5, max_lag: 4, ..Policy::default() };
    metrics.judged(&key(), &policy, &snapshot(Reason::InSync, true));
    let text = text(&metrics);
    for (name, value) in
        [("replicas", 2), ("floor_replicas", 2), ("ready_replicas", 1), ("max_lag_blocks", 4)]
    {
        let line = format!("tidemark_operator_{name}{{namespace=\"n\",set=\"a\"}} {value}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
}

#[test]
fn a_condition_shows_its_latest_reason_only_and_nothing_while_it_is_unknown() {
    let metrics = Metrics::new();
    metrics.conditions(
        &key(),
        &[
            condition("ChainStalled", "True", "NoNewBlocks"),
            condition("Ready", "True", "EnoughReplicasServe"),
        ],
    );
    assert!(text(&metrics).contains("condition=\"ChainStalled\",reason=\"NoNewBlocks\"} 1\n"));
    metrics.conditions(
        &key(),
        &[condition("ChainStalled", "False", "BlocksArrive"), condition("Ready", "Unknown", "Paused")],
    );
    let text = text(&metrics);
    assert!(text.contains("condition=\"ChainStalled\",reason=\"BlocksArrive\"} 0\n"), "{text}");
    assert!(!text.contains("NoNewBlocks") && !text.contains("condition=\"Ready\""), "{text}");
}

#[test]
fn the_age_of_a_sample_is_shown_as_it_is_now() {
    let metrics = Metrics::new();
    let age = |age| SampleAge { set: key(), pod: "a-0".into(), age };
    let name = "tidemark_operator_replica_sample_age_seconds{namespace=\"n\",set=\"a\",pod=\"a-0\"}";
    let shown = metrics.text(&[age(Duration::from_millis(1500))]).expect("text");
    assert!(shown.contains(&format!("{name} 1.5\n")) && shown.ends_with("# EOF\n"), "{shown}");
    assert!(!text(&metrics).contains(name));
}
