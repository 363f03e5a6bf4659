//! Why a session ended, which state that is, and how soon the next may start. Pure.

use std::time::Duration;

use thiserror::Error;
use tidemark_store::{BlockHash, BlockNumber, Commitment};

use super::Common;
use crate::{format::FormatError, replica::ReplicaError, state::State, upstream::UpstreamError};

/// What ended a session.
#[derive(Debug, Error)]
pub enum Trouble {
    /// The upstream gave no answer, or one that makes no sense.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The upstream takes connections and answers nothing.
    #[error("it takes connections and does not answer ({0}): look at its process")]
    Frozen(UpstreamError),
    /// A stream is silent while the upstream has more.
    #[error("its stream is silent, and its tip is {tip}")]
    Silent {
        /// The upstream's tip.
        tip: BlockNumber,
    },
    /// The upstream gets its blocks from here.
    #[error(
        "it gets its blocks from this replica, over {hops} hops: correct the upstreams of one of the replicas on the way"
    )]
    Loop {
        /// How many stores lead back here.
        hops: usize,
    },
    /// The upstream is of another chain.
    #[error(
        "the upstream's genesis is {offered}, but {pinned} is pinned here: correct the upstream's URL, or start with an empty data directory and the genesis you mean"
    )]
    WrongGenesis {
        /// The genesis this follower copies.
        pinned: Commitment,
        /// The genesis the upstream has.
        offered: Commitment,
    },
    /// The upstream has less than is held here.
    #[error("the upstream's tip {tip} is below block {held}, which is held here: waiting for it to catch up")]
    Behind {
        /// The upstream's tip.
        tip: BlockNumber,
        /// The tip here.
        held: BlockNumber,
    },
    /// The upstream lacks a block it should have.
    #[error(
        "the upstream's tip is {tip}, but it has no block {number}: repair the upstream, or add another one"
    )]
    Hole {
        /// The number that is missing.
        number: BlockNumber,
        /// The upstream's tip.
        tip: BlockNumber,
    },
    /// The upstream keeps only later blocks.
    #[error(
        "the upstream's tip is {tip}, but it no longer keeps block {number} nor those before: name an upstream that keeps every block, or restore the data directory from a backup"
    )]
    Pruned {
        /// The number that is due here.
        number: BlockNumber,
        /// The upstream's tip.
        tip: BlockNumber,
    },
    /// The upstream cannot read a block it should have.
    #[error("the upstream fails at block {number} ({detail}): repair it, or add another one")]
    Broken {
        /// The number that was due.
        number: BlockNumber,
        /// What it said.
        detail: String,
    },
    /// The upstream's block is larger than is taken here.
    #[error(
        "block {number} is larger than --max-block-size ({detail}): raise it here, and on every follower of this one"
    )]
    TooLarge {
        /// The number of the block.
        number: BlockNumber,
        /// How large it is, as far as is known.
        detail: String,
    },
    /// The upstream holds another block than this follower.
    #[error(
        "the upstream's block {number} hashes to {theirs}, the one held here to {ours}, and {common}: nothing is applied until it is known which chain is right; --on-fork rewind:K or the command rewind follows the upstream's"
    )]
    Diverged {
        /// The number both hold.
        number: BlockNumber,
        /// The hash here.
        ours: BlockHash,
        /// The hash there.
        theirs: BlockHash,
        /// The last block that both hold alike.
        common: Common,
    },
    /// A block was refused by its format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The store refused or failed.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The volume was full; everything that came before is written now.
    #[error("the volume was full, and has space again")]
    Full,
    /// A polling session made way for another try at subscribing.
    #[error("it is time to try subscriptions again")]
    TryAgain,
    /// An upstream preferred to this one answers again.
    #[error("{upstream} is preferred and answers again")]
    Preferred {
        /// Its place in the list.
        at: usize,
        /// Its name.
        upstream: String,
    },
}

