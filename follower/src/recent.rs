//! The newest blocks, kept in memory so that a thousand subscribers at the tip cost one copy and no read. Pure.

use std::collections::VecDeque;

use tidemark_store::BlockNumber;
use tonic::codegen::Bytes;

/// Blocks that follow each other, up to the newest, of a bounded size in all.
#[derive(Debug, Default)]
pub(crate) struct RecentBlocks {
    limit: u64,
    held: u64,
    first: u32,
    blocks: VecDeque<Bytes>,
}

impl RecentBlocks {
    /// Keeps at most `limit` bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, ..Self::default() }
    }

    /// The block of that number, if it is among the newest.
    pub(crate) fn get(&self, number: BlockNumber) -> Option<Bytes> {
        let at = number.get().checked_sub(self.first)?;
        self.blocks.get(usize::try_from(at).ok()?).cloned()
    }

    /// Adds the newest block. What does not follow the one before starts over.
    pub(crate) fn push(&mut self, number: BlockNumber, block: Bytes) {
        let next = u64::from(self.first) + self.blocks.len() as u64;
        if u64::from(number.get()) != next {
            self.clear();
            self.first = number.get();
        }
        self.held += block.len() as u64;
        self.blocks.push_back(block);
        while self.held > self.limit {
            let Some(oldest) = self.blocks.pop_front() else { return };
            self.held -= oldest.len() as u64;
            self.first += 1;
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.blocks.clear();
        self.held = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(len: usize) -> Bytes {
        Bytes::from(vec![7; len])
    }

    fn held(recent: &RecentBlocks) -> Vec<u32> {
        (0..100).filter(|number| recent.get((*number).into()).is_some()).collect()
    }

    #[test]
    fn the_newest_are_kept_and_bounded_by_their_bytes() {
        let mut recent = RecentBlocks::new(100);
        (0..10).for_each(|number| recent.push(number.into(), block(30)));
        assert_eq!(held(&recent), [7, 8, 9]);
        recent.push(10.into(), block(101));
        assert_eq!(held(&recent), [0; 0], "one that is larger than the cache leaves no room");
        recent.push(11.into(), block(1));
        assert_eq!(held(&recent), [11]);
    }

    #[test]
    fn what_does_not_follow_starts_over() {
        let mut recent = RecentBlocks::new(100);
        recent.push(5.into(), block(1));
        recent.push(6.into(), block(1));
        recent.push(6.into(), block(2));
        assert_eq!(held(&recent), [6]);
        assert_eq!(recent.get(6.into()).expect("held").len(), 2);
        recent.clear();
        assert_eq!(held(&recent), [0; 0]);
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_allowed() {
        let mut recent = RecentBlocks::new(0);
        recent.push(0.into(), block(1));
        assert_eq!(held(&recent), [0; 0]);
    }
}
