//! Rule 3, first part: everybody follows the pinned chain.

use crate::{
    Genesis, Notice, PodName,
    case::{Case, Set, Standing},
};

/// Pins the genesis, and takes their say from those that follow another chain.
pub(crate) fn hold_to_pin(set: &mut Set<'_>) {
    let Some(pinned) = pin(set) else { return };
    set.memory.genesis = Some(pinned);
    set.judgement.genesis = Some(pinned);
    mute_primary(set, pinned);
    mute_members(set, pinned);
}

/// The user's pin, else the one kept, else the first seen.
fn pin(set: &Set<'_>) -> Option<Genesis> {
    set.policy.genesis.or(set.observed.pinned_genesis).or(set.memory.genesis).or_else(|| first_seen(set))
}

/// The primary's word goes first; members are asked only when there is no primary to wait for.
fn first_seen(set: &Set<'_>) -> Option<Genesis> {
    if set.primary.is_some() {
        return primary_genesis(set);
    }
    if set.policy.observe_primary && !set.memory.round.done {
        return None;
    }
    most_common(set.cases.iter().filter(|case| case.standing == Standing::Trusted).filter_map(genesis_of))
}

/// The strictly most common genesis; None when two are equally common.
fn most_common(found: impl Iterator<Item = Genesis>) -> Option<Genesis> {
    let mut counts = std::collections::BTreeMap::<Genesis, usize>::new();
    found.for_each(|genesis| *counts.entry(genesis).or_default() += 1);
    let most = *counts.values().max()?;
    let mut leaders = counts.into_iter().filter(|(_, count)| *count == most).map(|(genesis, _)| genesis);
    leaders.next().filter(|_| leaders.next().is_none())
}

fn genesis_of(case: &Case<'_>) -> Option<Genesis> {
    case.last.and_then(|sample| sample.genesis)
}

fn primary_genesis(set: &Set<'_>) -> Option<Genesis> {
    set.observed.primary.as_ref().and_then(|sample| sample.genesis)
}

fn mute_primary(set: &mut Set<'_>, pinned: Genesis) {
    let Some(found) = primary_genesis(set).filter(|found| set.primary.is_some() && *found != pinned) else {
        return;
    };
    set.primary = None;
    set.judgement.notices.push(Notice::PrimaryWrongGenesis { pinned, found });
}

/// When most of the set contradicts the pin at once, the pin may be the mistake: nobody is taken out for it.
fn mute_members(set: &mut Set<'_>, pinned: Genesis) {
    let is_other = |case: &Case<'_>| {
        case.is_alive() && case.standing == Standing::Trusted && genesis_of(case).is_some_and(|g| g != pinned)
    };
    let others: Vec<usize> = (0..set.cases.len()).filter(|&at| is_other(&set.cases[at])).collect();
    if others.is_empty() {
        return;
    }
    let standing =
        if set.is_majority(others.len()) { Standing::WrongGenesisInMajority } else { Standing::WrongGenesis };
    let mut found: Vec<(PodName, Genesis)> = Vec::new();
    for at in others {
        set.cases[at].standing = standing;
        found.extend(genesis_of(&set.cases[at]).map(|genesis| (set.cases[at].member.name.clone(), genesis)));
    }
    set.judgement.notices.push(Notice::MembersWrongGenesis { pinned, found });
}
