//! From claims to verdicts, gate writes and the memory of each member. Changes no decision.

use crate::{
    GateStatus, GateWrite, Judgement, Memory, Moment, Notice, Reason, Remembered, Verdict,
    case::{Case, Claim, Set},
    mark,
};

/// Ends the judgement.
pub(crate) fn conclude(mut set: Set<'_>) -> (Judgement, Memory) {
    remember_volumes(&mut set);
    report_floor(&mut set);
    for at in 0..set.cases.len() {
        settle(&mut set, at);
        let verdict = verdict(&set, at);
        set.judgement.verdicts.push(verdict);
    }
    let members = set.cases.into_iter().map(|case| (case.member.uid.clone(), case.memory)).collect();
    (set.judgement, Memory { members, set: set.memory })
}

fn report_floor(set: &mut Set<'_>) {
    let (min_serving, replicas) = (set.policy.min_serving, set.policy.replicas);
    if min_serving > replicas && replicas > 0 {
        set.judgement.notices.push(Notice::FloorAboveReplicas { min_serving, replicas });
    }
}

/// What was found of a volume is forgotten when no pod has used it for `forgetAfter`.
fn remember_volumes(set: &mut Set<'_>) {
    let (now, forget_after) = (set.now, set.policy.forget_after);
    for case in &set.cases {
        let volume = &case.member.volume;
        let is_in_sync = case.claim.serves && case.claim.reason == Reason::InSync;
        if is_in_sync || set.memory.synced.contains_key(volume) {
            set.memory.synced.insert(volume.clone(), now);
        }
    }
    for case in &set.cases {
        match case.memory.diverged {
            Some(height) => set.memory.diverged.insert(case.member.volume.clone(), (height, now)),
            None => set.memory.diverged.remove(&case.member.volume),
        };
    }
    let kept = |seen_at: &Moment| now.since(*seen_at) <= forget_after;
    set.memory.synced.retain(|_, seen_at| kept(seen_at));
    set.memory.diverged.retain(|_, (_, seen_at)| kept(seen_at));
}

/// Keeps the decision for the next judgement.
fn settle(set: &mut Set<'_>, at: usize) {
    let now = set.now;
    let Case { memory, claim, member, .. } = &mut set.cases[at];
    if memory.serves {
        memory.failed_at = (!member.ready).then_some(now);
    }
    if memory.serves && !claim.serves {
        memory.streak = 0;
    }
    if claim.serves && !memory.serves {
        (memory.entered_at, memory.exit) = (Some(now), None);
    }
    if !claim.serves && (memory.serves || claim.reason.is_on_purpose()) {
        (memory.entered_at, memory.exit) = (None, Some(claim.reason));
    }
    memory.serves = claim.serves;
    memory.fit = is_fit(memory.fit, *claim);
    if memory.verdict != Some((claim.serves, claim.reason)) {
        (memory.verdict, memory.since) = (Some((claim.serves, claim.reason)), now);
    }
}

/// Merit is earned by being in sync, lost with the place, and unchanged while nothing can be told.
const fn is_fit(was: bool, claim: Claim) -> bool {
    match claim.reason {
        Reason::InSync => claim.serves,
        Reason::HeldByFloor => false,
        _ => claim.serves && was,
    }
}

fn verdict(set: &Set<'_>, at: usize) -> Verdict {
    let mut verdict = describe(set, &set.cases[at]);
    verdict.gate = gate(set, at, &verdict);
    verdict
}

fn describe(set: &Set<'_>, case: &Case<'_>) -> Verdict {
    let threshold = if case.memory.fit { set.policy.max_lag } else { set.policy.readmit_lag };
    Verdict {
        pod: case.member.name.clone(),
        uid: case.member.uid.clone(),
        serves: case.claim.serves,
        reason: case.claim.reason,
        held_from: case.claim.held_from,
        tip: case.last_tip(),
        proven: case.last.and_then(|sample| sample.proven),
        lag: case.lag(),
        reference: case.reference,
        threshold,
        since: case.memory.since,
        gate: None,
    }
}

/// The gate to write, if what stands on the pod says anything else. A pod that is being deleted needs none, and in
/// a first round only what changes a status is written. A mark that has risen alone is no reason to write.
fn gate(set: &Set<'_>, at: usize, verdict: &Verdict) -> Option<GateWrite> {
    let open = set.opens(&set.cases[at]);
    let case = &set.cases[at];
    let mut wanted = to_remember(set, case);
    let seen = &case.member.gate;
    let status = if open { GateStatus::True } else { GateStatus::False };
    let differs = seen.status != status || seen.reason != Some(verdict.reason);
    if !differs {
        wanted.mark = wanted.mark.and(seen.remembered.mark);
    }
    let as_found = seen.status == status && !set.memory.round.done;
    if case.member.terminating || as_found || (!differs && seen.remembered == wanted) {
        return None;
    }
    Some(GateWrite { open, reason: verdict.reason, message: wanted.message(&verdict.text()) })
}

/// What the next leader is to know. One that is in on its own merit is bound by no mark.
fn to_remember(set: &Set<'_>, case: &Case<'_>) -> Remembered {
    let volume = &case.member.volume;
    Remembered {
        container: case.member.container.clone().or_else(|| case.memory.container.clone()),
        mark: mark::to_remember(&set.memory).filter(|_| !case.memory.fit),
        synced: set.was_synced(volume).then(|| volume.clone()),
        diverged: case.memory.diverged,
    }
}
