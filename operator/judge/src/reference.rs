//! Rule 4: the reference, free of skew.
//!
//! A sample is measured against what was known before it was asked for, so that a chain that grows between two
//! samples makes no lag that is not there.

use crate::{
    BlockNumber, Moment,
    case::{Case, Set},
};

/// Finds the fleet tip, measures every counted sample, and asks those again whom a newer reference would put out.
pub(crate) fn measure(set: &mut Set<'_>) {
    let members = || set.cases.iter().filter(|case| case.counts());
    let tips = members().filter_map(|case| case.counted).chain(set.primary).map(|seen| seen.tip);
    let Some(fleet_tip) = tips.max() else { return };
    set.judgement.proven_tip = proven_tip(set);
    set.judgement.fleet_tip = Some(fleet_tip);
    for at in 0..set.cases.len() {
        let known = set.cases[at].counted.and_then(|seen| known_by(set, seen.asked_at, fleet_tip));
        set.cases[at].reference = known;
    }
    ask_again(set, fleet_tip);
}

/// The highest trusted tip that had been received by `moment`.
fn known_by(set: &Set<'_>, moment: Moment, fleet_tip: BlockNumber) -> Option<BlockNumber> {
    let members = set.cases.iter().filter(|case| case.counts()).map(|case| &case.memory.track);
    let primary = set.primary.map(|_| &set.memory.primary);
    members.chain(primary).filter_map(|track| track.known_by(moment, fleet_tip)).max()
}

fn proven_tip(set: &Set<'_>) -> Option<BlockNumber> {
    let members = set.cases.iter().filter(|case| case.counts()).filter_map(|case| case.last);
    let primary = set.observed.primary.as_ref().filter(|_| set.primary.is_some());
    members.chain(primary).filter_map(|sample| sample.proven).max()
}

fn ask_again(set: &mut Set<'_>, fleet_tip: BlockNumber) {
    let (now, policy) = (set.now, set.policy);
    for case in set.cases.iter_mut().filter(|case| would_be_out(case, policy.max_lag, fleet_tip)) {
        let spent = case.memory.asked_again_at.is_some_and(|at| now.since(at) < policy.poll_interval);
        if !spent {
            case.memory.asked_again_at = Some(now);
            set.judgement.ask_again.push(case.member.uid.clone());
        }
    }
}

/// In by its own sample, out by what is known now.
fn would_be_out(case: &Case<'_>, max_lag: u32, fleet_tip: BlockNumber) -> bool {
    let within = case.lag().is_none_or(|lag| lag <= max_lag);
    case.is_alive()
        && case.memory.fit
        && case.counts()
        && within
        && case.counted.is_some_and(|seen| seen.tip.behind(fleet_tip) > max_lag)
}
