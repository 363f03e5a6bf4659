//! Rule 8: floor and ceiling. At least `minServing` stay in, but nobody beyond `hardMaxLagBlocks`.
//!
//! Only pods seen Ready count, so an exit that relies on another's entry waits for it.

use crate::{
    BlockNumber, Reason,
    case::{Case, Set},
};
use std::cmp::Reverse;

/// Holds and enters members until the floor is reached, the least lagging first.
pub(crate) fn hold(set: &mut Set<'_>) {
    let floor = usize::try_from(set.policy.min_serving).unwrap_or(usize::MAX);
    let missing = floor.saturating_sub(count(set, |case| case.claim.serves && is_endpoint(case)));
    if missing == 0 {
        return;
    }
    hold_first(set, missing, |case| case.member.ready);
    hold_coming(set);
    hold_first(set, missing.saturating_sub(held(set)), |case| !case.member.ready);
    let expected = count(set, |case| case.claim.serves && (is_endpoint(case) || is_coming(set, case)));
    enter(set, floor.saturating_sub(expected));
    displace(set);
}

fn count(set: &Set<'_>, which: impl Fn(&Case<'_>) -> bool) -> usize {
    set.cases.iter().filter(|case| which(case)).count()
}

fn held(set: &Set<'_>) -> usize {
    count(set, |case| case.claim.reason == Reason::HeldByFloor)
}

/// Whether it is an endpoint of the read Service now.
fn is_endpoint(case: &Case<'_>) -> bool {
    case.member.ready && case.is_incumbent() && case.is_present()
}

/// Whether it was let in, or is now, so short a time ago that the kubelet may still make it Ready.
fn is_coming(set: &Set<'_>, case: &Case<'_>) -> bool {
    let recently = case.memory.entered_at.is_some_and(|at| set.now.since(at) <= set.policy.stale_after);
    !is_endpoint(case) && (!case.memory.serves || recently)
}

/// Keeps the `most` best of the incumbents that would leave.
fn hold_first(set: &mut Set<'_>, most: usize, which: impl Fn(&Case<'_>) -> bool) {
    let leaving = |case: &Case<'_>| case.is_incumbent() && which(case) && is_eligible(set, case);
    let best = ranked(set, leaving);
    best.into_iter().take(most).for_each(|at| set.cases[at].hold(Reason::HeldByFloor));
}

/// Keeps those the kubelet may still make Ready: an exit waits for them.
fn hold_coming(set: &mut Set<'_>) {
    let coming = |case: &Case<'_>| case.is_incumbent() && is_coming(set, case) && is_eligible(set, case);
    ranked(set, coming).into_iter().for_each(|at| set.cases[at].hold(Reason::HeldByFloor));
}

/// Lets the `most` best of the others in. One whose entry has been decided and not yet
/// seen stays first; one that was let in before and did not become Ready is tried last.
fn enter(set: &mut Set<'_>, most: usize) {
    let mut best = ranked(set, |case| may_enter(set, case));
    best.sort_by_key(|&at| (!set.cases[at].memory.serves, set.cases[at].memory.failed_at));
    best.into_iter().take(most).for_each(|at| set.cases[at].hold(Reason::HeldByFloor));
}

/// Lets one in that is better by more than `maxLagBlocks` than one that is held, or that stays while the held one is to
/// leave for good; the latter leaves when it is Ready.
fn displace(set: &mut Set<'_>) {
    let held = set.cases.iter().filter(|case| case.claim.reason == Reason::HeldByFloor && is_endpoint(case));
    let Some((stays, worst)) = held.map(|case| (!case.leaves_for_good(), case.last_tip())).min() else {
        return;
    };
    if count(set, |case| case.claim.serves && is_coming(set, case)) > 0 {
        return;
    }
    let better = |case: &Case<'_>| {
        let ahead = || case.last_tip().is_some_and(|tip| is_better(tip, worst, set.policy.max_lag));
        may_enter(set, case) && !case.leaves_for_good() && (!stays || ahead())
    };
    ranked(set, better).into_iter().take(1).for_each(|at| set.cases[at].hold(Reason::HeldByFloor));
}

fn is_better(tip: BlockNumber, worst: Option<BlockNumber>, max_lag: u32) -> bool {
    worst.is_none_or(|worst| worst.behind(tip) > max_lag)
}

/// A gate is opened on a fresh sample only.
fn may_enter(set: &Set<'_>, case: &Case<'_>) -> bool {
    !case.is_incumbent() && case.fresh && is_eligible(set, case)
}

/// Whether it is out for a reason the floor may overrule, and is not worse than nothing.
fn is_eligible(set: &Set<'_>, case: &Case<'_>) -> bool {
    !case.claim.serves && case.claim.reason.is_measured() && case.is_alive() && is_useful(set, case)
}

/// An empty store is not the least bad answer: without a ceiling it must have been in sync on its volume.
fn is_useful(set: &Set<'_>, case: &Case<'_>) -> bool {
    match set.policy.hard_max_lag {
        Some(ceiling) => known_lag(set, case).is_some_and(|lag| lag <= ceiling),
        None => set.was_synced(&case.member.volume),
    }
}

fn known_lag(set: &Set<'_>, case: &Case<'_>) -> Option<u32> {
    case.lag().filter(|_| case.fresh).or_else(|| upper_bound_of_lag(set, case))
}

/// Its lag if it has not moved since its latest sample; 0 when there is nothing to measure against.
fn upper_bound_of_lag(set: &Set<'_>, case: &Case<'_>) -> Option<u32> {
    let mark = set.memory.mark.as_ref().map(|mark| mark.tip);
    let reference = set.judgement.fleet_tip.max(mark);
    case.last_tip().map(|tip| reference.map_or(0, |reference| tip.behind(reference)))
}

/// The members chosen, best first: one that does not leave for good, then the highest tip, a fresh sample, the name.
fn ranked(set: &Set<'_>, which: impl Fn(&Case<'_>) -> bool) -> Vec<usize> {
    let mut chosen: Vec<usize> = (0..set.cases.len()).filter(|&at| which(&set.cases[at])).collect();
    chosen.sort_by_key(|&at| {
        let case = &set.cases[at];
        (case.leaves_for_good(), Reverse(case.last_tip()), !case.fresh, at)
    });
    chosen
}
