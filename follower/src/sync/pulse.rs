//! How often blocks come, and from when on silence means something. Pure: `now` comes from the caller.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How many gaps between blocks at the live edge are remembered.
const REMEMBERED: usize = 32;
/// What is taken for the interval until one is learnt: that of the slowest chain we know.
const UNKNOWN: Duration = Duration::from_secs(3);
/// How much later than usual a block may come.
const GRACE: Duration = Duration::from_secs(3);

/// The rhythm of a chain, over all sessions with all upstreams.
#[derive(Debug)]
pub(super) struct Pulse {
    gaps: VecDeque<Duration>,
    last: Instant,
    /// Whether the last block was the upstream's newest, so that a gap to the next one says how often blocks are made.
    at_edge: bool,
}

impl Pulse {
    pub(super) fn new(now: Instant) -> Self {
        Self { gaps: VecDeque::new(), last: now, at_edge: false }
    }

    /// A block came; `at_edge` if it is the upstream's newest.
    pub(super) fn arrived(&mut self, at_edge: bool, now: Instant) {
        if at_edge && self.at_edge {
            self.gaps.push_back(now.saturating_duration_since(self.last));
            if self.gaps.len() > REMEMBERED {
                self.gaps.pop_front();
            }
        }
        (self.last, self.at_edge) = (now, at_edge);
    }

    /// When the last block came; before the first one, when this was made.
    pub(super) fn last(&self) -> Instant {
        self.last
    }

    /// How long after the last sign of life silence is long enough to ask about: the median gap, and a grace.
    pub(super) fn patience(&self) -> Duration {
        self.interval() + GRACE
    }

    fn interval(&self) -> Duration {
        let mut sorted: Vec<_> = self.gaps.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or(UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn after(gaps: impl IntoIterator<Item = u64>) -> Pulse {
        let mut now = Instant::now();
        let mut pulse = Pulse::new(now);
        pulse.arrived(true, now);
        for gap in gaps {
            now += millis(gap);
            pulse.arrived(true, now);
        }
        pulse
    }

    #[test]
    fn the_interval_is_the_median_of_the_last_32_gaps() {
        assert_eq!(after([]).patience(), UNKNOWN + GRACE);
        assert_eq!(after([500, 60_000, 400]).patience(), millis(500) + GRACE);
        assert_eq!(after([9000; 100].into_iter().chain([1000; 17])).patience(), millis(1000) + GRACE);
        assert_eq!(after([9000; 100].into_iter().chain([1000; 15])).patience(), millis(9000) + GRACE);
    }

    #[test]
    fn blocks_that_were_there_long_ago_teach_nothing() {
        let now = Instant::now();
        let mut pulse = Pulse::new(now);
        (0..100).for_each(|_| pulse.arrived(false, now));
        pulse.arrived(true, now + millis(1));
        assert_eq!(pulse.patience(), UNKNOWN + GRACE);
        pulse.arrived(true, now + millis(2001));
        assert_eq!(pulse.patience(), millis(2000) + GRACE);
    }

    #[test]
    fn memory_is_bounded() {
        assert_eq!(after([1; 1000]).gaps.len(), REMEMBERED);
    }
}
