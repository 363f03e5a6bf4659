//! How long the lease lasts and how often it is renewed. Pure.

use std::time::Duration;

use crate::api::Span;

/// The longest a gate write may take: none is begun with less of the lease left.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest lease: what a record claims beyond it is not waited for.
pub(super) const LONGEST: Duration = Duration::from_secs(120);

/// The three times of a lease, in order: `retry` < `renew_deadline` < `duration`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// After a renewal was sent, the lease is its holder's for so long; whole seconds.
    pub(super) duration: Duration,
    /// A leader that could not renew for so long gives up.
    pub(super) renew_deadline: Duration,
    /// How often the lease is renewed, or looked at by those who wait for it.
    pub(super) retry: Duration,
}

/// Which times contradict each other.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TermsError {
    /// The record holds whole seconds.
    #[error("--lease-duration {0} is not between 5s and 2m in whole seconds")]
    Duration(Span),
    /// A leader must give up before another may take over.
    #[error("--lease-renew-deadline {deadline} is not shorter than --lease-duration {duration}: shorten it")]
    Deadline {
        /// The renew deadline.
        deadline: Span,
        /// The lease's duration.
        duration: Span,
    },
    /// A leader must have time for more than one attempt.
    #[error("--lease-retry {retry} is not between 100ms and --lease-renew-deadline {deadline}: change it")]
    Retry {
        /// The time between two renewals.
        retry: Span,
        /// The renew deadline.
        deadline: Span,
    },
    /// Just before a renewal there must still be time for a write.
    #[error(
        "--lease-duration {duration} leaves no time for a write of 2s between renewals every {retry}: lengthen it"
    )]
    NoTimeToWrite {
        /// The lease's duration.
        duration: Span,
        /// The time between two renewals.
        retry: Span,
    },
}

impl Terms {
    /// Terms that hold together.
    ///
    /// # Errors
    /// Which flag to change.
    pub fn new(duration: Span, deadline: Span, retry: Span) -> Result<Self, TermsError> {
        let [lasts, give_up, every] = [duration, deadline, retry].map(Span::get);
        if lasts.subsec_nanos() != 0 || lasts < Duration::from_secs(5) || lasts > LONGEST {
            return Err(TermsError::Duration(duration));
        }
        if give_up >= lasts {
            return Err(TermsError::Deadline { deadline, duration });
        }
        if every < Duration::from_millis(100) || every >= give_up {
            return Err(TermsError::Retry { retry, deadline });
        }
        if every * 2 + WRITE_TIMEOUT > lasts {
            return Err(TermsError::NoTimeToWrite { duration, retry });
        }
        Ok(Self { duration: lasts, renew_deadline: give_up, retry: every })
    }

    /// How long a holder may act after it sent a renewal: less than others wait, as their clocks may be faster by one
    /// part in a hundred, far more than clocks that are kept by a network differ.
    pub(super) fn valid(&self) -> Duration {
        self.duration.mul_f64(0.99)
    }
}

#[cfg(test)]
mod tests {
    use super::{Span, Terms, TermsError};

    fn check(times: [&str; 3], expected: Option<&str>) {
        let [duration, deadline, retry] = times.map(|text| text.parse::<Span>().expect("a span"));
        let found = Terms::new(duration, deadline, retry).map_err(|error: TermsError| error.to_string());
        match expected {
            None => assert!(found.is_ok(), "{times:?}: {found:?}"),
            Some(flag) => assert!(found.expect_err("refused").starts_with(flag), "{times:?}"),
        }
    }

    #[test]
    fn times_that_contradict_each_other_are_refused_by_the_flag_to_change() {
        check(["15s", "10s", "2s"], None);
        check(["5s", "4999ms", "1500ms"], None);
        check(["120s", "60s", "10s"], None);
        check(["4s", "3s", "1s"], Some("--lease-duration 4s"));
        check(["121s", "3s", "1s"], Some("--lease-duration 121s"));
        check(["15500ms", "10s", "2s"], Some("--lease-duration 15500ms"));
        check(["15s", "15s", "2s"], Some("--lease-renew-deadline 15s"));
        check(["15s", "10s", "10s"], Some("--lease-retry 10s"));
        check(["15s", "10s", "99ms"], Some("--lease-retry 99ms"));
        check(["5s", "4s", "1501ms"], Some("--lease-duration 5s"));
    }
}
