//! What follows the block log, block by block, and may be made by others.
//!
//! The log is the truth and alone decides the tip. A medium only has to take blocks in order, forget them again, and
//! say how far it came; rolling it forward, cutting and rebuilding it are the store's business.

use crate::{BlockHash, BlockNumber, StoreError};

/// A block that is synced in the block log.
#[derive(Debug, Clone, Copy)]
pub struct LoggedBlock<'a> {
    /// Its number.
    pub number: BlockNumber,
    /// BLAKE3 of its bytes.
    pub hash: BlockHash,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Something kept consistent with the block log: an index, an accumulator, a user's own state after each block.
///
/// Calls come one at a time, except that readers may use the medium meanwhile. What a medium took counts only once it
/// was synced before a checkpoint of the store: after a crash the store hands over again everything past that, so that a
/// medium needs no crash safety of its own beyond a `sync` that keeps its word.
pub trait Medium: Send + Sync {
    /// What it is called: in messages, and in the metadata, so that it must differ from the names of others and not
    /// change.
    fn name(&self) -> &str;

    /// How many blocks, counted from genesis, it durably holds. None when what it holds cannot be used; it is then cut to
    /// nothing and rebuilt from the log. Asked once, when the store is opened. More than the log has is cut.
    fn durable(&self) -> Option<u32>;

    /// Makes sure of the space of the first `count` blocks, so that taking them finds no full disk.
    ///
    /// # Errors
    /// `DiskFull`, upon which the store refuses the blocks, softly; any other refuses them too.
    fn reserve(&self, count: u32) -> Result<(), StoreError>;

    /// Takes blocks that follow each other and what was taken before. Readers see them published after this returns.
    ///
    /// # Errors
    /// Any is poison, since the log has the blocks already: they are handed over again when the store is reopened.
    fn apply(&self, blocks: &[LoggedBlock<'_>]) -> Result<(), StoreError>;

    /// Makes what was applied and cut durable.
    ///
    /// # Errors
    /// Any is poison.
    fn sync(&self) -> Result<(), StoreError>;

    /// Forgets every block from number `count` on, whatever is left of any. Asked for on each opening, too, for a crash may
    /// leave traces of blocks that never counted.
    ///
    /// # Errors
    /// Any is poison.
    fn cut(&self, count: u32) -> Result<(), StoreError>;
}
