//! How many questions an upstream may be asked. Pure: `now` comes from the caller.
//!
//! A token bucket that also believes what the upstream says of its own.

use std::time::{Duration, Instant};

/// How many seconds' worth of requests may go out at once after a quiet time. The Miden node's own bucket holds eight.
const BURST_SECONDS: f64 = 8.0;
/// Waits of more than this, one after the other and without an answer between them, are a refusal.
const LONGEST_PATIENCE: Duration = Duration::from_secs(10);

/// What is left to ask of one upstream.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    rate: f64,
    tokens: f64,
    at: Option<Instant>,
    not_before: Option<Instant>,
    waits: Duration,
}

impl Budget {
    /// A full bucket that is refilled with `rate` requests per second.
    pub(super) fn new(rate: u32) -> Self {
        let rate = f64::from(rate.max(1));
        Self { rate, tokens: rate * BURST_SECONDS, at: None, not_before: None, waits: Duration::ZERO }
    }

    /// Takes the right to ask once, and says from when on it may be used.
    pub(super) fn take(&mut self, now: Instant) -> Instant {
        self.refill(now);
        self.tokens -= 1.0;
        let owed = Duration::from_secs_f64((-self.tokens).max(0.0) / self.rate);
        let paid = now + owed;
        self.not_before.map_or(paid, |not_before| paid.max(not_before))
    }

    fn refill(&mut self, now: Instant) {
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.tokens = (self.tokens + passed.as_secs_f64() * self.rate).min(self.rate * BURST_SECONDS);
        self.at = Some(now);
    }

    /// The upstream answered, and said how many more questions it takes now if it says so at all.
    pub(super) fn answered(&mut self, remaining: Option<u32>) {
        self.waits = Duration::ZERO;
        if let Some(remaining) = remaining {
            self.tokens = self.tokens.min(f64::from(remaining));
        }
    }

    /// The upstream asked to wait; says whether it is worth it.
    pub(super) fn told_to_wait(&mut self, wait: Duration, now: Instant) -> bool {
        let known = self.not_before.map_or(now, |known| known.max(now));
        let until = now.checked_add(wait).map_or(known, |until| until.max(known));
        self.not_before = Some(until);
        self.tokens = self.tokens.min(0.0);
        self.waits = self.waits.saturating_add(until - known);
        self.waits <= LONGEST_PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_burst_is_free_and_then_the_rate_holds() {
        let now = Instant::now();
        let mut budget = Budget::new(10);
        assert!((0..80).all(|_| budget.take(now) == now));
        let waits: Vec<_> = (0..20).map(|_| budget.take(now) - now).collect();
        assert_eq!((waits[0], waits[9], waits[19]), (seconds(1) / 10, seconds(1), seconds(2)));
    }

    #[test]
    fn a_quiet_time_refills_no_more_than_a_burst() {
        let start = Instant::now();
        let mut budget = Budget::new(10);
        assert!((0..80).all(|_| budget.take(start) == start));
        let later = start + seconds(3600);
        assert_eq!((0..100).filter(|_| budget.take(later) == later).count(), 80);
    }

    #[test]
    fn what_the_upstream_has_left_is_believed_when_it_is_less() {
        let now = Instant::now();
        let mut budget = Budget::new(10);
        budget.answered(Some(2));
        assert_eq!((0..5).filter(|_| budget.take(now) == now).count(), 2);
        budget.answered(Some(1000));
        assert!(budget.take(now) > now, "more than our own budget is never taken");
    }

    #[test]
    fn a_wait_is_kept_and_waits_without_end_are_a_refusal() {
        let now = Instant::now();
        let mut budget = Budget::new(10);
        assert!(budget.told_to_wait(seconds(3), now));
        assert!(budget.take(now) >= now + seconds(3));
        assert!((0..8).all(|_| budget.told_to_wait(seconds(3), now)), "calls in flight wait at once");
        assert!(budget.told_to_wait(seconds(1), now) && budget.take(now) >= now + seconds(3));
        let again = |n: u64| now + seconds(3 * n);
        assert!(budget.told_to_wait(seconds(3), again(1)) && budget.told_to_wait(seconds(3), again(2)));
        assert!(!budget.told_to_wait(seconds(3), again(3)));
        budget.answered(None);
        assert!(budget.told_to_wait(seconds(3), again(4)));
        assert!(!budget.told_to_wait(seconds(60), again(4)));
        assert!(budget.take(again(4)) >= again(4) + seconds(60), "a refusal's wait is kept too");
    }
}
