//! What one judgement leaves for the next. Holds data only; the rules own its meaning.

use crate::{
    BlockNumber, ContainerId, Genesis, Mode, Moment, PodUid, Reason, VolumeUid, divergence::Comparison,
    mark::Mark, stall::High, track::Track,
};
use std::collections::BTreeMap;

/// The judge's memory of one set. `Memory::default()` is that of a new process, which knows only what the gates say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub(crate) members: BTreeMap<PodUid, MemberMemory>,
    pub(crate) set: SetMemory,
}

impl Memory {
    /// What one who judged while another led keeps as he becomes the leader. He starts from the gates he finds and
    /// observes a round (rule 11); but what the fleet was known to have binds those that return (rule 5), and a volume
    /// that was in sync or holds other blocks, the chain's genesis and how long it has stood still are facts, whoever
    /// saw them.
    #[must_use]
    pub fn taken_over(self) -> Self {
        let SetMemory { genesis, mark, high, synced, diverged, .. } = self.set;
        let mark = mark.map(Mark::without_processes);
        let set = SetMemory { genesis, mark, high, synced, diverged, ..SetMemory::default() };
        Self { members: BTreeMap::new(), set }
    }
}

/// What is remembered of the set as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SetMemory {
    /// The round that must be observed before anybody is taken out.
    pub(crate) round: Round,
    pub(crate) genesis: Option<Genesis>,
    pub(crate) primary: Track,
    pub(crate) mark: Option<Mark>,
    pub(crate) high: Option<High>,
    pub(crate) comparison: Comparison,
    /// Volumes on which a member has been in sync, and when a member with that volume was last seen.
    pub(crate) synced: BTreeMap<VolumeUid, Moment>,
    /// Volumes whose blocks contradict the right side, from which height, and when a member with that volume was last
    /// seen.
    pub(crate) diverged: BTreeMap<VolumeUid, (BlockNumber, Moment)>,
}

/// The first round of a leader, or of a set that leaves `mode: Observe`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) started: Option<Moment>,
    pub(crate) done: bool,
    pub(crate) mode: Mode,
    pub(crate) judged_at: Moment,
}

/// What is remembered of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemberMemory {
    pub(crate) container: Option<ContainerId>,
    /// Counts the processes seen in this pod: names the present one.
    pub(crate) incarnation: u32,
    /// Whether a sample of the present process has been seen, by this leader or the one before.
    pub(crate) heard: bool,
    /// The last decision: in or out.
    pub(crate) serves: bool,
    /// Whether it is in on its own merit: one that the floor holds must earn its return like one that is out.
    pub(crate) fit: bool,
    /// Why it was taken out.
    pub(crate) exit: Option<Reason>,
    pub(crate) entered_at: Option<Moment>,
    /// When it was last in without being Ready: once it is out, others are tried before it.
    pub(crate) failed_at: Option<Moment>,
    pub(crate) track: Track,
    /// Consecutive samples within the threshold for return.
    pub(crate) streak: u32,
    pub(crate) asked_again_at: Option<Moment>,
    /// The height at which its blocks contradicted the right side.
    pub(crate) diverged: Option<BlockNumber>,
    /// The greatest height at which its blocks were compared with others', by what it has now.
    pub(crate) compared: Option<BlockNumber>,
    /// When a question was last put about its own tip, because it is far behind.
    pub(crate) asked_about_at: Option<Moment>,
    pub(crate) verdict: Option<(bool, Reason)>,
    pub(crate) since: Moment,
}

impl MemberMemory {
    /// Forgets what was known of the process that ran before. What is known of its blocks stays.
    pub(crate) fn restart(&mut self) {
        self.incarnation += 1;
        self.heard = false;
        (self.streak, self.exit, self.failed_at) = (0, None, None);
        self.fit = false;
        self.track = Track::default();
        self.compared = None;
    }
}
