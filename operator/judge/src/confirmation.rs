//! Rule 3, third part: a tip far above all others needs a second witness, so that one rogue cannot evict a fleet.

use crate::{
    BlockNumber,
    case::{Case, Set, Standing},
    track::Seen,
};

/// Takes its say from the highest member when nothing confirms it.
///
/// On a fast chain the highest tip is always a little ahead of what the others had said before; such a member is
/// judged by its latest sample that the others have confirmed since.
pub(crate) fn confirm(set: &mut Set<'_>) {
    let Some((at, top)) = highest(set) else { return };
    let Some(next) = next_best(set, at) else { return };
    let ceiling = BlockNumber(next.0.saturating_add(set.policy.max_lag));
    if top.tip <= ceiling {
        return;
    }
    let oldest = set.policy.stale_after;
    let now = set.now;
    let case = &mut set.cases[at];
    let confirmed = |seen: &&Seen| seen.tip <= ceiling && now.since(seen.asked_at) <= oldest;
    match case.memory.track.seen.iter().rev().find(confirmed).copied() {
        Some(seen) => case.counted = Some(seen),
        None => case.standing = Standing::Unconfirmed,
    }
}

/// Whether the reference rests on more than one member's word.
pub(crate) fn is_corroborated(set: &Set<'_>) -> bool {
    let Some((at, _)) = highest(set) else { return set.primary.is_some() };
    next_best(set, at).is_some()
}

fn highest(set: &Set<'_>) -> Option<(usize, Seen)> {
    let counted = |(at, case): (usize, &Case<'_>)| Some((at, case.counted.filter(|_| case.counts())?));
    set.cases
        .iter()
        .enumerate()
        .filter_map(counted)
        .max_by_key(|(at, seen)| (seen.tip, std::cmp::Reverse(*at)))
}

/// The highest tip that the primary or another member has, or that another member saw upstream.
fn next_best(set: &Set<'_>, except: usize) -> Option<BlockNumber> {
    let others = set.cases.iter().enumerate().filter(|(at, case)| *at != except && case.counts());
    let tips = others.filter_map(|(_, case)| case.counted).map(|seen| seen.upstream_tip.max(Some(seen.tip)));
    tips.flatten().chain(set.primary.map(|primary| primary.tip)).max()
}
