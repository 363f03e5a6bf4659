//! When followers are asked in turn. Pure.

use std::time::Duration;

use tidemark_judge::Moment;

/// The pace of one fleet's rounds. A round follows an answer of the primary, so that followers are judged against
/// what was known before; without answers a round is due all the same.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rounds {
    last: Option<Moment>,
}

impl Rounds {
    /// Whether an answer (or failure) of the primary starts a round now: at most two per interval, since the primary
    /// may be asked more often for the sake of another set.
    pub(super) fn due_after_primary(&self, now: Moment, interval: Duration) -> bool {
        self.last.is_none_or(|last| now.since(last) >= interval / 2)
    }

    /// When a round is due without one: a quarter interval late, if the primary is observed, to let it go first.
    pub(super) fn due_at(&self, interval: Duration, observed: bool) -> Option<Moment> {
        let grace = if observed { interval / 4 } else { Duration::ZERO };
        self.last.map(|last| last.plus(interval + grace))
    }

    /// Notes that a round starts.
    pub(super) fn start(&mut self, now: Moment) {
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidemark_judge::Moment;

    use super::Rounds;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Moment {
        Moment::new(Duration::from_millis(millis))
    }

    #[test]
    fn the_first_round_is_due_at_once_and_later_ones_follow_the_primary() {
        let mut rounds = Rounds::default();
        assert_eq!(rounds.due_at(SECOND, true), None);
        assert!(rounds.due_after_primary(at(0), SECOND));
        rounds.start(at(0));
        assert!(!rounds.due_after_primary(at(499), SECOND));
        assert!(rounds.due_after_primary(at(500), SECOND));
    }

    #[test]
    fn a_silent_primary_delays_a_round_by_a_quarter_interval_only() {
        let mut rounds = Rounds::default();
        rounds.start(at(1_000));
        assert_eq!(rounds.due_at(SECOND, true), Some(at(2_250)));
        assert_eq!(rounds.due_at(SECOND, false), Some(at(2_000)));
    }
}
