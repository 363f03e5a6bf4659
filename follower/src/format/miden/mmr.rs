//! The Merkle mountain range of the chain held, as a medium of its own beside the block log: one file of leaves, which
//! are the blocks' commitments, and one of inner nodes, in the order in which leaves complete them.
//!
//! Nothing read from those files is believed by itself: the peaks are compared with what the last block's header commits
//! to, and a path is given away only if it leads to a peak.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use miden_protocol::{
    Word,
    block::BlockHeader,
    utils::serde::{Deserializable as _, SliceReader},
};
use tidemark_store::{BlockNumber, LoggedBlock, Medium, StoreError, Table, io::Disk};

use super::peaks::{Node, Peaks, inner_before, path_of, peaks_of};

const LEAVES: &str = "mmr-leaves.idx";
const INNER: &str = "mmr-inner.idx";
/// Entries by which each file grows: 2 MiB.
const GROWTH: u32 = 1 << 16;

/// All nodes on disk, the peaks in memory.
pub(super) struct ChainMmr {
    leaves: Table<32>,
    inner: Table<32>,
    peaks: RwLock<Peaks>,
}

impl ChainMmr {
    /// Opens the range that is kept on this disk; what of it can be used is found when the store asks.
    pub(super) fn open(disk: &Arc<dyn Disk>) -> Result<Self, StoreError> {
        let (leaves, inner) = (Table::open(disk, LEAVES, GROWTH)?, Table::open(disk, INNER, GROWTH)?);
        Ok(Self { leaves, inner, peaks: RwLock::default() })
    }

    /// The peaks above all blocks held.
    pub(super) fn peaks(&self) -> Peaks {
        self.read_peaks().clone()
    }

    /// The peaks above the first `count` blocks, from disk.
    pub(super) fn peaks_at(&self, count: u32) -> Result<Peaks, StoreError> {
        let words = peaks_of(count).map(|peak| self.node(peak));
        Ok(Peaks { count, words: words.collect::<Result<_, _>>()? })
    }

    /// The path from a block's leaf to its peak in the range of the first `count` blocks; none unless all of these are
    /// held and the block is one of them.
    ///
    /// # Errors
    /// `Medium` if what is on disk is not what the peaks vouch for; file errors.
    pub(super) fn path(&self, number: BlockNumber, count: u32) -> Result<Option<Vec<Word>>, StoreError> {
        let (number, peaks) = (number.get(), self.peaks());
        let part = path_of(number, count).filter(|_| count <= peaks.count);
        let (Some(whole), Some(part)) = (path_of(number, peaks.count), part) else { return Ok(None) };
        let mut path = whole.into_iter().map(|node| self.node(node)).collect::<Result<Vec<_>, _>>()?;
        if !peaks.vouch_for(number, self.node(Node::leaf(number))?, &path) {
            return Err(self.unfaithful(number));
        }
        path.truncate(part.len());
        Ok(Some(path))
    }

    /// Drops what is held, durably, so that opening the store rebuilds it from the block log.
    pub(super) fn forget(&self) -> Result<(), StoreError> {
        self.cut(0)?;
        self.sync()
    }

    fn node(&self, node: Node) -> Result<Word, StoreError> {
        let bytes = match node.place() {
            None => self.leaves.read(node.index)?,
            Some(place) => self.inner.read(place)?,
        };
        Word::try_from(bytes).map_err(|_| self.unfaithful(node.index))
    }

    fn unfaithful(&self, number: u32) -> StoreError {
        let detail = format!(
            "the nodes of the chain's Merkle mountain range around block {number} are damaged in {INNER} or {LEAVES}: \
             stop the follower and remove both files, they are rebuilt when it starts"
        );
        StoreError::Medium { detail }
    }

    fn read_peaks(&self) -> RwLockReadGuard<'_, Peaks> {
        self.peaks.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_peaks(&self) -> RwLockWriteGuard<'_, Peaks> {
        self.peaks.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the peaks of `count` blocks from disk.
    fn reload(&self, count: u32) -> Result<(), StoreError> {
        let peaks = self.peaks_at(count)?;
        *self.write_peaks() = peaks;
        Ok(())
    }
}

impl Medium for ChainMmr {
    fn name(&self) -> &str {
        "mmr"
    }

    fn durable(&self) -> Option<u32> {
        let count = self.leaves.written().ok()?;
        self.reload(count).ok().map(|()| count)
    }

    fn reserve(&self, count: u32) -> Result<(), StoreError> {
        self.leaves.reserve(count)?;
        self.inner.reserve(inner_before(count))
    }

    fn apply(&self, blocks: &[LoggedBlock<'_>]) -> Result<(), StoreError> {
        let mut peaks = self.peaks();
        let first = peaks.count;
        let (mut leaves, mut inner) = (Vec::with_capacity(blocks.len()), Vec::new());
        for block in blocks {
            let leaf = leaf(block)?;
            leaves.push(leaf.as_bytes());
            inner.extend(peaks.push(leaf).iter().map(Word::as_bytes));
        }
        self.inner.write(inner_before(first), &inner)?;
        self.leaves.write(first, &leaves)?;
        *self.write_peaks() = peaks;
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.inner.sync()?;
        self.leaves.sync()
    }

    fn cut(&self, count: u32) -> Result<(), StoreError> {
        self.leaves.clear_from(count)?;
        self.inner.clear_from(inner_before(count))?;
        self.reload(count)
    }
}

/// What a block adds to the range: the commitment of its header.
fn leaf(block: &LoggedBlock<'_>) -> Result<Word, StoreError> {
    let header = BlockHeader::read_from(&mut SliceReader::new(block.bytes));
    header.map(|header| header.commitment()).map_err(|error| StoreError::Medium {
        detail: format!(
            "block {} has no header that the chain's Merkle mountain range could take: {error}",
            block.number
        ),
    })
}
