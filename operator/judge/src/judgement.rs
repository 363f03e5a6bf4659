//! What judging gives back.

use crate::{BlockNumber, GateWrite, Genesis, Moment, PodName, PodUid, Reason};
use std::time::Duration;

/// The judgement on one set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// One verdict for each observed member, sorted by name, then UID.
    pub verdicts: Vec<Verdict>,
    /// The reference: the maximum of all trusted, fresh tips. None: there is no such tip.
    pub fleet_tip: Option<BlockNumber>,
    /// The maximum of all trusted, fresh proven tips.
    pub proven_tip: Option<BlockNumber>,
    /// The genesis every member is held to; to be kept in the set's status once it is known.
    pub genesis: Option<Genesis>,
    /// What to say about the set as a whole; each is raised as long as it is listed.
    pub notices: Vec<Notice>,
    /// What happened in this call and will not be repeated.
    pub events: Vec<Event>,
    /// Members to ask again at once, out of turn; never the same one twice within a poll interval.
    pub ask_again: Vec<PodUid>,
    /// The height whose hash the next samples, the primary's included, are to ask for.
    pub ask_height: Option<BlockNumber>,
}

/// The verdict on one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The pod's name.
    pub pod: PodName,
    /// The pod's UID.
    pub uid: PodUid,
    /// Whether the member is to serve. In [`crate::Mode::Observe`]: whether it would.
    pub serves: bool,
    /// Why.
    pub reason: Reason,
    /// For a member that is held in: the reason it would be out.
    pub held_from: Option<Reason>,
    /// Its published tip on its latest sample, also when that one is stale.
    pub tip: Option<BlockNumber>,
    /// Its proven tip on the same sample.
    pub proven: Option<BlockNumber>,
    /// Blocks behind `reference`.
    pub lag: Option<u32>,
    /// What it was measured against: the highest trusted tip known before its sample was asked for.
    pub reference: Option<BlockNumber>,
    /// The lag that still counts as in for it, in blocks: `readmitLagBlocks` for one that is out.
    pub threshold: u32,
    /// Since when `serves` and `reason` are what they are.
    pub since: Moment,
    /// The gate condition to write; None when what stands on the pod is right.
    pub gate: Option<GateWrite>,
}

impl Verdict {
    /// Whether the member is in because it is fresh, and not because it is held.
    #[must_use]
    pub fn in_sync(&self) -> bool {
        self.serves && self.reason == Reason::InSync
    }
}

/// The condition of the set that a notice raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// `ChainStalled`.
    ChainStalled,
    /// `ObservationDegraded`.
    ObservationDegraded,
    /// `Degraded`.
    Degraded,
    /// `Accepted`, which stays True: the spec is followed, but unwise.
    Accepted,
}

/// Something to say about the set as a whole. `Display` gives the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The reference has not risen.
    ChainStalled {
        /// Where it stands.
        tip: BlockNumber,
        /// For how long.
        for_at_least: Duration,
    },
    /// Members are silent; `held` of them are kept in.
    MembersSilent {
        /// Who is silent.
        silent: Vec<PodName>,
        /// Who of them is kept in.
        held: Vec<PodName>,
    },
    /// The policy observes the primary and it gives no fresh sample.
    PrimarySilent,
    /// The primary follows another chain than the one pinned, and is not counted.
    PrimaryWrongGenesis {
        /// The pinned one.
        pinned: Genesis,
        /// The primary's.
        found: Genesis,
    },
    /// Stores contradict each other, and no side can be called right.
    Divergence {
        /// The height they were compared at.
        height: BlockNumber,
        /// Who contradicts the primary, or everybody involved in a tie.
        pods: Vec<PodName>,
    },
    /// Members whose blocks contradict the right side.
    MembersDiverged {
        /// The height they were compared at.
        height: BlockNumber,
        /// Who.
        pods: Vec<PodName>,
    },
    /// Members that follow another chain than the one pinned.
    MembersWrongGenesis {
        /// The pinned one.
        pinned: Genesis,
        /// Who, and what each follows.
        found: Vec<(PodName, Genesis)>,
    },
    /// `minServing` is more than there are replicas.
    FloorAboveReplicas {
        /// `minServing`.
        min_serving: u32,
        /// `replicas`.
        replicas: u32,
    },
    /// Nothing outside the fleet says where the chain is: a fleet that is behind as a whole looks fresh.
    ReferenceIsFleetOnly,
}

/// Something that happened once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The height the fleet was known to have is no longer demanded of those that return.
    MarkForgotten {
        /// The height.
        mark: BlockNumber,
    },
}
