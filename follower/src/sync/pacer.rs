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

/// By this part of itself the delay shrinks with a proof that was there at the first question…
const SHRINK: u32 = 256;
/// … and by as much again for every so many of them in a row.
const ROW: u32 = 16;

/// Learns how long after its block a proof comes: the delay at which nine of ten are there at the first question.
#[derive(Debug, Default)]
pub(super) struct ProofPacer {
    arrivals: VecDeque<(BlockNumber, Instant)>,
    delay: Option<Duration>,
    hits: u32,
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

    /// A proof that was there at the first question may have been there earlier: the next is asked for a little sooner.
    /// One that was not there came at most as late as it was seen.
    fn learn(&mut self, seen: Duration) {
        self.hits = if self.misses == 0 { self.hits.saturating_add(1) } else { 0 };
        self.delay = match self.delay {
            Some(delay) if self.misses == 0 => {
                Some(delay - (delay / SHRINK * (1 + self.hits / ROW)).min(delay / 4))
            }
            Some(delay) => Some(delay.max(seen)),
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
        (0..256).for_each(|_| pacer.proof_arrived(1.into(), start + seconds(60)));
        assert!(pacer.due(1.into(), PAUSE, start) < start + seconds(2));
    }

    /// How many questions are asked until the proofs of `blocks` blocks are there, which are made once a second and
    /// proven so late; and how late after its proof the last one was fetched.
    fn simulate(blocks: u32, late: impl Fn(u32) -> Duration) -> (u32, Duration) {
        let start = Instant::now();
        let there = |number: u32| start + PAUSE * number + late(number);
        let (mut now, mut next, mut questions, mut pacer) = (start, 1, 0, ProofPacer::default());
        while next <= blocks {
            let tip = u32::try_from((now - start).as_secs()).expect("small").min(blocks);
            pacer.block_arrived(tip.into(), now);
            let due = |number: u32, now| pacer.due(number.into(), PAUSE, now);
            let wanted = (next..=tip).take(pacer.width());
            let asked: Vec<u32> = wanted.filter(|number| due(*number, now) <= now).collect();
            let held: Vec<u32> = asked.iter().copied().take_while(|number| there(*number) <= now).collect();
            questions += u32::try_from(asked.len()).expect("small");
            held.iter().for_each(|number| pacer.proof_arrived((*number).into(), now));
            if held.len() < asked.len() {
                pacer.missed(now);
            }
            next += u32::try_from(held.len()).expect("small");
            now += Duration::from_millis(10);
        }
        (questions, now - there(blocks))
    }

    /// Every question costs its block's bytes again.
    #[test]
    fn proofs_that_are_20_seconds_late_cost_at_most_half_a_question_more_than_they_must() {
        let (questions, behind) = simulate(600, |_| seconds(20));
        assert!(questions <= 900, "{questions} questions for 600 proofs");
        assert!(behind < seconds(4), "{behind:?} behind");
        let scattered =
            |number: u32| seconds(18) + Duration::from_millis(u64::from(number * 2_654_435 % 4000));
        let (questions, behind) = simulate(600, scattered);
        assert!(questions <= 900, "{questions} questions for 600 scattered proofs");
        assert!(behind < seconds(8), "{behind:?} behind");
    }

    #[test]
    fn a_prover_that_gets_faster_or_slower_is_followed() {
        let (questions, behind) = simulate(600, |number| seconds(if number < 300 { 20 } else { 5 }));
        assert!(questions <= 900 && behind < seconds(6), "{questions} questions, {behind:?} behind");
        let (questions, behind) = simulate(600, |number| seconds(if number < 300 { 5 } else { 40 }));
        assert!(questions <= 900 && behind < seconds(8), "{questions} questions, {behind:?} behind");
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
