//! Why a command did not do what it was asked for.

use std::{io, path::PathBuf};

use thiserror::Error;
use tidemark_store::{BlockNumber, StoreError, archive::ArchiveError};

use crate::{
    format::{FormatError, FormatMissing},
    replica::ReplicaError,
    sync::LoadError,
};

/// Why a command did not do what it was asked for.
#[derive(Debug, Error)]
pub enum ToolError {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store could not be used.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The export file is not what was written, or cannot be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The export file is not taken.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The block last held is none of the store's format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A file could not be opened, read or written.
    #[error("cannot use {path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no store in the directory.
    #[error("{path} holds no chain yet: name the data directory of a follower or primary", path = path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// No such directory.
    #[error("{path} is no directory: name the data directory of a follower or primary", path = path.display())]
    NoDirectory {
        /// What was named.
        path: PathBuf,
    },
    /// The store or the file is of a format that this build has not.
    #[error("this build does not know the format {0:?}: use one that does")]
    UnknownFormat(String),
    /// The store or the file is of a format that this build leaves out.
    #[error(transparent)]
    FormatMissing(#[from] FormatMissing),
    /// Blocks were asked for that are not held.
    #[error("blocks {from} to {to} were asked for, but block {tip} is the last one here: ask for fewer")]
    NotHeld {
        /// The first asked for.
        from: BlockNumber,
        /// The last asked for.
        to: BlockNumber,
        /// The published tip.
        tip: BlockNumber,
    },
    /// What was being read is gone.
    #[error("block {number} was dropped from the directory while it was read: run the command again")]
    CutMeanwhile {
        /// The block.
        number: BlockNumber,
    },
    /// The report could not be written.
    #[error("cannot write the report: {0}")]
    Report(io::Error),
}

impl ToolError {
    /// Whether something that was read is damaged or refused, so that running again would end the same.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Load(error) => error.is_refusal(),
            Self::Archive(error) => !matches!(error, ArchiveError::Io { .. }),
            Self::Store(error) => {
                matches!(
                    error,
                    StoreError::Damaged { .. }
                        | StoreError::BadMetadata { .. }
                        | StoreError::OtherFormat { .. }
                        | StoreError::OtherGenesis { .. }
                )
            }
            Self::Format(_) => true,
            _ => false,
        }
    }
}
