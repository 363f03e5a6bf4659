//! The follower's store: blocks and their proofs on disk, published only once they are synced.
//!
//! Owns the on-disk format, recovery after a crash, and what "published" means. It knows no network, no async
//! runtime and no chain: a block is a numbered run of bytes here, and who may append it is decided elsewhere.

mod disk;
mod error;
mod file;
mod hash;
mod index;
mod lock;
mod log;
mod metadata;
mod number;
mod record;
mod scan;
mod store;
#[cfg(test)]
mod tests;

pub use disk::DiskStore;
pub use error::StoreError;
pub use hash::{BlockHash, Commitment, ParseCommitmentError};
pub use metadata::{FORMAT_VERSION, Metadata};
pub use number::BlockNumber;
pub use store::{BlockStore, Tips};
