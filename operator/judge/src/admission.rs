//! Rule 6: a first admission needs a reference from outside the newcomers.

use crate::{
    BlockNumber, Moment, Notice,
    case::{Case, Set},
};

/// Who besides the newcomers says where the chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Witnesses {
    /// The policy leaves only the fleet's own maximum.
    fleet_only_by_policy: bool,
    pub(crate) primary: bool,
    upstream: bool,
    incumbent: bool,
}

impl Witnesses {
    pub(crate) fn of(set: &Set<'_>) -> Self {
        let max_lag = set.policy.max_lag;
        let in_sync = |case: &Case<'_>| {
            let within = case.counts() && case.lag().is_some_and(|lag| lag <= max_lag);
            case.is_alive() && case.is_incumbent() && case.memory.fit && within
        };
        Self {
            fleet_only_by_policy: !set.policy.observe_primary && !set.policy.upstream_reported,
            primary: set.primary.is_some(),
            upstream: set.cases.iter().any(|case| upstream_tip(case).is_some()),
            incumbent: set.cases.iter().any(in_sync),
        }
    }

    /// Whether a newcomer may be measured.
    pub(crate) const fn suffice(self) -> bool {
        self.fleet_only_by_policy || self.primary || self.upstream || self.incumbent
    }
}

fn upstream_tip(case: &Case<'_>) -> Option<BlockNumber> {
    case.counted.filter(|_| case.counts()).and_then(|seen| seen.upstream_tip)
}

/// What one that is out is measured against. Without the primary's own word, what members saw upstream counts too:
/// it lets nobody in too early, and takes nobody out.
pub(crate) fn reference(set: &Set<'_>, case: &Case<'_>) -> Option<BlockNumber> {
    if set.primary.is_some() {
        return case.reference;
    }
    let own = case.counted.and_then(|seen| seen.upstream_tip);
    let asked_at = case.counted.map_or(Moment::default(), |seen| seen.asked_at);
    let others = set.cases.iter().filter(|case| case.counts());
    let seen_upstream = others.filter_map(|other| other.memory.track.upstream_known_by(asked_at)).max();
    case.reference.max(own).max(seen_upstream)
}

/// Says so when nothing outside the fleet says where the chain is.
pub(crate) fn report(set: &mut Set<'_>, witnesses: Witnesses) {
    let round_done = set.memory.round.done;
    if set.policy.observe_primary && !set.primary_heard && round_done {
        set.judgement.notices.push(Notice::PrimarySilent);
    }
    let anybody = set.cases.iter().any(Case::counts);
    if anybody && !witnesses.primary && !witnesses.upstream && round_done {
        set.judgement.notices.push(Notice::ReferenceIsFleetOnly);
    }
}
