//! Why a member is in or out, under names that stay stable: they are the gate's `reason`, metric labels and events.

use std::{fmt, str::FromStr};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The reason of a verdict.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $name),* }

        impl Reason {
            /// Every reason there is, in the order of this page.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The stable CamelCase name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

reasons! {
    /// In: within the threshold on a fresh sample.
    InSync,
    /// In although it should be out: the floor needs it.
    HeldByFloor,
    /// In without a fresh sample: too many members are silent at once for silence to be evidence.
    HeldUnknown,
    /// In as found: a new leader has not yet observed a full round.
    HeldFirstRound,
    /// As it was: its tip is far above every other and nothing confirms it.
    Unconfirmed,
    /// Out: more blocks behind than the threshold allows.
    Lagging,
    /// Out: within the threshold, but not yet close enough or for long enough to return.
    CatchingUp,
    /// Out: close to the present reference, but below the height the fleet was known to have.
    BelowExitMark,
    /// Out: no sample of this process yet.
    AwaitingFirstSample,
    /// Out: nothing outside the newcomers says where the chain is.
    AwaitingReference,
    /// Out: the last sample is too old.
    Unknown,
    /// Out: the store holds no block yet.
    EmptyStore,
    /// Out, or as it was when most of the set is so: it follows another chain.
    WrongGenesis,
    /// Out, or as it was when no side is right: its blocks contradict the others'.
    Diverged,
    /// Out: listed in `spec.fenced`.
    Fenced,
    /// Out: to be made anew from the present template.
    Replacing,
    /// Out: to be deleted, since fewer replicas are wanted.
    ScalingDown,
    /// Out: to be made anew on an empty volume.
    Rebuilding,
    /// Out: the pod is being deleted.
    Terminating,
    /// Out: the container `follower` is not running.
    NotRunning,
}

impl Reason {
    /// Whether it is about how far behind the member is, or may be, and passes with blocks that arrive.
    #[must_use]
    pub const fn is_measured(self) -> bool {
        matches!(
            self,
            Self::Lagging | Self::CatchingUp | Self::BelowExitMark | Self::AwaitingReference | Self::Unknown
        )
    }

    /// Whether somebody asked for it: then it holds in [`crate::Mode::Observe`] too.
    #[must_use]
    pub const fn is_on_purpose(self) -> bool {
        matches!(self, Self::Fenced | Self::Replacing | Self::ScalingDown | Self::Rebuilding)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == text).ok_or(())
    }
}
