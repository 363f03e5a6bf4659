//! Rule 7: out at once beyond `maxLagBlocks`, back in after `readmitAfter` samples within `readmitLagBlocks`.

use crate::{
    BlockNumber, Policy, Reason,
    admission::{self, Witnesses},
    case::{Case, Claim, Set, Standing},
    mark,
};

/// Gives every member its claim by what it says itself. One that only the floor keeps in is judged as one that is out.
pub(crate) fn claim(set: &mut Set<'_>, witnesses: Witnesses) {
    let mark = mark::above_reference(set);
    for at in 0..set.cases.len() {
        if !set.cases[at].memory.fit {
            set.cases[at].reference = admission::reference(set, &set.cases[at]);
        }
        let case = &mut set.cases[at];
        case.claim = by_state(case, set.policy)
            .or_else(|| by_standing(case))
            .unwrap_or_else(|| by_lag(case, set.policy, witnesses, mark));
        if case.claim.reason != Reason::CatchingUp && !case.claim.serves {
            case.memory.streak = 0;
        }
    }
}

/// What the pod and the age of its sample decide alone.
fn by_state(case: &Case<'_>, policy: &Policy) -> Option<Claim> {
    let reason = if case.member.terminating {
        Reason::Terminating
    } else if case.member.container.is_none() {
        Reason::NotRunning
    } else if policy.fenced.contains(&case.member.name) {
        Reason::Fenced
    } else if !case.memory.heard {
        Reason::AwaitingFirstSample
    } else if !case.fresh {
        Reason::Unknown
    } else if case.last_tip().is_none() {
        Reason::EmptyStore
    } else {
        return None;
    };
    Some(Claim::out(reason))
}

/// What its standing decides. One that is contested is not let in, but taken out only for its lag.
fn by_standing(case: &Case<'_>) -> Option<Claim> {
    let incumbent = case.is_incumbent();
    match case.standing {
        Standing::Diverged => Some(Claim::out(Reason::Diverged)),
        Standing::WrongGenesis => Some(Claim::out(Reason::WrongGenesis)),
        Standing::WrongGenesisInMajority => Some(Claim::new(incumbent, Reason::WrongGenesis)),
        Standing::Unconfirmed => Some(Claim::new(incumbent, Reason::Unconfirmed)),
        Standing::Contested if !incumbent => Some(Claim::out(Reason::Diverged)),
        Standing::Contested | Standing::Trusted | Standing::Mute => None,
    }
}

fn by_lag(case: &mut Case<'_>, policy: &Policy, witnesses: Witnesses, mark: Option<BlockNumber>) -> Claim {
    if !case.memory.fit {
        return to_enter(case, policy, witnesses, mark);
    }
    let within = case.lag().is_none_or(|lag| lag <= policy.max_lag);
    if within { Claim::new(true, Reason::InSync) } else { Claim::out(Reason::Lagging) }
}

fn to_enter(case: &mut Case<'_>, policy: &Policy, witnesses: Witnesses, mark: Option<BlockNumber>) -> Claim {
    if let Some(reason) = bar(case, policy, witnesses, mark) {
        return Claim::out(reason);
    }
    if case.lag().is_none_or(|lag| lag > policy.readmit_lag) {
        case.memory.streak = 0;
        return Claim::out(Reason::CatchingUp);
    }
    case.memory.streak = case.memory.streak.saturating_add(u32::from(case.new_sample));
    // One that was kept out for another reason meanwhile enters on what it says now, not on what it said last.
    let enough = case.new_sample && case.memory.streak >= policy.readmit_after.max(1);
    if enough { Claim::new(true, Reason::InSync) } else { Claim::out(Reason::CatchingUp) }
}

/// What keeps one that is out from being considered at all.
fn bar(
    case: &mut Case<'_>,
    policy: &Policy,
    witnesses: Witnesses,
    mark: Option<BlockNumber>,
) -> Option<Reason> {
    let tip = case.counted?.tip;
    let Some(lag) = case.lag().filter(|_| witnesses.suffice()) else {
        return Some(Reason::AwaitingReference);
    };
    if lag > policy.max_lag {
        return Some(Reason::Lagging);
    }
    let mark = mark.filter(|mark| tip.behind(*mark) > policy.readmit_lag)?;
    case.reference = Some(mark);
    Some(Reason::BelowExitMark)
}
