//! What the caller saw: pods as the API server shows them, and each store's latest sample.

use crate::{
    BlockHash, BlockNumber, BootId, ContainerId, GateSeen, Genesis, Moment, PodName, PodUid, Reason,
    VolumeUid,
};

/// Everything seen of one set at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Every pod of the set that exists, terminating ones included, in any order.
    pub members: Vec<Member>,
    /// The primary's latest sample; ignored unless the policy observes the primary.
    pub primary: Option<Sample>,
    /// The genesis pinned in the set's status, if any.
    pub pinned_genesis: Option<Genesis>,
}

/// One pod of the set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The pod's name.
    pub name: PodName,
    /// The pod's UID.
    pub uid: PodUid,
    /// The claim's UID, or the pod's UID where the data dies with the pod.
    pub volume: VolumeUid,
    /// The ID of the container named `follower` while it is running.
    pub container: Option<ContainerId>,
    /// Whether the pod's condition `Ready` is True.
    pub ready: bool,
    /// Whether the pod has a deletion timestamp.
    pub terminating: bool,
    /// What is to be done with the pod, which takes it out as soon as enough others stay in.
    pub intent: Option<Intent>,
    /// The gate condition as it stands on the pod.
    pub gate: GateSeen,
    /// The latest *answer* received from this pod. Keep the last one when a later request fails or times out:
    /// the judge decides by its age.
    pub sample: Option<Sample>,
}

/// Why a pod is to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Intent {
    /// To be made anew from a newer template.
    Replace,
    /// For good: fewer replicas are wanted.
    ScaleDown,
    /// To be made anew on an empty volume.
    Rebuild,
}

impl Intent {
    /// The reason of a member that is out for it.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Replace => Reason::Replacing,
            Self::ScaleDown => Reason::ScalingDown,
            Self::Rebuild => Reason::Rebuilding,
        }
    }
}

/// One answer of one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When the request went out.
    pub asked_at: Moment,
    /// When the answer was there.
    pub received_at: Moment,
    /// The container that was running, as far as known, when the request went out; None for a primary.
    pub container: Option<ContainerId>,
    /// The UID of the pod that answered, if it said so.
    pub pod_uid: Option<PodUid>,
    /// The process that answered, if it said so.
    pub boot_id: Option<BootId>,
    /// Highest block that is synced and served. None: an empty store.
    pub published: Option<BlockNumber>,
    /// Highest block that is written.
    pub applied: Option<BlockNumber>,
    /// Highest number up to which every proof is held. None: none.
    pub proven: Option<BlockNumber>,
    /// The chain's genesis commitment, if the store knows it.
    pub genesis: Option<Genesis>,
    /// The hash of the block at `published`.
    pub tip_hash: Option<BlockHash>,
    /// The hash at the height the request asked about ([`crate::Judgement::ask_height`]), if the store holds it.
    pub hash_at: Option<HashAt>,
    /// The tip of this store's upstream. Set it only while the store says that its upstream answers: a tip that a
    /// cut-off store remembers is its own view of its lag, and worth nothing.
    pub upstream_tip: Option<BlockNumber>,
}

/// The hash of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashAt {
    /// The number of the block.
    pub height: BlockNumber,
    /// BLAKE3 of its bytes.
    pub hash: BlockHash,
}
