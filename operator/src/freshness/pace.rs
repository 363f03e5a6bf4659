//! How fast a tip rises, and when one that is behind is back at that pace. Pure.

use std::time::Duration;

use tidemark_judge::{BlockNumber, Moment};

/// A pace is measured over the last one to two of these.
const WINDOW: Duration = Duration::from_secs(10);
/// Over less than this nothing is said.
const SHORTEST: Duration = Duration::from_secs(1);

/// The pace of one tip. Takes a few bytes, however often it is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pace {
    /// Where the window before began, where the present one began, and the latest sight.
    sights: Option<[(Moment, BlockNumber); 3]>,
}

impl Pace {
    /// A tip as seen at a moment. One that has fallen is measured anew.
    pub(super) fn note(&mut self, at: Moment, tip: BlockNumber) {
        self.sights = Some(match self.sights {
            Some([_, begin, last]) if tip >= last.1 && at.since(begin.0) >= WINDOW => {
                [begin, (at, tip), (at, tip)]
            }
            Some([before, begin, last]) if tip >= last.1 => [before, begin, (at, tip)],
            _ => [(at, tip); 3],
        });
    }

    /// Blocks per second; None while it was not seen for long enough.
    pub(super) fn rate(&self) -> Option<f64> {
        let [first, _, last] = self.sights?;
        let time = last.0.since(first.0);
        (time >= SHORTEST).then(|| f64::from(last.1.0.saturating_sub(first.1.0)) / time.as_secs_f64())
    }
}

/// When a member `lag` blocks behind is within `readmit` if it and the reference go on at these rates; None when it is
/// there already, or is not catching up.
pub(super) fn eta(lag: u32, readmit: u32, rate: f64, reference: f64) -> Option<Duration> {
    let missing = lag.checked_sub(readmit).filter(|missing| *missing > 0)?;
    let seconds = f64::from(missing) / (rate - reference);
    (seconds > 0.0).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidemark_judge::{BlockNumber, Moment};

    use super::{Pace, eta};

    fn pace(sights: &[(u64, u32)]) -> Option<f64> {
        let mut pace = Pace::default();
        for (second, tip) in sights {
            pace.note(Moment::new(Duration::from_secs(*second)), BlockNumber(*tip));
        }
        pace.rate()
    }

    #[test]
    fn a_rate_is_what_was_gained_over_the_time_it_took() {
        assert_eq!(pace(&[]), None);
        assert_eq!(pace(&[(0, 5)]), None);
        assert_eq!(pace(&[(0, 0), (2, 10)]), Some(5.0));
        assert_eq!(pace(&[(0, 7), (1, 7), (9, 7)]), Some(0.0));
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let fast = (0..=10).map(|second: u32| (second.into(), 100 * second));
        let slow = (11..=40).map(|second: u32| (second.into(), 990 + second));
        let fast_then_slow: Vec<_> = fast.chain(slow).collect();
        assert_eq!(pace(&fast_then_slow), Some(1.0));
    }

    #[test]
    fn a_tip_that_fell_is_measured_anew() {
        assert_eq!(pace(&[(0, 100), (5, 200), (6, 50)]), None);
        assert_eq!(pace(&[(0, 100), (5, 200), (6, 50), (8, 54)]), Some(2.0));
    }

    #[test]
    fn one_that_catches_up_is_back_when_its_lead_has_eaten_the_lag() {
        let seconds =
            |lag, readmit, rate, reference| eta(lag, readmit, rate, reference).map(|eta| eta.as_secs());
        assert_eq!(seconds(102, 2, 11.0, 1.0), Some(10));
        assert_eq!(seconds(3, 2, 1.0, 0.0), Some(1));
        assert_eq!(seconds(2, 2, 11.0, 1.0), None, "it is there");
        assert_eq!(seconds(102, 2, 1.0, 1.0), None, "it gains nothing");
        assert_eq!(seconds(102, 2, 0.5, 1.0), None, "it falls behind");
    }
}
