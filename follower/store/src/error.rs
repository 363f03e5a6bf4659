//! Everything that can go wrong with a store, each with its way out.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::{BlockHash, BlockNumber, Commitment};

/// What a store can refuse or fail at.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A file operation failed; nothing was published by it.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried, as in "cannot *open* …".
        action: &'static str,
        /// The file it was tried on.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The volume is full. Nothing was applied; the same call succeeds once there is space.
    #[error("the volume of {path} is full: free or add space, then applying resumes by itself", path = path.display())]
    DiskFull {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// A sync failed, so what the disk holds is unknown until the store is opened anew: the process must exit.
    #[error("cannot sync {path}: {source}; the process must restart to reread what the disk holds", path = path.display())]
    SyncFailed {
        /// The file that could not be synced.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A write failed where it leaves the disk in a state that only opening the store anew can mend.
    #[error("cannot write {path}: {source}; the process must restart to reread what the disk holds", path = path.display())]
    WriteFailed {
        /// The file that could not be written.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A medium beside the log failed to take or keep what the log has: the process must exit, and opening the store
    /// anew rolls the medium forward.
    #[error(
        "the medium {name} failed: {source}; the process must restart to roll it forward from the block log"
    )]
    MediumFailed {
        /// The medium's name.
        name: String,
        /// What it said.
        source: Box<StoreError>,
    },
    /// What a medium of one's own may say.
    #[error("{detail}")]
    Medium {
        /// What is wrong, and the way out.
        detail: String,
    },
    /// An earlier failure left it unknown what the disk holds; the store takes no more writes.
    #[error("the store takes no more writes: {first}")]
    Poisoned {
        /// What failed first, and the way out.
        first: String,
    },
    /// Another process has the directory.
    #[error("{path} is in use by another process: stop it, or choose another data directory", path = path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Bytes that were once published cannot be read back. Nothing was changed on disk.
    #[error(
        "{path} is damaged at byte {offset} ({detail}): a follower fetches it again from its upstream; else restore the file from a backup, or move the data directory away to fetch the chain anew",
        path = path.display()
    )]
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// Where the first bad record starts.
        offset: u64,
        /// What is wrong with it.
        detail: String,
    },
    /// The metadata file is not what any known release writes.
    #[error("{path} is no metadata of this store ({detail}): restore it from a backup, or move the data directory away", path = path.display())]
    BadMetadata {
        /// The metadata file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The directory was written by a release whose format this one does not know.
    #[error(
        "{path} is of format version {found}, this release reads versions {oldest} to {known}: run the release that wrote it, or move the data directory away to fetch the chain anew",
        path = path.display()
    )]
    UnknownVersion {
        /// The metadata file.
        path: PathBuf,
        /// The version it names.
        found: u64,
        /// The oldest version this release reads.
        oldest: u32,
        /// The newest.
        known: u32,
    },
    /// The directory is of the newest version already.
    #[error("{path} is of format version {version} already: there is nothing to migrate", path = path.display())]
    NothingToMigrate {
        /// The metadata file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The disk lost what it had confirmed as durable. Nothing was changed.
    #[error(
        "the disk of {path} lost blocks it had confirmed as durable: block {confirmed} was, {held} is the last one left; check the disk, then restore the directory from a backup, or move it away to fetch the chain anew",
        path = path.display(), held = held.map_or_else(|| "none".to_owned(), |held| held.to_string())
    )]
    DurableLost {
        /// The data directory.
        path: PathBuf,
        /// The last block that was durable.
        confirmed: BlockNumber,
        /// The last block that is left.
        held: Option<BlockNumber>,
    },
    /// The directory holds another chain than the one asked for.
    #[error(
        "the data directory holds the chain of genesis {held}, not {asked}: use another data directory, or correct the genesis"
    )]
    OtherGenesis {
        /// What the directory holds.
        held: Commitment,
        /// What was asked for.
        asked: Commitment,
    },
    /// The directory was made for another format.
    #[error(
        "the data directory was made with the format {held:?}, not {asked:?}: use another data directory, or that format"
    )]
    OtherFormat {
        /// What the directory was made with.
        held: String,
        /// What was asked for.
        asked: String,
    },
    /// A block was offered before the genesis of its chain was pinned.
    #[error("the store has no genesis yet: initialise it before blocks are applied")]
    NotInitialised,
    /// Blocks are applied without gaps.
    #[error("block {offered} does not follow: the store expects block {expected}")]
    NotNext {
        /// The number that follows the applied tip.
        expected: BlockNumber,
        /// The number that was offered.
        offered: BlockNumber,
    },
    /// A proof was offered for a block that is not applied, or for genesis, which has none.
    #[error("there is no block {number} here that a proof could belong to")]
    ProofWithoutBlock {
        /// The number the proof is for.
        number: BlockNumber,
    },
    /// There is no block of that number here.
    #[error("there is no block {number} here")]
    NoSuchBlock {
        /// The number.
        number: BlockNumber,
    },
    /// Bytes were offered for a damaged block that are not those that were published. Nothing was changed.
    #[error(
        "the bytes offered for block {number} hash to {offered}, those published here did to {kept}: fetch it from a store that has this very chain"
    )]
    OtherBytes {
        /// The number of the block.
        number: BlockNumber,
        /// The hash that is kept.
        kept: BlockHash,
        /// The hash of what was offered.
        offered: BlockHash,
    },
    /// Nothing here vouches for the bytes of a damaged block any more.
    #[error(
        "neither the log nor the indexes know the hash of block {number} any more: rewind to the block before, or move the data directory away to fetch the chain anew"
    )]
    HashLost {
        /// The number of the block.
        number: BlockNumber,
    },
    /// A record cannot hold that many bytes.
    #[error("{len} bytes are more than a record can hold ({max})")]
    TooLarge {
        /// The length offered, in bytes.
        len: usize,
        /// The longest record, in bytes.
        max: u32,
    },
}

impl StoreError {
    /// Whether the store can take no more writes until it is opened anew.
    #[must_use]
    pub fn is_poison(&self) -> bool {
        matches!(
            self,
            Self::SyncFailed { .. }
                | Self::WriteFailed { .. }
                | Self::MediumFailed { .. }
                | Self::Poisoned { .. }
        )
    }

    /// Whether bytes on disk are not those that were published.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// Whether the same call will succeed once the volume has space.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::DiskFull { .. })
    }

    pub(crate) fn sync_failed(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::SyncFailed { path, source }
    }

    pub(crate) fn write_failed(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::WriteFailed { path, source }
    }

    /// The same failure, where it leaves the disk in a state that only opening the store anew can mend.
    pub(crate) fn into_poison(self) -> Self {
        match self {
            Self::Io { path, source, .. } => Self::WriteFailed { path, source },
            Self::DiskFull { path } => Self::WriteFailed { path, source: io::ErrorKind::StorageFull.into() },
            other => other,
        }
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { action, path, source },
        }
    }
}
