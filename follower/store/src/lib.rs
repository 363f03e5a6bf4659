//! The follower's store: blocks and their proofs on disk, published only once they are synced.
//!
//! Owns the on-disk format, recovery after a crash, and what "published" means. It knows no network, no async
//! runtime and no chain: a block is a numbered run of bytes here, and who may append it is decided elsewhere.

pub mod archive;
mod buffers;
mod cache;
mod check;
mod engine;
mod error;
mod examine;
mod finding;
mod hash;
mod index;
pub mod io;
mod lock;
mod log;
mod manifest;
mod media;
mod medium;
mod metadata;
mod migrate;
mod number;
mod place;
mod plan;
mod position;
mod proofs;
mod ranges;
mod reader;
mod record;
mod recover;
mod rewrite;
mod scan;
mod segment_size;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod voids;
mod writer;

pub use buffers::Buffers;
pub use engine::{DiskStore, StoreBuilder};
pub use error::StoreError;
pub use finding::{Checked, Finding, Part};
pub use hash::{BlockHash, Commitment, ParseCommitmentError};
pub use medium::{LoggedBlock, Medium};
pub use metadata::{FORMAT_VERSION, Metadata, OLDEST_VERSION};
pub use migrate::{Migrated, Migration};
pub use number::BlockNumber;
pub use reader::{Location, Segment, StoreReader};
pub use store::{BlockStore, HashedBlock, Tips};
pub use table::Table;