impl Trouble {
    /// What an error means that came where block `number` was due.
    pub(super) fn at(number: BlockNumber) -> impl Fn(UpstreamError) -> Self {
        move |error| match error {
            UpstreamError::Broken(detail) => Self::Broken { number, detail },
            UpstreamError::TooLarge(detail) => Self::TooLarge { number, detail },
            other => Self::Upstream(other),
        }
    }

    /// The state to show while this lasts.
    pub fn state(&self) -> State {
        match self {
            Self::Upstream(error) => upstream_state(error),
            Self::Frozen(_) => State::UpstreamFrozen,
            Self::Silent { .. } => State::UpstreamUnreachable,
            Self::Loop { .. } => State::UpstreamLoop,
            Self::WrongGenesis { .. } | Self::Format(FormatError::WrongGenesis { .. }) => State::WrongGenesis,
            Self::Behind { .. } => State::UpstreamBehind,
            Self::Hole { .. } | Self::Broken { .. } => State::UpstreamHole,
            Self::Pruned { .. } => State::UpstreamPruned,
            Self::TooLarge { .. } => State::BlockTooLarge,
            Self::Diverged { .. } | Self::Format(FormatError::WrongParent { .. }) => State::Diverged,
            Self::Format(FormatError::Behind { .. } | FormatError::Kept { .. }) => State::Healing,
            Self::Format(_) => State::InvalidBlock,
            Self::Replica(ReplicaError::Store(error)) if error.is_disk_full() => State::DiskFull,
            Self::Replica(_) | Self::Full | Self::TryAgain | Self::Preferred { .. } => State::Syncing,
        }
    }

    /// Whether the process must exit.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Replica(ReplicaError::Store(error)) => error.is_poison(),
            Self::Format(error) => matches!(error, FormatError::Kept { .. }),
            _ => false,
        }
    }

    /// Whether it is this follower's own store that fails, which no state names.
    pub(super) fn is_own_failure(&self) -> bool {
        matches!(self, Self::Replica(_)) && self.state() == State::Syncing
    }

    /// The longest pause before the next session: short where waiting helps nobody, longer where somebody must act.
    pub(super) fn longest_pause(&self) -> Duration {
        let millis = match self {
            Self::Full | Self::TryAgain | Self::Preferred { .. } => 100,
            Self::Silent { .. } => 200,
            Self::Upstream(
                UpstreamError::Unreachable(_) | UpstreamError::Unanswered { .. } | UpstreamError::Closed(_),
            ) => 500,
            Self::Upstream(UpstreamError::Banned { .. } | UpstreamError::NoSlot(_)) => 30_000,
            Self::TooLarge { .. } => 60_000,
            Self::Frozen(_) | Self::Behind { .. } | Self::Broken { .. } | Self::Upstream(_) => 1000,
            _ => 5000,
        };
        Duration::from_millis(millis)
    }

    /// The shortest pause, where even one more try costs much.
    pub(super) fn shortest_pause(&self) -> Duration {
        match self {
            Self::TooLarge { .. } => Duration::from_secs(5),
            _ => Duration::ZERO,
        }
    }
}

fn upstream_state(error: &UpstreamError) -> State {
    match error {
        UpstreamError::Ended => State::Syncing,
        UpstreamError::Unreachable(_)
        | UpstreamError::Unanswered { .. }
        | UpstreamError::Closed(_)
        | UpstreamError::RateLimited(_)
        | UpstreamError::Banned { .. }
        | UpstreamError::NoSlot(_)
        | UpstreamError::Broken(_)
        | UpstreamError::Failed(_) => State::UpstreamUnreachable,
        UpstreamError::Unimplemented(_) | UpstreamError::OtherProtocol(_) => State::UnsupportedProtocol,
        UpstreamError::OutOfRange(_) => State::UpstreamBehind,
        UpstreamError::TooLarge(_) => State::BlockTooLarge,
    }
}
