//! Why an export file cannot be read or written.

use std::io;

use thiserror::Error;

use crate::BlockNumber;

/// Why an export file cannot be read or written.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The file could not be read or written.
    #[error("cannot read or write the export file at byte {offset}: {source}")]
    Io {
        /// How far it was read or written.
        offset: u64,
        /// The system's reason.
        source: io::Error,
    },
    /// The bytes do not start as an export file does.
    #[error("this is no export file (none starts with what is at byte 0): give one that `export` wrote")]
    NoArchive,
    /// The file is of a version that this release does not know.
    #[error(
        "the export file is of version {found} (at byte 8), this release reads version {known}: use the release that wrote it"
    )]
    UnknownVersion {
        /// The version it names.
        found: u32,
        /// The version this release reads.
        known: u32,
    },
    /// The file ends too early.
    #[error("the export file is cut at byte {offset}: copy or export it again")]
    Cut {
        /// Where it ends.
        offset: u64,
    },
    /// The file is not as it was written.
    #[error("the export file is altered at byte {offset} ({detail}): copy or export it again")]
    Altered {
        /// Where the head, record or end starts that is not as it was written.
        offset: u64,
        /// What is wrong with it.
        detail: String,
    },
    /// A record is larger than may be read or written.
    #[error("the export file's record at byte {offset} has {len} bytes, more than are taken ({max})")]
    TooLarge {
        /// Where it starts.
        offset: u64,
        /// Its length in bytes.
        len: u64,
        /// The longest that is taken.
        max: u32,
    },
    /// A record was to be written that does not follow the one before, or is outside the file's range.
    #[error(
        "block {number} has no place there in the export file: records are written in the order of their numbers"
    )]
    OutOfOrder {
        /// Its number.
        number: BlockNumber,
    },
    /// The head cannot be written.
    #[error("{name:?} is no format's name: it has 1 to {max} bytes, none of them zero")]
    BadName {
        /// The name.
        name: String,
        /// The longest name, in bytes.
        max: usize,
    },
}
