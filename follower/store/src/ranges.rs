//! A set of numbers that mostly come in runs, kept as those runs. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Runs of numbers; no two touch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u32, u32)>", into = "Vec<(u32, u32)>")]
pub(crate) struct Ranges(BTreeMap<u32, u32>);

impl Ranges {
    /// The numbers from `first` to `last`.
    pub(crate) fn of(first: u32, last: u32) -> Self {
        let mut ranges = Self::default();
        ranges.insert(first, last);
        ranges
    }

    /// The run that a number is in, its first and last.
    pub(crate) fn run_of(&self, number: u32) -> Option<(u32, u32)> {
        let (first, last) = self.0.range(..=number).next_back()?;
        (number <= *last).then_some((*first, *last))
    }

    pub(crate) fn contains(&self, number: u32) -> bool {
        self.run_of(number).is_some()
    }

    /// How many runs there are.
    pub(crate) fn runs(&self) -> usize {
        self.0.len()
    }

    /// The highest number.
    pub(crate) fn last(&self) -> Option<u32> {
        self.0.values().next_back().copied()
    }

    /// The lowest runs, `limit` at most.
    pub(crate) fn lowest(&self, limit: usize) -> Self {
        Self(self.0.iter().take(limit).map(|(first, last)| (*first, *last)).collect())
    }

    /// The lowest number.
    pub(crate) fn first(&self) -> Option<u32> {
        self.0.keys().next().copied()
    }

    /// Adds the numbers from `first` to `last`, and joins the runs they touch.
    pub(crate) fn insert(&mut self, first: u32, last: u32) {
        let (mut first, mut last) = (first, last);
        let touching = self.0.range(..=last.saturating_add(1)).rev();
        let touching = touching.take_while(|(_, end)| end.saturating_add(1) >= first);
        for start in touching.map(|(start, _)| *start).collect::<Vec<_>>() {
            let end = self.0.remove(&start).unwrap_or(start);
            (first, last) = (first.min(start), last.max(end));
        }
        self.0.insert(first, last);
    }

    pub(crate) fn remove(&mut self, number: u32) {
        let Some((first, last)) = self.run_of(number) else { return };
        self.0.remove(&first);
        if first < number {
            self.0.insert(first, number - 1);
        }
        if number < last {
            self.0.insert(number + 1, last);
        }
    }

    /// Removes every number from `from` on.
    pub(crate) fn cut(&mut self, from: u32) {
        drop(self.0.split_off(&from));
        if let (Some(below), Some(mut run)) = (from.checked_sub(1), self.0.last_entry()) {
            let last = *run.get();
            run.insert(last.min(below));
        }
    }

    /// Every number, lowest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// At most `limit` runs that hold all numbers here: the highest runs become one, gaps between them included.
    pub(crate) fn coarse(&self, limit: usize) -> Self {
        let mut runs: BTreeMap<u32, u32> =
            self.0.iter().take(limit).map(|(first, last)| (*first, *last)).collect();
        if let (Some(mut last), Some(end)) = (runs.last_entry(), self.0.values().next_back()) {
            last.insert(*end);
        }
        Self(runs)
    }
}

impl From<Ranges> for Vec<(u32, u32)> {
    fn from(ranges: Ranges) -> Self {
        ranges.0.into_iter().collect()
    }
}

impl TryFrom<Vec<(u32, u32)>> for Ranges {
    type Error = &'static str;

    fn try_from(runs: Vec<(u32, u32)>) -> Result<Self, Self::Error> {
        let rise = runs.windows(2).all(|pair| u64::from(pair[0].1) + 1 < u64::from(pair[1].0));
        let whole = runs.iter().all(|(first, last)| first <= last);
        if rise && whole {
            Ok(Self(runs.into_iter().collect()))
        } else {
            Err("runs of numbers must rise and not touch")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set_of_numbers(steps in prop::collection::vec((0..4_u8, 0..40_u32, 0..6_u32), 0..60)) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for (step, number, more) in steps {
                match step {
                    0 | 1 => {
                        ranges.insert(number, number + more);
                        set.extend(number..=number + more);
                    }
                    2 => {
                        ranges.remove(number);
                        set.remove(&number);
                    }
                    _ => {
                        ranges.cut(number);
                        set.retain(|each| *each < number);
                    }
                }
                prop_assert_eq!(ranges.iter().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(ranges.first(), set.first().copied());
                prop_assert!((0..50).all(|each| ranges.contains(each) == set.contains(&each)));
                let runs = Vec::from(ranges.clone());
                prop_assert_eq!(Ranges::try_from(runs), Ok(ranges.clone()), "no two runs touch");
            }
        }
    }

    #[test]
    fn a_coarse_set_holds_no_fewer_numbers_in_fewer_runs() {
        let mut ranges = Ranges::of(1, 2);
        ranges.insert(5, 5);
        ranges.insert(9, 12);
        assert_eq!(Vec::from(ranges.coarse(3)), [(1, 2), (5, 5), (9, 12)]);
        assert_eq!(Vec::from(ranges.coarse(2)), [(1, 2), (5, 12)]);
        assert_eq!(Ranges::default().coarse(2), Ranges::default());
    }

    #[test]
    fn runs_that_touch_or_fall_are_refused() {
        for runs in [vec![(3, 1)], vec![(1, 2), (3, 4)], vec![(5, 6), (1, 2)]] {
            assert!(Ranges::try_from(runs.clone()).is_err(), "{runs:?}");
        }
    }
}
