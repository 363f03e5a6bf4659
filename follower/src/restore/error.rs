//! Why a store could not be restored.

use std::{io, path::PathBuf};

use thiserror::Error;
use tidemark_store::{Commitment, archive::ArchiveError};

use crate::{
    replica::ReplicaError,
    state::State,
    sync::{LoadError, Trouble},
    upstream::UpstreamError,
};

/// Why a store could not be restored. No block was made; the same command goes on where this one ended.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The export file cannot be opened, or the marker not be written.
    #[error("cannot use {path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The export file is no sound one.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The export file is not taken.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The store refused or failed.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// What a source has is refused.
    #[error("{name}: {trouble}")]
    Source {
        /// The source.
        name: String,
        /// Why.
        trouble: Trouble,
    },
    /// Two sources are of different chains.
    #[error("{one} is of genesis {its}, {other} of {others}: name only stores of the chain to restore")]
    Contradiction {
        /// A source.
        one: String,
        /// Its genesis.
        its: Commitment,
        /// Another source, or the data directory.
        other: String,
        /// The genesis of that.
        others: Commitment,
    },
    /// An export file is not the only source.
    #[error("an export file is restored from alone: name one file, or stores only")]
    FileAmongOthers,
    /// A restore was begun in this directory and never finished.
    #[error(
        "{path} says that a restore was interrupted: give --restore-from again to finish it, or use an empty data directory; a block made now could contradict those not copied yet",
        path = path.display()
    )]
    Interrupted {
        /// The marker.
        path: PathBuf,
    },
    /// The process is shutting down.
    #[error("the process is shutting down")]
    Stopped,
}

impl RestoreError {
    /// Whether a copy that ended so may be taken up again by itself.
    pub(super) fn passes(trouble: &Trouble) -> bool {
        trouble.state() == State::DiskFull
            || matches!(
                trouble,
                Trouble::Upstream(
                    UpstreamError::Unreachable(_)
                        | UpstreamError::Closed(_)
                        | UpstreamError::Ended
                        | UpstreamError::RateLimited(_)
                        | UpstreamError::Failed(_)
                )
            )
    }
}
