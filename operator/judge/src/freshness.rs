//! Rule 2: a sample older than `staleAfter` is no sample.

use crate::{
    Moment, Policy, Sample,
    case::{Case, Set, Standing},
};

/// Whether `sample` still says something: its age is counted from when it was *asked for*, since the answer may
/// describe that moment.
fn is_fresh(now: Moment, policy: &Policy, sample: &Sample) -> bool {
    now.since(sample.asked_at) <= policy.stale_after
}

/// Marks fresh members, and takes the primary's sample in.
pub(crate) fn weigh(set: &mut Set<'_>) {
    let (now, policy) = (set.now, set.policy);
    for case in &mut set.cases {
        weigh_member(now, policy, case);
    }
    weigh_primary(set);
}

fn weigh_member(now: Moment, policy: &Policy, case: &mut Case<'_>) {
    case.memory.track.prune(now, policy.stale_after * 2);
    case.fresh = case.last.is_some_and(|sample| is_fresh(now, policy, sample));
    if !case.fresh || case.last_tip().is_none() {
        return;
    }
    case.counted = case.memory.track.seen.last().copied();
    if !policy.fenced.contains(&case.member.name) {
        case.standing = Standing::Trusted;
    }
}

/// A primary that restarts starts over as well, with its own say intact: it is where the chain comes from.
fn weigh_primary(set: &mut Set<'_>) {
    let Some(sample) = set.observed.primary.as_ref().filter(|_| set.policy.observe_primary) else { return };
    if set.memory.primary.is_other_process(sample) {
        set.memory.primary = Default::default();
    }
    set.memory.primary.record(sample);
    set.memory.primary.prune(set.now, set.policy.stale_after * 2);
    let usable =
        is_fresh(set.now, set.policy, sample) && sample.published.is_some() && sample.genesis.is_some();
    set.primary_heard = usable;
    set.primary = set.memory.primary.seen.last().copied().filter(|_| usable);
}
