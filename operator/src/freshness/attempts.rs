//! When a gate may be written again: after a failure, and after a success that somebody undid. Pure.

use std::time::Duration;

use tidemark_judge::{GateWrite, Reason};
use tokio::time::Instant;

const FIRST_RETRY: Duration = Duration::from_millis(50);
/// A gate that could not be written is tried again at least this often.
const LAST_RETRY: Duration = Duration::from_secs(5);
/// A gate that somebody undoes is written again at least this often.
const LAST_REPEAT: Duration = Duration::from_secs(1);

/// After so long without success people are told.
const FAILING_AFTER: Duration = Duration::from_secs(5);

/// A status and its reason.
pub(super) type Write = (bool, Reason);

/// What is known of writes to one pod.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// The pod's version after the last write: orders based on an older sight know nothing of it.
    written: u64,
    /// After a failure: when the next attempt may be made, and how long that is to wait.
    retry: Option<(Instant, Duration)>,
    /// After a success: the same write is not made again before then.
    repeat: Option<Repeat>,
    /// Since when nothing but failures came, and the latest of them.
    failing: Option<(Instant, String)>,
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Ended {
    Wrote(Written),
    /// The pod is not what was judged: judging it again brings another order.
    Outdated,
    /// In the server's words, or ours.
    Failed(String),
}

/// A write that may have to be made again, because somebody undoes it.
#[derive(Debug)]
struct Repeat {
    write: Write,
    at: Instant,
    wait: Duration,
}

/// A gate that was written.
#[derive(Debug)]
pub(super) struct Written {
    /// The pod's version since.
    pub(super) version: u64,
    pub(super) write: Write,
}

/// What makes two writes the same: their words may differ.
pub(super) fn kind(write: &GateWrite) -> Write {
    (write.open, write.reason)
}

impl Attempts {
    /// Whether `write` may be made now, on a sight of the pod at `version`.
    pub(super) fn may_write(&self, version: u64, write: Write, now: Instant) -> bool {
        let failed = self.retry.is_some_and(|(at, _)| at > now);
        let repeated = self.repeat.as_ref().is_some_and(|last| last.write == write && last.at > now);
        version >= self.written && !failed && !repeated
    }

    /// When there may be something to do again.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let repeat = self.repeat.as_ref().map(|last| last.at);
        self.retry.map(|(at, _)| at).into_iter().chain(repeat).filter(|at| *at > now).min()
    }

    /// Whether a write is so recent that the same one again would be a repetition.
    pub(super) fn is_recent(&self, now: Instant) -> bool {
        self.repeat.as_ref().is_some_and(|last| now < last.at + LAST_REPEAT)
    }

    /// What keeps the gate from being written, once that has lasted.
    pub(super) fn failing(&self, now: Instant) -> Option<&str> {
        let (since, error) = self.failing.as_ref()?;
        (now.duration_since(*since) >= FAILING_AFTER).then_some(error)
    }

    /// Takes in how an attempt ended. `uneven`, up to 1, keeps those that fail together from trying in step.
    pub(super) fn note(&mut self, ended: Ended, now: Instant, uneven: f64) {
        match ended {
            Ended::Wrote(written) => self.wrote(written, now),
            Ended::Outdated => self.try_again(now, uneven),
            Ended::Failed(error) => {
                let since = self.failing.take().map_or(now, |(since, _)| since);
                self.failing = Some((since, error));
                self.try_again(now, uneven);
            }
        }
    }

    fn wrote(&mut self, written: Written, now: Instant) {
        let same = |last: &Repeat| last.write == written.write && now < last.at + LAST_REPEAT;
        let before = self.repeat.take().filter(same);
        let wait = before.map_or(FIRST_RETRY, |last| (last.wait * 2).min(LAST_REPEAT));
        let repeat = Repeat { write: written.write, at: now + wait, wait };
        *self = Self { written: written.version, repeat: Some(repeat), ..Self::default() };
    }

    fn try_again(&mut self, now: Instant, uneven: f64) {
        let wait = self.retry.map_or(FIRST_RETRY, |(_, last)| (last * 2).min(LAST_RETRY));
        self.retry = Some((now + wait.mul_f64(uneven), wait));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidemark_judge::Reason;
    use tokio::time::Instant;

    use super::{Attempts, Ended, FAILING_AFTER, LAST_REPEAT, LAST_RETRY, Write, Written};

    const OPEN: Write = (true, Reason::InSync);
    const CLOSED: Write = (false, Reason::Lagging);

    fn wrote(version: u64, write: Write) -> Ended {
        Ended::Wrote(Written { version, write })
    }

    fn failed(error: &str) -> Ended {
        Ended::Failed(error.to_owned())
    }

    #[test]
    fn people_are_told_of_a_gate_that_cannot_be_written_for_long_and_only_as_long_as_that_lasts() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        attempts.note(failed("forbidden"), start, 1.0);
        attempts.note(Ended::Outdated, start, 1.0);
        let long = start + FAILING_AFTER;
        assert_eq!(attempts.failing(long - Duration::from_millis(1)), None);
        assert_eq!(attempts.failing(long), Some("forbidden"));
        attempts.note(failed("no answer"), long, 1.0);
        assert_eq!(attempts.failing(long), Some("no answer"));
        attempts.note(wrote(18, CLOSED), long, 1.0);
        assert_eq!(attempts.failing(long + FAILING_AFTER), None);
        attempts.note(Ended::Outdated, long, 1.0);
        assert_eq!(attempts.failing(long + FAILING_AFTER), None, "a pod that moves on is no failure");
    }

    #[test]
    fn an_order_from_before_the_last_write_is_not_carried_out_and_one_from_it_is() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        attempts.note(wrote(18, CLOSED), now, 1.0);
        assert!(!attempts.may_write(17, OPEN, now));
        assert!(attempts.may_write(18, OPEN, now));
    }

    #[test]
    fn failed_writes_wait_longer_each_time_and_never_longer_than_five_seconds() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..20 {
            attempts.note(failed("no"), now, 1.0);
        }
        assert!(!attempts.may_write(17, OPEN, now));
        assert_eq!(attempts.retry.map(|(_, wait)| wait), Some(LAST_RETRY));
        assert!(LAST_RETRY <= Duration::from_secs(5));
    }

    #[test]
    fn one_who_undoes_a_gate_is_answered_ever_less_often_and_a_change_of_verdict_at_once() {
        let (mut attempts, mut now) = (Attempts::default(), Instant::now());
        let mut writes = 0;
        for _ in 0..1_000 {
            if attempts.may_write(17, CLOSED, now) {
                attempts.note(wrote(17, CLOSED), now, 1.0);
                writes += 1;
            }
            now += Duration::from_millis(10);
        }
        assert!((10..=15).contains(&writes), "{writes} writes in ten seconds");
        assert!(attempts.may_write(17, OPEN, now));
        assert!(attempts.may_write(17, CLOSED, now + LAST_REPEAT));
    }
}
