//! Rule 9: missing data is not evidence. Only so many members of a set go out for being silent.

use crate::{
    Notice, Reason,
    case::{Case, Set},
};

/// How many members of a set may be out as Unknown at a time: a third, and at least one.
fn allowance(replicas: u32) -> usize {
    usize::try_from(replicas / 3).unwrap_or(usize::MAX).max(1)
}

/// Lets the longest silent go, up to the allowance, and holds the rest.
pub(crate) fn hold_most(set: &mut Set<'_>) {
    let unknown = |case: &Case<'_>| case.claim.reason == Reason::Unknown;
    let spent = set.cases.iter().filter(|case| is_out_for_silence(case)).count();
    let left = allowance(set.policy.replicas).saturating_sub(spent);
    let mut leaving: Vec<usize> =
        (0..set.cases.len()).filter(|&at| unknown(&set.cases[at]) && may_be_held(&set.cases[at])).collect();
    leaving.sort_by_key(|&at| (set.cases[at].last.map(|sample| sample.asked_at), at));
    leaving.into_iter().skip(left).for_each(|at| set.cases[at].hold(Reason::HeldUnknown));
}

/// One that was in only because the floor held it was known to be behind; its silence changes nothing.
fn may_be_held(case: &Case<'_>) -> bool {
    case.is_incumbent() && case.memory.fit
}

/// Whether it went out for its silence and nothing else has been found against it since. One that speaks again spends
/// the allowance until it is back, or the next would go out in its place, and so on through the set.
fn is_out_for_silence(case: &Case<'_>) -> bool {
    let nothing_else =
        matches!(case.claim.reason, Reason::Unknown | Reason::CatchingUp | Reason::AwaitingReference);
    !case.is_incumbent() && case.memory.exit == Some(Reason::Unknown) && nothing_else
}

/// Says who is silent, as long as somebody is kept in for that.
pub(crate) fn report(set: &mut Set<'_>) {
    let held = set.names(|case| case.claim.held_from == Some(Reason::Unknown));
    if !held.is_empty() {
        let silent = set.names(|case| {
            case.claim.reason == Reason::Unknown || case.claim.held_from == Some(Reason::Unknown)
        });
        set.judgement.notices.push(Notice::MembersSilent { silent, held });
    }
}
