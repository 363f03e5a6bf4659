//! Which proofs are held, in memory. Pure.

use crate::{BlockNumber, ranges::Ranges};

/// The first block that has a proof.
const FIRST: u32 = 1;

/// The numbers of the blocks whose proofs are held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProofSet(Ranges);

impl ProofSet {
    /// Every proof up to `proven` is held, none beyond.
    pub(crate) fn up_to(proven: Option<BlockNumber>) -> Self {
        let proven = proven.map(BlockNumber::get).filter(|proven| *proven >= FIRST);
        Self(proven.map_or_else(Ranges::default, |proven| Ranges::of(FIRST, proven)))
    }

    /// Those in these runs are held.
    pub(crate) fn of(runs: &Ranges) -> Self {
        Self(runs.clone())
    }

    /// The lowest runs of those held, `limit` at most.
    pub(crate) fn lowest(&self, limit: usize) -> Ranges {
        self.0.lowest(limit)
    }

    /// The highest number up to which every proof is held; genesis has none.
    pub(crate) fn proven(&self) -> Option<BlockNumber> {
        self.0.run_of(FIRST).map(|(_, last)| last.into())
    }

    pub(crate) fn holds(&self, number: BlockNumber) -> bool {
        self.0.contains(number.get())
    }

    pub(crate) fn insert(&mut self, number: BlockNumber) {
        if number > BlockNumber::GENESIS {
            self.0.insert(number.get(), number.get());
        }
    }

    /// Forgets a proof that turned out to be damaged.
    pub(crate) fn remove(&mut self, number: BlockNumber) {
        self.0.remove(number.get());
    }

    /// Forgets every proof above `last`.
    pub(crate) fn cut(&mut self, last: BlockNumber) {
        self.0.cut(last.next().get());
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
    fn a_proof_that_is_damaged_holds_the_proven_tip_back_until_it_is_there_again() {
        let mut set = ProofSet::up_to(Some(4.into()));
        set.remove(2.into());
        assert_eq!((set.proven(), set.holds(2.into()), set.holds(3.into())), (Some(1.into()), false, true));
        set.insert(2.into());
        assert_eq!(set, ProofSet::up_to(Some(4.into())));
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
