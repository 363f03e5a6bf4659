//! How long to wait before the next session. Pure: the caller brings the randomness.

use std::time::Duration;

/// Doubles from `first` to `cap` with each failure; a success starts over.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    first: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) const fn new(first: Duration) -> Self {
        Self { first, failures: 0 }
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The next pause: between half and all of the doubled base, where `jitter` is from 0 to 1.
    pub(super) fn failed(&mut self, cap: Duration, jitter: f64) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.failures.min(16)).min(cap);
        self.failures = self.failures.saturating_add(1);
        doubled.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const CAP: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_the_cap_and_start_over() {
        let mut backoff = Backoff::new(FIRST);
        let pauses: Vec<_> = (0..6).map(|_| backoff.failed(CAP, 1.0).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1000, 1000]);
        backoff.succeeded();
        assert_eq!(backoff.failed(CAP, 1.0), FIRST);
    }

    #[test]
    fn jitter_never_leaves_its_half() {
        for jitter in [-1.0, 0.0, 0.5, 1.0, 9.0] {
            let pause = Backoff::new(FIRST).failed(CAP, jitter);
            assert!(pause >= FIRST / 2 && pause <= FIRST, "{jitter}: {pause:?}");
        }
    }

    #[test]
    fn a_thousand_failures_are_no_overflow() {
        let mut backoff = Backoff::new(FIRST);
        assert!((0..1000).all(|_| backoff.failed(CAP, 1.0) <= CAP));
    }
}
