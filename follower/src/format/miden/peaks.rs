//! The Merkle mountain range of block commitments: its peaks, and which node is whose. Pure.
//!
//! Trees stand side by side, each of a power of two of leaves, larger ones first: one for each bit set in the count of
//! leaves. A node is named by its height and its place among those of that height, so that it keeps its name for ever.

use miden_protocol::{
    Hasher, Word,
    crypto::merkle::mmr::{Forest, MmrPeaks},
};

/// A node, the root of the tree over the leaves `index << height` to `(index + 1 << height) - 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) height: u32,
    pub(super) index: u32,
}

impl Node {
    /// The leaf of a block.
    pub(super) const fn leaf(index: u32) -> Self {
        Self { height: 0, index }
    }

    /// Its place among the inner nodes in the order in which leaves complete them; none for a leaf.
    pub(super) fn place(self) -> Option<u32> {
        let last_leaf = ((u64::from(self.index) + 1) << self.height) - 1;
        let place = inner_before(u32::try_from(last_leaf).ok()?) + self.height.checked_sub(1)?;
        Some(place)
    }
}

/// How many inner nodes the leaves before `leaf` complete.
pub(super) const fn inner_before(leaf: u32) -> u32 {
    leaf - leaf.count_ones()
}

/// The peaks of a range of `count` leaves, the largest tree's first.
pub(super) fn peaks_of(count: u32) -> impl Iterator<Item = Node> {
    let heights = (0..u32::BITS).rev().filter(move |height| count >> height & 1 == 1);
    heights.map(move |height| Node { height, index: (count >> height) - 1 })
}

/// The siblings on the way from a leaf to the peak above it, in a range of `count` leaves; none unless the leaf is there.
pub(super) fn path_of(leaf: u32, count: u32) -> Option<Vec<Node>> {
    let height = (leaf < count).then(|| (leaf ^ count).ilog2())?;
    Some((0..height).map(|height| Node { height, index: leaf >> height ^ 1 }).collect())
}

/// Peaks, and the count of leaves below them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Peaks {
    pub(super) count: u32,
    pub(super) words: Vec<Word>,
}

impl Peaks {
    /// Adds a leaf; gives the inner nodes that it completes, lowest first.
    pub(super) fn push(&mut self, leaf: Word) -> Vec<Word> {
        let mut inner = Vec::new();
        let mut top = leaf;
        for _ in 0..self.count.trailing_ones() {
            let left = self.words.pop().unwrap_or_default();
            top = Hasher::merge(&[left, top]);
            inner.push(top);
        }
        self.words.push(top);
        self.count = self.count.saturating_add(1);
        inner
    }

    /// What the next block's header must name as its chain commitment.
    pub(super) fn commitment(&self) -> Option<Word> {
        let forest = Forest::new(usize::try_from(self.count).ok()?).ok()?;
        Some(MmrPeaks::new(forest, self.words.clone()).ok()?.hash_peaks())
    }

    /// Whether the path leads from the leaf at `index` to the peak above it.
    pub(super) fn vouch_for(&self, index: u32, leaf: Word, path: &[Word]) -> bool {
        let top = path.iter().enumerate().fold(leaf, |node, (height, sibling)| {
            let pair = if index >> height & 1 == 1 { [*sibling, node] } else { [node, *sibling] };
            Hasher::merge(&pair)
        });
        let peak = peaks_of(self.count).position(|peak| {
            u32::try_from(path.len()) == Ok(peak.height) && index >> peak.height == peak.index
        });
        peak.and_then(|at| self.words.get(at)) == Some(&top)
    }
}

#[cfg(test)]
mod tests {
    use miden_protocol::crypto::merkle::mmr::Mmr;

    use super::*;

    fn leaf(number: u32) -> Word {
        Word::from([number, 1, 2, 3])
    }

    /// A range built by the crate, and every node of ours by name.
    fn ranges(count: u32) -> (Mmr, Peaks, Vec<Word>) {
        let (mut theirs, mut ours, mut inner) = (Mmr::new(), Peaks::default(), Vec::new());
        for number in 0..count {
            assert_eq!(inner.len(), inner_before(number) as usize);
            theirs.add(leaf(number)).expect("below the limit");
            inner.extend(ours.push(leaf(number)));
        }
        (theirs, ours, inner)
    }

    fn word(node: Node, inner: &[Word]) -> Word {
        node.place().map_or_else(|| leaf(node.index), |place| inner[place as usize])
    }

    #[test]
    fn peaks_and_their_commitment_are_those_of_the_crate() {
        for count in 0..200 {
            let (theirs, ours, inner) = ranges(count);
            assert_eq!(ours.words, theirs.peaks().peaks());
            assert_eq!(ours.commitment(), Some(theirs.peaks().hash_peaks()));
            let named: Vec<Word> = peaks_of(count).map(|node| word(node, &inner)).collect();
            assert_eq!(named, ours.words);
        }
    }

    #[test]
    fn paths_are_those_of_the_crate_and_vouched_for_by_their_own_leaf_alone() {
        let (theirs, ours, inner) = ranges(107);
        for number in 0..107 {
            let path = path_of(number, 107).expect("a leaf of the range");
            let path: Vec<Word> = path.into_iter().map(|node| word(node, &inner)).collect();
            assert_eq!(path, theirs.open(number as usize).expect("a leaf").merkle_path().nodes());
            assert!(ours.vouch_for(number, leaf(number), &path));
            assert!(!ours.vouch_for(number, leaf(number + 1), &path));
            assert!(!ours.vouch_for(number ^ 1, leaf(number), &path));
            assert!(!ours.vouch_for(number, leaf(number), &[&path[..], &[leaf(0)]].concat()));
        }
        assert_eq!(path_of(107, 107), None);
    }

    #[test]
    fn the_last_block_there_can_be_has_its_place() {
        let last = Node { height: 31, index: 1 };
        assert_eq!(last.place(), Some(u32::MAX - 32 + 30));
        assert_eq!(path_of(u32::MAX - 1, u32::MAX).map(|path| path.len()), Some(0));
        assert_eq!(path_of(0, u32::MAX).map(|path| path.len()), Some(31));
    }
}
