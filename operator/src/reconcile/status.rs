//! The status of a set: what it says (pure), and when it is worth a write.

use std::time::Duration;

use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tidemark_judge::Verdict;

use super::{
    CALL_TIMEOUT,
    conditions::{self, Outcome, dated, of_judging, of_objects},
};
use crate::{
    api::{Member, StoreReplicaSet, StoreReplicaSetStatus},
    freshness::Snapshot,
    names::{self, FIELD_MANAGER, SetKey},
};

/// How often mere movement of tips is written.
pub(super) const REFRESH: Duration = Duration::from_secs(30);

/// Why a status could not be written.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The API server refused or failed.
    #[error("cannot write the status: {0}")]
    Write(Box<kube::Error>),
    /// The API server did not answer.
    #[error("cannot write the status: no answer within {} s", .0.as_secs())]
    Slow(Duration),
}

/// What the status is to say. Before the first judgement what judging decides stays as it was.
pub(super) fn status(
    set: &StoreReplicaSet,
    outcome: &Outcome,
    snapshot: Option<&Snapshot>,
    now: Timestamp,
) -> StoreReplicaSetStatus {
    let before = set.status.clone().unwrap_or_default();
    let generation = set.metadata.generation;
    let Some(snapshot) = snapshot else {
        let mut findings = dated(of_objects(set, outcome, &[]), &before.conditions, generation, now);
        // Nobody has looked at the pods yet, so what they decide is left as it was.
        findings.retain(|condition| condition.type_ == "Accepted" || condition.type_ == "Stalled");
        let kept = before.conditions.iter().filter(|old| !findings.iter().any(|new| new.type_ == old.type_));
        let conditions = findings.iter().chain(kept).cloned().collect();
        return StoreReplicaSetStatus { observed_generation: generation, conditions, ..before };
    };
    let mut findings = of_objects(set, outcome, &snapshot.pods);
    if let (Outcome::Applied(_), Some((reason, message))) = (outcome, conditions::unwise(snapshot)) {
        for accepted in findings.iter_mut().filter(|finding| finding.type_ == "Accepted") {
            (accepted.reason, accepted.message) = (reason.to_owned(), message.clone());
        }
    }
    findings.extend(of_judging(snapshot));
    StoreReplicaSetStatus {
        observed_generation: generation,
        replicas: count(snapshot.pods.len()),
        ready_replicas: count(snapshot.pods.iter().filter(|pod| pod.ready).count()),
        in_sync_replicas: count(
            snapshot.judgement.verdicts.iter().filter(|verdict| verdict.in_sync()).count(),
        ),
        fleet_tip: snapshot.judgement.fleet_tip.map(|tip| tip.0),
        proven_tip: snapshot.judgement.proven_tip.map(|tip| tip.0),
        genesis: snapshot.judgement.genesis.map(|genesis| genesis.to_string()).or(before.genesis),
        selector: Some(names::selector(set.metadata.name.as_deref().unwrap_or_default())),
        conditions: dated(findings, &before.conditions, generation, now),
        members: members(snapshot),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn members(snapshot: &Snapshot) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for (verdict, since) in snapshot.judgement.verdicts.iter().zip(&snapshot.since) {
        // While a pod is being replaced two bear its name; the status has room for the later one.
        members.retain(|member| member.name != verdict.pod.as_str());
        members.push(member(verdict, *since));
    }
    members
}

fn member(verdict: &Verdict, since: Timestamp) -> Member {
    Member {
        name: verdict.pod.to_string(),
        tip: verdict.tip.map(|tip| tip.0),
        lag: verdict.lag,
        verdict: if verdict.serves { "In" } else { "Out" }.to_owned(),
        reason: verdict.reason.to_string(),
        since: Some(since.to_string()),
        held_by: verdict.held_from.map(|_| verdict.reason.to_string()),
    }
}

/// Whether `next` says something that cannot wait: anything but how far tips have moved.
pub(super) fn is_news(before: Option<&StoreReplicaSetStatus>, next: &StoreReplicaSetStatus) -> bool {
    before.map(without_movement) != Some(without_movement(next))
}

fn without_movement(status: &StoreReplicaSetStatus) -> StoreReplicaSetStatus {
    let mut status = status.clone();
    (status.fleet_tip, status.proven_tip) = (None, None);
    for member in &mut status.members {
        (member.tip, member.lag, member.since) = (None, None, None);
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
    status: &StoreReplicaSetStatus,
) -> Result<(), StatusError> {
    let api: Api<StoreReplicaSet> = Api::namespaced(client.clone(), &key.namespace);
    let body = json!({
        "apiVersion": "tidemark.dev/v1alpha1",
        "kind": "StoreReplicaSet",
        "metadata": { "name": key.name },
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(&body);
    match tokio::time::timeout(CALL_TIMEOUT, api.patch_status(&key.name, &params, &patch)).await {
        Ok(result) => result.map(drop).map_err(|error| StatusError::Write(Box::new(error))),
        Err(_) => Err(StatusError::Slow(CALL_TIMEOUT)),
    }
}
