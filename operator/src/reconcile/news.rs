//! Which changes of a status are told as events. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::StoreReplicaSetStatus;

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) warning: bool,
    pub(super) reason: String,
    pub(super) note: String,
}

/// What differs between two statuses written one after the other: a spec newly refused or accepted, and each trouble
/// that begins, takes another reason, or ends.
pub(super) fn news(before: Option<&StoreReplicaSetStatus>, next: &StoreReplicaSetStatus) -> Vec<News> {
    let was = |type_: &str| before.and_then(|before| find(before, type_));
    let told = next.conditions.iter().filter_map(|now| match now.type_.as_str() {
        "Accepted" => accepted(was("Accepted"), now),
        "Degraded" | "ChainStalled" | "ObservationDegraded" => trouble(was(&now.type_), now),
        "Progressing" => progress(was("Progressing"), now),
        _ => None,
    });
    told.collect()
}

fn find<'a>(status: &'a StoreReplicaSetStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

fn accepted(was: Option<&Condition>, now: &Condition) -> Option<News> {
    let refused = now.status == "False";
    let changed = was.is_some_and(|was| (was.status == "False") != refused);
    changed.then(|| tell(refused, if refused { "Refused" } else { "Accepted" }, &now.message))
}

fn trouble(was: Option<&Condition>, now: &Condition) -> Option<News> {
    let raised = now.status == "True";
    let was_raised = was.is_some_and(|was| was.status == "True");
    let changed = raised != was_raised || (raised && was.is_some_and(|was| was.reason != now.reason));
    changed.then(|| tell(raised, &now.reason, &now.message))
}

/// Being paused and going on, and a rollout that goes no further or is done; a follower that does not start is told of as
/// a trouble.
fn progress(was: Option<&Condition>, now: &Condition) -> Option<News> {
    let entered = |reason: &str| now.reason == reason && was.is_some_and(|was| was.reason != reason);
    if entered("RolloutStalled") {
        return Some(tell(true, "RolloutStalled", &now.message));
    }
    if entered("RolledOut") && was.is_some_and(|was| was.reason != "Paused") {
        return Some(tell(false, "RolledOut", &now.message));
    }
    let paused = now.reason == "Paused";
    let was_paused = was.is_some_and(|was| was.reason == "Paused");
    (paused != was_paused).then(|| tell(false, if paused { "Paused" } else { "Resumed" }, &now.message))
}

fn tell(warning: bool, reason: &str, note: &str) -> News {
    News { warning, reason: reason.to_owned(), note: note.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{StoreReplicaSetStatus, news};

    fn status(conditions: &[(&str, &str, &str)]) -> StoreReplicaSetStatus {
        let condition = |(type_, status, reason): &(&str, &str, &str)| {
            json!({
                "type": type_, "status": status, "reason": reason, "message": "m",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let conditions: Vec<_> = conditions.iter().map(condition).collect();
        serde_json::from_value(json!({ "conditions": conditions })).expect("a status")
    }

    fn check(before: (&str, &str, &str), next: (&str, &str, &str), expected: &[&str]) {
        let told = news(Some(&status(&[before])), &status(&[next]));
        assert_eq!(told.iter().map(|news| news.reason.as_str()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn only_transitions_are_told() {
        let (good, bad) = (("Accepted", "True", "Accepted"), ("Accepted", "False", "NameConflict"));
        check(good, bad, &["Refused"]);
        check(bad, good, &["Accepted"]);
        check(bad, ("Accepted", "False", "ObjectRefused"), &[]);
        check(good, ("Accepted", "True", "FloorAboveReplicas"), &[]);
        let (calm, contested) = (("Degraded", "False", "AsExpected"), ("Degraded", "True", "FieldConflict"));
        check(calm, contested, &["FieldConflict"]);
        check(contested, contested, &[]);
        check(contested, ("Degraded", "True", "Divergence"), &["Divergence"]);
        check(contested, calm, &["AsExpected"]);
        check(
            ("ChainStalled", "False", "BlocksArrive"),
            ("ChainStalled", "True", "NoNewBlocks"),
            &["NoNewBlocks"],
        );
        let (going, paused) = (("Progressing", "True", "RolledOut"), ("Progressing", "Unknown", "Paused"));
        check(going, paused, &["Paused"]);
        check(paused, going, &["Resumed"]);
        check(going, ("Progressing", "True", "RollingOut"), &[]);
    }

    #[test]
    fn a_new_set_tells_of_its_troubles_and_of_nothing_else() {
        let told =
            news(None, &status(&[("Accepted", "True", "Accepted"), ("Degraded", "False", "AsExpected")]));
        assert_eq!(told, []);
        assert_eq!(news(None, &status(&[("ObservationDegraded", "True", "PrimarySilent")])).len(), 1);
    }
}
