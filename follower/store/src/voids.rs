//! Which records of a log are void: what a cut or a crash left behind, told by where it lies and when it was written. Pure.
//!
//! Such a record is whole and bound to its place, so that nothing else tells it from one that counts, should the disk lose
//! what was written over it.

use serde::{Deserialize, Serialize};

use crate::position::Position;

/// The most ends that are remembered; the lowest is forgotten first, for it is what was written over longest ago.
const LIMIT: usize = 1024;

/// From `at` on, what was written before `epoch` is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    at: Position,
    epoch: u32,
}

/// Where a log ended once with something behind that end. Places and epochs both rise, for a later end voids all that an
/// earlier one behind it does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Voids(Vec<End>);

impl Voids {
    /// Whether nothing is.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From `at` on, only what is written in `epoch` and later counts.
    pub(crate) fn note(&mut self, at: Position, epoch: u32) {
        self.0.retain(|end| end.at < at);
        self.0.push(End { at, epoch });
        let excess = self.0.len().saturating_sub(LIMIT);
        self.0.drain(..excess);
    }

    /// Whether a record that lies at `at` and was written in `epoch` is void.
    pub(crate) fn is_void(&self, at: Position, epoch: u32) -> bool {
        let before = self.0.partition_point(|end| end.at <= at);
        self.0[..before].last().is_some_and(|end| epoch < end.epoch)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(offset: u32) -> Position {
        Position::new(0, offset)
    }

    proptest! {
        #[test]
        fn a_record_is_void_if_any_later_end_lay_before_it(ends in prop::collection::vec(0..40_u32, 0..20)) {
            let mut voids = Voids::default();
            for (epoch, end) in (1..).zip(&ends) {
                voids.note(at(*end), epoch);
            }
            for (place, epoch) in (0..40).flat_map(|place| (0..22).map(move |epoch| (place, epoch))) {
                let is_void = (1..).zip(&ends).any(|(later, end)| *end <= place && epoch < later);
                prop_assert_eq!(voids.is_void(at(place), epoch), is_void, "{} {}", place, epoch);
            }
        }
    }

    #[test]
    fn they_stay_bounded_and_the_newest_are_kept() {
        let mut voids = Voids::default();
        (0..2000).for_each(|n| voids.note(at(n), n));
        assert_eq!(voids.0.len(), LIMIT);
        assert!(voids.is_void(at(1999), 1998) && !voids.is_void(at(1), 0));
    }
}
