//! Rule 11: a new leader starts from the gates it finds, and observes a full round before it takes anybody out.

use crate::{
    Mode, Reason,
    case::{Case, Set},
};

/// Starts a round for a new leader, one that stood still, or a set that leaves `mode: Observe`, and ends it when all
/// have been heard.
pub(crate) fn advance(set: &mut Set<'_>) {
    let leaves_observe = set.memory.round.mode == Mode::Observe && set.policy.mode == Mode::Enforce;
    if set.memory.round.started.is_none() || leaves_observe || stood_still(set) {
        set.memory.round.started = Some(set.now);
        set.memory.round.done = false;
        set.cases.iter_mut().for_each(|case| case.memory.serves |= leaves_observe && case.gate_is_open());
    }
    set.memory.round.mode = set.policy.mode;
    set.memory.round.judged_at = set.now;
    set.memory.round.done |= is_complete(set);
}

/// Whether nobody was judged for so long that samples are old because nobody was asked, and not because nobody
/// answered. A set is judged at least once per `pollInterval`.
fn stood_still(set: &Set<'_>) -> bool {
    let longest = (set.policy.poll_interval * 2).max(set.policy.stale_after / 2);
    set.now.since(set.memory.round.judged_at) > longest
}

/// Everybody who can answer has answered a request of this round, or has had its time.
fn is_complete(set: &Set<'_>) -> bool {
    let Some(started) = set.memory.round.started else { return false };
    let heard = |case: &Case<'_>| case.fresh && case.last.is_some_and(|sample| sample.asked_at >= started);
    let members = set.cases.iter().filter(|case| case.is_alive()).all(heard);
    let primary =
        !set.policy.observe_primary || set.primary.is_some_and(|primary| primary.asked_at >= started);
    let anybody = !set.cases.is_empty();
    (anybody && members && primary) || set.now.since(started) > set.policy.stale_after
}

/// Keeps open gates open until the round is over. What the pod itself shows needs no round.
pub(crate) fn hold(set: &mut Set<'_>) {
    if set.memory.round.done {
        return;
    }
    let evident = |reason| matches!(reason, Reason::Terminating | Reason::NotRunning | Reason::Fenced);
    for case in set.cases.iter_mut().filter(|case| case.is_incumbent()) {
        if !case.claim.serves && !evident(case.claim.reason) {
            case.hold(Reason::HeldFirstRound);
        }
    }
}
