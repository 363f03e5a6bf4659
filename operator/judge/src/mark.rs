//! Rule 5: a falling reference re-admits nobody.
//!
//! The exit mark is the greatest height the fleet was reliably known to have. It binds all that are out, newcomers
//! included, for as long as the reference is below it. It never takes anybody out.

use crate::{
    BlockNumber, Event, Moment, PodUid, RememberedMark,
    case::{Set, Standing},
    confirmation,
    memory::SetMemory,
};
use std::collections::BTreeSet;

/// The height, who vouches for it, and since when nobody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) tip: BlockNumber,
    /// Empty when it was found in a gate and was not the primary's alone: then only a tip or time lifts it.
    sources: BTreeSet<Source>,
    supported_at: Moment,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Primary,
    /// A pod, and which of its processes: one that lost its store takes nothing back by saying less.
    Member(PodUid, u32),
}

impl Mark {
    /// The mark where processes are counted anew: a member's word can be taken back no more, as it may have restarted.
    pub(crate) fn without_processes(self) -> Self {
        let primary_alone = self.sources.iter().all(|source| *source == Source::Primary);
        let sources = if primary_alone { self.sources } else { BTreeSet::new() };
        Self { sources, ..self }
    }
}

/// Takes in a mark that an earlier leader left in a gate. Of two at one height that counts which the primary cannot take
/// back.
pub(crate) fn recall(now: Moment, found: RememberedMark, memory: &mut SetMemory) {
    let counts = |mark: &Mark| mark.tip < found.tip || (mark.tip == found.tip && !found.of_primary);
    if memory.mark.as_ref().is_none_or(counts) {
        let sources = found.of_primary.then_some(Source::Primary).into_iter().collect();
        memory.mark = Some(Mark { tip: found.tip, sources, supported_at: now });
    }
}

/// What the next leader is to know of the mark.
pub(crate) fn to_remember(memory: &SetMemory) -> Option<RememberedMark> {
    let mark = memory.mark.as_ref()?;
    Some(RememberedMark { tip: mark.tip, of_primary: mark.sources == [Source::Primary].into() })
}

/// Lifts the mark when it is taken back or too old, and raises it with the reference.
pub(crate) fn update(set: &mut Set<'_>) {
    if let Some(mark) = set.memory.mark.take() {
        set.memory.mark = keep(set, mark);
    }
    if let Some(tip) = set.judgement.fleet_tip.filter(|_| confirmation::is_corroborated(set))
        && set.memory.mark.as_ref().is_none_or(|mark| mark.tip <= tip)
    {
        set.memory.mark = Some(Mark { tip, sources: sources(set, tip), supported_at: set.now });
    }
}

/// The mark, if it is above the reference: what those that are out must come up to.
pub(crate) fn above_reference(set: &Set<'_>) -> Option<BlockNumber> {
    let mark = set.memory.mark.as_ref()?.tip;
    set.judgement.fleet_tip.is_none_or(|tip| tip < mark).then_some(mark)
}

fn keep(set: &mut Set<'_>, mark: Mark) -> Option<Mark> {
    let taken_back =
        !mark.sources.is_empty() && mark.sources.iter().all(|source| takes_back(set, source, mark.tip));
    if taken_back {
        return None;
    }
    if set.now.since(mark.supported_at) > set.policy.forget_after {
        set.judgement.events.push(Event::MarkForgotten { mark: mark.tip });
        return None;
    }
    Some(mark)
}

/// Who has reached `tip`.
fn sources(set: &Set<'_>, tip: BlockNumber) -> BTreeSet<Source> {
    let members =
        set.cases.iter().filter(|case| case.counts() && case.counted.is_some_and(|seen| seen.tip >= tip));
    let primary = set.primary.filter(|primary| primary.tip >= tip).map(|_| Source::Primary);
    members
        .map(|case| Source::Member(case.member.uid.clone(), case.memory.incarnation))
        .chain(primary)
        .collect()
}

/// Whether `source` itself now says less, or has been found to follow other blocks. Silence takes nothing back.
fn takes_back(set: &Set<'_>, source: &Source, tip: BlockNumber) -> bool {
    let Source::Member(uid, incarnation) = source else {
        // One that still says as much raises the mark again at once.
        return set.primary.is_some();
    };
    let Some(case) = set.cases.iter().find(|case| case.member.uid == *uid) else { return false };
    let says_less = case.memory.incarnation == *incarnation
        && case.standing != Standing::Mute
        && case.last_tip().is_some_and(|said| said < tip);
    matches!(case.standing, Standing::Diverged | Standing::WrongGenesis) || says_less
}
