//! Rule 12: one budget. Whoever is to leave on purpose leaves only when those that stay are enough.

use crate::{
    Intent, Reason,
    case::{Case, Claim, Set},
};
use std::cmp::Reverse;

/// Takes those out whose leaving is asked for and permitted, the ones that are out for it already first.
///
/// One that is refused stays what the rules before made of it; one that is out for another reason needs no permission.
pub(crate) fn spend(set: &mut Set<'_>) {
    let mut asking: Vec<usize> = (0..set.cases.len()).filter(|&at| asks(set, at)).collect();
    asking.sort_by_key(|&at| precedence(&set.cases[at], at));
    for at in asking {
        if let Some(intent) = set.cases[at].member.intent.filter(|intent| may_leave(set, at, *intent)) {
            set.cases[at].claim = Claim::out(intent.reason());
        }
    }
}

/// Whether it is to leave and would serve, or has left for that and would return some time.
fn asks(set: &Set<'_>, at: usize) -> bool {
    let case = &set.cases[at];
    let returns = has_left(case) && case.claim.reason.is_measured();
    case.member.intent.is_some() && case.is_alive() && (set.opens(case) || returns)
}

/// What has begun goes on, then those that are out anyway, then the highest ordinal, which is the last of the names.
fn precedence(case: &Case<'_>, at: usize) -> (bool, bool, Reverse<usize>) {
    (!has_left(case), case.is_incumbent(), Reverse(at))
}

/// Whether it was taken out for what is asked of it now.
fn has_left(case: &Case<'_>) -> bool {
    !case.memory.serves && case.memory.exit == case.member.intent.map(Intent::reason)
}

/// A new leader lets go on what has begun, and begins nothing before it has observed a full round.
fn may_leave(set: &Set<'_>, at: usize, intent: Intent) -> bool {
    let begun = has_left(&set.cases[at]);
    let staying = (0..set.cases.len()).filter(|&other| other != at && stays(set, &set.cases[other])).count();
    let enough = staying >= usize::try_from(needed(set, intent)).unwrap_or(usize::MAX);
    enough && (begun || set.memory.round.done) && (intent == Intent::ScaleDown || !is_another_out(set))
}

/// How many must stay in. Who asks for fewer replicas gives up those beyond the number, and no more.
fn needed(set: &Set<'_>, intent: Intent) -> u32 {
    let replicas = set.policy.replicas;
    let most = match intent {
        Intent::ScaleDown => replicas,
        Intent::Replace | Intent::Rebuild => {
            replicas.max(u32::try_from(set.size()).unwrap_or(u32::MAX)).saturating_sub(1)
        }
    };
    set.policy.min_serving.min(most)
}

/// Whether it is an endpoint of the read Service now and remains one.
fn stays(set: &Set<'_>, case: &Case<'_>) -> bool {
    case.is_alive() && case.member.ready && case.gate_is_open() && set.opens(case)
}

/// One at a time is out to be replaced.
fn is_another_out(set: &Set<'_>) -> bool {
    let replaced = |case: &Case<'_>| matches!(case.claim.reason, Reason::Replacing | Reason::Rebuilding);
    set.cases.iter().any(replaced)
}
