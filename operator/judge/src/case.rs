//! One set and its members while they are being judged: what the rules hand to each other.

use crate::{
    BlockNumber, GateStatus, Intent, Judgement, Member, Mode, Moment, Observed, PodName, Policy, Reason,
    Sample, VolumeUid,
    memory::{MemberMemory, SetMemory},
    track::Seen,
};

/// One set under judgement.
pub(crate) struct Set<'a> {
    pub(crate) now: Moment,
    pub(crate) policy: &'a Policy,
    pub(crate) observed: &'a Observed,
    /// Sorted by name, then UID.
    pub(crate) cases: Vec<Case<'a>>,
    pub(crate) memory: SetMemory,
    /// The primary's tip, if it is observed, fresh and trusted.
    pub(crate) primary: Option<Seen>,
    /// Whether the primary is observed and gave a fresh sample, trusted or not.
    pub(crate) primary_heard: bool,
    pub(crate) judgement: Judgement,
}

/// One member under judgement.
pub(crate) struct Case<'a> {
    pub(crate) member: &'a Member,
    pub(crate) memory: MemberMemory,
    /// The latest sample that counts for the present process, however old.
    pub(crate) last: Option<&'a Sample>,
    pub(crate) fresh: bool,
    /// Whether `last` was not there at the last judgement.
    pub(crate) new_sample: bool,
    pub(crate) standing: Standing,
    /// The tip it is judged by.
    pub(crate) counted: Option<Seen>,
    pub(crate) reference: Option<BlockNumber>,
    pub(crate) claim: Claim,
}

/// Whether what a member says counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has nothing to say, or no say.
    Mute,
    Trusted,
    /// It contradicts others and no side can be called right.
    Contested,
    Unconfirmed,
    Diverged,
    WrongGenesis,
    /// As `WrongGenesis`, but most of the set is so.
    WrongGenesisInMajority,
}

/// What is to become of a member, as far as judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) serves: bool,
    pub(crate) reason: Reason,
    pub(crate) held_from: Option<Reason>,
}

impl Claim {
    pub(crate) const fn new(serves: bool, reason: Reason) -> Self {
        Self { serves, reason, held_from: None }
    }

    pub(crate) const fn out(reason: Reason) -> Self {
        Self::new(false, reason)
    }
}

impl Case<'_> {
    /// Whether the gate is open and was meant to be: the only members that may be held.
    pub(crate) fn is_incumbent(&self) -> bool {
        self.memory.serves && self.gate_is_open()
    }

    pub(crate) fn gate_is_open(&self) -> bool {
        self.member.gate.status == GateStatus::True
    }

    pub(crate) const fn is_present(&self) -> bool {
        !self.member.terminating
    }

    pub(crate) const fn is_alive(&self) -> bool {
        !self.member.terminating && self.member.container.is_some()
    }

    /// Whether it is to go and no other will come in its place.
    pub(crate) fn leaves_for_good(&self) -> bool {
        self.member.intent == Some(Intent::ScaleDown)
    }

    /// Whether its tip counts in the maximum.
    pub(crate) const fn counts(&self) -> bool {
        matches!(self.standing, Standing::Trusted | Standing::Contested) && self.counted.is_some()
    }

    /// The tip of its latest sample, fresh or not.
    pub(crate) fn last_tip(&self) -> Option<BlockNumber> {
        self.last.and_then(|sample| sample.published)
    }

    pub(crate) fn lag(&self) -> Option<u32> {
        Some(self.counted?.tip.behind(self.reference?))
    }

    /// Keeps it in although it would be out.
    pub(crate) fn hold(&mut self, reason: Reason) {
        self.claim = Claim { serves: true, reason, held_from: Some(self.claim.reason) };
    }
}

impl Set<'_> {
    /// Members that are not being deleted.
    pub(crate) fn size(&self) -> usize {
        self.cases.iter().filter(|case| case.is_present()).count()
    }

    /// Whether `count` members are more than half of the set.
    pub(crate) fn is_majority(&self, count: usize) -> bool {
        count * 2 > self.size()
    }

    /// The names of the members chosen, sorted.
    pub(crate) fn names(&self, which: impl Fn(&Case<'_>) -> bool) -> Vec<PodName> {
        self.cases.iter().filter(|case| which(case)).map(|case| case.member.name.clone()).collect()
    }

    /// Whether its gate is to be open, by what is claimed so far.
    pub(crate) fn opens(&self, case: &Case<'_>) -> bool {
        match self.policy.mode {
            Mode::Enforce => case.claim.serves,
            Mode::Observe if case.claim.reason.is_on_purpose() => false,
            Mode::Observe => case.gate_is_open() || (case.fresh && case.last_tip().is_some()),
        }
    }

    pub(crate) fn was_synced(&self, volume: &VolumeUid) -> bool {
        self.memory.synced.contains_key(volume)
    }
}
