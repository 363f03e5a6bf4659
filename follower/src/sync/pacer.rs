//! When to ask for the next missing proof, and for how many at once. Pure: `now` comes from the caller.
//!
//! A proof costs its block's bytes again, so asking early is what must be rare.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use tidemark_store::BlockNumber;

/// How many arrivals of blocks are remembered: at 4 blocks a second, proofs may be minutes late.
const REMEMBERED: usize = 1024;
/// How many proofs are asked for at once while each is there.
const WIDE: usize = 8;
/// The longest pause between two questions for the same proof, in pauses.
const LONGEST: u32 = 8;

/// Learns how long after its block a proof comes.
#[derive(Debug, Default)]
pub(super) struct ProofPacer {
    arrivals: VecDeque<(BlockNumber, Instant)>,
    delay: Option<Duration>,
    misses: u32,
    last_miss: Option<Instant>,
}

impl ProofPacer {
    /// The published tip has risen to `tip` since it was last told.
    pub(super) fn block_arrived(&mut self, tip: BlockNumber, now: Instant) {
        if self.arrivals.back().is_none_or(|(last, _)| *last < tip) {
            self.arrivals.push_back((tip, now));
            if self.arrivals.len() > REMEMBERED {
                self.arrivals.pop_front();
            }
        }
    }

    /// The proof of `number` is held now.
    pub(super) fn proof_arrived(&mut self, number: BlockNumber, now: Instant) {
        if let Some(arrived) = self.arrival(number) {
            self.learn(now.duration_since(arrived));
        }
        self.misses = 0;
        self.last_miss = None;
    }

    /// A proof that was there at the first question may have been there earlier: the next is asked for sooner.
    fn learn(&mut self, seen: Duration) {
        self.delay = match self.delay {
            Some(delay) if self.misses == 0 => Some(delay * 15 / 16),
            Some(delay) => Some((delay * 7 + seen) / 8),
            None => Some(seen).filter(|_| self.misses > 0),
        };
    }

    /// The proof asked for was not there.
    pub(super) fn missed(&mut self, now: Instant) {
        self.misses = self.misses.saturating_add(1);
        self.last_miss = Some(now);
    }

    /// When to ask for the proof of `number`, the lowest missing one; `pause` is what a poll interval is elsewhere.
    pub(super) fn due(&self, number: BlockNumber, pause: Duration, now: Instant) -> Instant {
        let expected = self.arrival(number).zip(self.delay).map(|(arrived, delay)| arrived + delay);
        let patience = pause * (1 << self.misses.saturating_sub(1).min(LONGEST.ilog2()));
        let again = self.last_miss.map(|missed| missed + patience);
        expected.max(again).unwrap_or(now)
    }

    /// How many proofs to ask for at once.
    pub(super) fn width(&self) -> usize {
        if self.misses == 0 { WIDE } else { 1 }
    }

    /// When the block of that number arrived: with the first tip at or above it.
    fn arrival(&self, number: BlockNumber) -> Option<Instant> {
        let at = self.arrivals.partition_point(|(tip, _)| *tip < number);
        let known = self.arrivals.front().is_some_and(|(first, _)| *first <= number);
        self.arrivals.get(at).filter(|_| known).map(|(_, arrived)| *arrived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn an_old_block_s_proof_is_due_at_once_and_asked_for_with_others() {
        let now = Instant::now();
        let pacer = ProofPacer::default();
        assert_eq!(pacer.due(3.into(), PAUSE, now), now);
        assert_eq!(pacer.width(), WIDE);
    }

    #[test]
    fn a_missing_proof_is_asked_for_alone_and_ever_more_rarely() {
        let now = Instant::now();
        let mut pacer = ProofPacer::default();
        for expected in [1, 2, 4, 8, 8] {
            pacer.missed(now);
            assert_eq!(pacer.due(1.into(), PAUSE, now), now + seconds(expected));
            assert_eq!(pacer.width(), 1);
        }
        pacer.proof_arrived(1.into(), now);
        assert_eq!(pacer.due(2.into(), PAUSE, now), now);
    }

    #[test]
    fn the_delay_learnt_from_one_proof_paces_the_next() {
        let start = Instant::now();
        let mut pacer = ProofPacer::default();
        pacer.block_arrived(1.into(), start);
        pacer.block_arrived(2.into(), start + seconds(3));
        pacer.missed(start);
        pacer.proof_arrived(1.into(), start + seconds(20));
        assert_eq!(pacer.due(2.into(), PAUSE, start + seconds(20)), start + seconds(23));
    }

    #[test]
    fn a_delay_that_was_too_long_shrinks() {
        let start = Instant::now();
        let mut pacer = ProofPacer::default();
        pacer.block_arrived(1.into(), start);
        pacer.missed(start);
        pacer.proof_arrived(1.into(), start + seconds(60));
        (0..64).for_each(|_| pacer.proof_arrived(1.into(), start + seconds(60)));
        assert!(pacer.due(1.into(), PAUSE, start) < start + seconds(2));
    }

    #[test]
    fn arrivals_are_bounded_and_forgotten_ones_are_due_at_once() {
        let start = Instant::now();
        let mut pacer = ProofPacer::default();
        (1..5000).for_each(|n| pacer.block_arrived(n.into(), start));
        assert_eq!(pacer.arrivals.len(), REMEMBERED);
        pacer.missed(start);
        pacer.proof_arrived(4500.into(), start + seconds(9));
        assert_eq!(pacer.due(1.into(), PAUSE, start), start);
        assert_eq!(pacer.due(4501.into(), PAUSE, start), start + seconds(9));
    }
}
