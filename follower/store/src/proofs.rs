//! Which proofs are held, in memory. Pure.

use std::collections::BTreeSet;

use crate::BlockNumber;

/// A gapless run from block 1 on, and what is held beyond the first gap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProofSet {
    proven: Option<BlockNumber>,
    beyond: BTreeSet<BlockNumber>,
}

impl ProofSet {
    /// Every proof up to `proven` is held, none beyond.
    pub(crate) fn up_to(proven: Option<BlockNumber>) -> Self {
        Self { proven, beyond: BTreeSet::new() }
    }

    /// The highest number up to which every proof is held; genesis has none.
    pub(crate) fn proven(&self) -> Option<BlockNumber> {
        self.proven
    }

    pub(crate) fn holds(&self, number: BlockNumber) -> bool {
        let is_proven = number > BlockNumber::GENESIS && self.proven >= Some(number);
        is_proven || self.beyond.contains(&number)
    }

    pub(crate) fn insert(&mut self, number: BlockNumber) {
        if number == BlockNumber::GENESIS || self.holds(number) {
            return;
        }
        self.beyond.insert(number);
        while self.beyond.remove(&self.proven.unwrap_or(BlockNumber::GENESIS).next()) {
            self.proven = Some(self.proven.unwrap_or(BlockNumber::GENESIS).next());
        }
    }

    /// Forgets every proof above `last`.
    pub(crate) fn cut(&mut self, last: BlockNumber) {
        self.beyond.retain(|number| *number <= last);
        self.proven =
            self.proven.map(|proven| proven.min(last)).filter(|proven| *proven > BlockNumber::GENESIS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_holds_the_proven_tip_back_until_it_closes() {
        let mut set = ProofSet::default();
        [2, 3, 5].into_iter().for_each(|number| set.insert(number.into()));
        assert_eq!(set.proven(), None);
        set.insert(1.into());
        assert_eq!(set.proven(), Some(3.into()));
        let held = [0, 1, 2, 3, 4, 5].map(|number| set.holds(number.into()));
        assert_eq!(held, [false, true, true, true, false, true]);
    }

    #[test]
    fn a_cut_forgets_what_is_above() {
        let mut set = ProofSet::up_to(Some(4.into()));
        set.insert(6.into());
        set.cut(5.into());
        assert_eq!((set.proven(), set.holds(6.into())), (Some(4.into()), false));
        set.cut(2.into());
        assert_eq!(set.proven(), Some(2.into()));
        set.cut(0.into());
        assert_eq!(set.proven(), None);
    }
}
