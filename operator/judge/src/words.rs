//! How judgements read: the names of conditions and the sentences people see. Decides nothing.

use crate::{ConditionType, Event, Notice, PodName, Reason, Verdict};
use std::fmt;

impl ConditionType {
    /// The condition's `type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChainStalled => "ChainStalled",
            Self::ObservationDegraded => "ObservationDegraded",
            Self::Degraded => "Degraded",
            Self::Accepted => "Accepted",
        }
    }
}

impl Notice {
    /// The condition this notice belongs to.
    #[must_use]
    pub const fn condition(&self) -> ConditionType {
        match self {
            Self::ChainStalled { .. } => ConditionType::ChainStalled,
            Self::MembersSilent { .. } | Self::PrimarySilent | Self::ReferenceIsFleetOnly => {
                ConditionType::ObservationDegraded
            }
            Self::PrimaryWrongGenesis { .. }
            | Self::Divergence { .. }
            | Self::MembersDiverged { .. }
            | Self::MembersWrongGenesis { .. } => ConditionType::Degraded,
            Self::FloorAboveReplicas { .. } => ConditionType::Accepted,
        }
    }

    /// The condition's `reason`: a stable CamelCase name.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::ChainStalled { .. } => "NoNewBlocks",
            Self::MembersSilent { .. } => "MembersSilent",
            Self::PrimarySilent => "PrimarySilent",
            Self::PrimaryWrongGenesis { .. } => "PrimaryWrongGenesis",
            Self::Divergence { .. } => "Divergence",
            Self::MembersDiverged { .. } => "MembersDiverged",
            Self::MembersWrongGenesis { .. } => "WrongGenesis",
            Self::FloorAboveReplicas { .. } => "FloorAboveReplicas",
            Self::ReferenceIsFleetOnly => "ReferenceIsFleetOnly",
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChainStalled { tip, for_at_least } => {
                write!(f, "no block after {tip} for at least {} s; check the primary", for_at_least.as_secs())
            }
            Self::MembersSilent { silent, held } if held.is_empty() => {
                write!(f, "no fresh sample from {}", list(silent))
            }
            Self::MembersSilent { silent, held } => {
                write!(f, "no fresh sample from {}; kept in: {}", list(silent), list(held))
            }
            Self::PrimarySilent => f.write_str("no fresh sample from the primary; check its address and network"),
            Self::PrimaryWrongGenesis { pinned, found } => write!(
                f,
                "the primary's genesis is {found}, but this set is pinned to {pinned}; correct \
                 spec.primary.url, or set spec.primary.genesis to the chain that is meant"
            ),
            Self::Divergence { height, pods } => write!(
                f,
                "stores hold different blocks at height {height} and no side can be called right, so nobody is \
                 taken out: {}; compare them by hand",
                list(pods)
            ),
            Self::MembersDiverged { height, pods } => write!(
                f,
                "{} hold other blocks at height {height} than the rest; rebuild them from a good store",
                list(pods)
            ),
            Self::MembersWrongGenesis { pinned, found } => {
                let found: Vec<_> = found.iter().map(|(pod, genesis)| format!("{pod} follows {genesis}")).collect();
                write!(f, "the genesis is pinned to {pinned}, but {}; correct \
                     spec.primary.genesis or their upstream", found.join(", "))
            }
            Self::FloorAboveReplicas { min_serving, replicas } => write!(
                f,
                "health.minServing is {min_serving}, but there are only {replicas} replicas; lower it or scale up"
            ),
            Self::ReferenceIsFleetOnly => f.write_str(
                "nothing outside the fleet says where the chain is, so a fleet that is behind as a whole looks \
                 fresh; set primary.observe",
            ),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MarkForgotten { mark } => {
                write!(
                    f,
                    "height {mark} is no longer demanded of returning members: nothing has confirmed it lately"
                )
            }
        }
    }
}

impl Verdict {
    /// The verdict in a sentence.
    #[must_use]
    pub fn text(&self) -> String {
        let why = match self.held_from {
            Some(from) => format!("{} instead of {from}", sentence(self.reason)),
            None => sentence(self.reason).to_owned(),
        };
        match (self.lag, self.reference) {
            (Some(lag), Some(reference)) => {
                format!("{why}; {lag} blocks behind {reference}, limit {}", self.threshold)
            }
            _ => why,
        }
    }
}

const fn sentence(reason: Reason) -> &'static str {
    match reason {
        Reason::InSync => "in sync",
        Reason::HeldByFloor => "held in because the set has too few others",
        Reason::HeldUnknown => "held in because too many members are silent at once",
        Reason::HeldFirstRound => "held in until a full round has been observed",
        Reason::Unconfirmed => "left as it was because nothing confirms its tip",
        Reason::Lagging => "too far behind",
        Reason::CatchingUp => "close enough, waiting to be so for long enough",
        Reason::BelowExitMark => "below the height the fleet was known to have",
        Reason::AwaitingFirstSample => "not yet heard from since its process started",
        Reason::AwaitingReference => "nothing outside the newcomers says where the chain is",
        Reason::Unknown => "not heard from for too long",
        Reason::EmptyStore => "holds no block yet",
        Reason::WrongGenesis => "follows another chain",
        Reason::Diverged => "holds other blocks than the rest",
        Reason::Fenced => "fenced by spec.fenced",
        Reason::Replacing => "taken out to be replaced",
        Reason::ScalingDown => "taken out to be removed",
        Reason::Rebuilding => "taken out to be rebuilt on an empty volume",
        Reason::Terminating => "being deleted",
        Reason::NotRunning => "its container follower is not running",
    }
}

fn list(pods: &[PodName]) -> String {
    pods.iter().map(PodName::as_str).collect::<Vec<_>>().join(", ")
}
