//! When followers are asked in turn. Pure.

use std::time::Duration;

use tidemark_judge::Moment;

/// The pace of one fleet's rounds. A round follows an answer of the primary, so that followers are judged against
/// what was known before; without answers a round is due all the same.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rounds {
    last: Option<Moment>,
    /// The primary answered too soon after the last round to begin one.
    owed: bool,
}

impl Rounds {
    /// Whether an answer (or failure) of the primary starts a round now: at most two per interval, since the primary
    /// may be asked more often for the sake of another set. If not, one is due half an interval after the last.
    pub(super) fn due_after_primary(&mut self, now: Moment, interval: Duration) -> bool {
        let due = self.last.is_none_or(|last| now.since(last) >= interval / 2);
        self.owed |= !due;
        due
    }

    /// When a round is due by itself: a quarter interval late, if the primary is observed, to let it go first.
    pub(super) fn due_at(&self, interval: Duration, observed: bool) -> Option<Moment> {
        let wait = match (self.owed, observed) {
            (true, _) => interval / 2,
            (false, true) => interval + interval / 4,
            (false, false) => interval,
        };
        self.last.map(|last| last.plus(wait))
    }

    /// Notes that a round starts.
    pub(super) fn start(&mut self, now: Moment) {
        *self = Self { last: Some(now), owed: false };
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

    #[test]
    fn what_a_primary_tells_just_after_a_round_waits_half_an_interval_for_the_next() {
        let mut rounds = Rounds::default();
        rounds.start(at(1_000));
        assert!(!rounds.due_after_primary(at(1_001), SECOND));
        assert_eq!(rounds.due_at(SECOND, true), Some(at(1_500)));
        rounds.start(at(1_500));
        assert_eq!(rounds.due_at(SECOND, true), Some(at(2_750)), "it is owed one round");
    }
}
