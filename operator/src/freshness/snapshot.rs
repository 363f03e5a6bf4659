//! What the freshness path tells the rest of the operator. Pure.

use tidemark_judge::{Genesis, Judgement, Notice, PodName, PodUid, Reason};

/// The latest judgement on a set, with what it was based on.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The judgement.
    pub judgement: Judgement,
    /// Why the primary's latest request was not answered, naming its address.
    pub primary_error: Option<String>,
}

/// The part of a snapshot that is worth a status write at once; movement of tips is not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decisions {
    verdicts: Vec<(PodUid, bool, Reason, Option<Reason>)>,
    notices: Vec<(&'static str, Vec<PodName>)>,
    genesis: Option<Genesis>,
}

impl Snapshot {
    pub(super) fn decisions(&self) -> Decisions {
        let verdicts = self.judgement.verdicts.iter();
        let verdicts = verdicts.map(|verdict| (verdict.uid.clone(), verdict.serves, verdict.reason, verdict.held_from));
        let notices = self.judgement.notices.iter().map(|notice| (notice.reason(), named(notice)));
        Decisions { verdicts: verdicts.collect(), notices: notices.collect(), genesis: self.judgement.genesis }
    }
}

/// The pods a notice names.
fn named(notice: &Notice) -> Vec<PodName> {
    match notice {
        Notice::MembersSilent { silent, .. } => silent.clone(),
        Notice::Divergence { pods, .. } | Notice::MembersDiverged { pods, .. } => pods.clone(),
        Notice::MembersWrongGenesis { found, .. } => found.iter().map(|(pod, _)| pod.clone()).collect(),
        _ => Vec::new(),
    }
}
