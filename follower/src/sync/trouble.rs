//! Why a session ended, which state that is, and how soon the next may start. Pure.

use std::time::Duration;

use thiserror::Error;
use tidemark_store::{BlockHash, BlockNumber, Commitment};

use crate::{format::FormatError, replica::ReplicaError, state::State, upstream::UpstreamError};

/// What ended a session.
#[derive(Debug, Error)]
pub enum Trouble {
    /// The upstream gave no answer, or one that makes no sense.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
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
    /// The upstream holds another block than this follower.
    #[error(
        "the upstream's block {number} hashes to {theirs}, the one held here to {ours}: nothing is applied until it is known which chain is right"
    )]
    Diverged {
        /// The number both hold.
        number: BlockNumber,
        /// The hash here.
        ours: BlockHash,
        /// The hash there.
        theirs: BlockHash,
    },
    /// A block was refused by its format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The store refused or failed.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
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
    /// The state to show while this lasts.
    pub fn state(&self) -> State {
        match self {
            Self::Upstream(error) => upstream_state(error),
            Self::WrongGenesis { .. } | Self::Format(FormatError::WrongGenesis { .. }) => State::WrongGenesis,
            Self::Behind { .. } => State::UpstreamBehind,
            Self::Hole { .. } => State::UpstreamHole,
            Self::Diverged { .. } | Self::Format(FormatError::WrongParent { .. }) => State::Diverged,
            Self::Format(FormatError::Behind { .. } | FormatError::Kept { .. }) => State::Healing,
            Self::Format(_) => State::InvalidBlock,
            Self::Replica(ReplicaError::Store(error)) if error.is_disk_full() => State::DiskFull,
            Self::Replica(_) | Self::TryAgain | Self::Preferred { .. } => State::Syncing,
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

    /// Whether every upstream ends sessions like this now and then, and nothing is wrong with it.
    pub(super) fn is_goodbye(&self) -> bool {
        matches!(self, Self::Upstream(UpstreamError::Closed(_) | UpstreamError::Ended))
    }

    /// The longest pause before the next session: short where waiting helps nobody, longer where somebody must act.
    pub(super) fn longest_pause(&self) -> Duration {
        match self {
            Self::TryAgain | Self::Preferred { .. } => Duration::from_millis(100),
            Self::Upstream(UpstreamError::Unreachable(_) | UpstreamError::Closed(_)) => {
                Duration::from_millis(500)
            }
            Self::Upstream(UpstreamError::Refused { wait, .. }) => (*wait).min(Duration::from_secs(30)),
            Self::Behind { .. } | Self::Upstream(_) if self.state() != State::InvalidBlock => {
                Duration::from_secs(1)
            }
            _ => Duration::from_secs(5),
        }
    }
}

fn upstream_state(error: &UpstreamError) -> State {
    match error {
        UpstreamError::Ended | UpstreamError::RateLimited(_) => State::Syncing,
        UpstreamError::Unreachable(_)
        | UpstreamError::Closed(_)
        | UpstreamError::Refused { .. }
        | UpstreamError::Failed(_) => State::UpstreamUnreachable,
        UpstreamError::Unimplemented(_) => State::UnsupportedProtocol,
        UpstreamError::OutOfRange(_) => State::UpstreamBehind,
        UpstreamError::TooLarge(_) => State::InvalidBlock,
    }
}
