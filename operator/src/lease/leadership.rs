//! Whether this process leads, and for how long it may still act.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tidemark_judge::Moment;
use tokio::sync::watch;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::terms::WRITE_TIMEOUT;

/// How often one whose lease is short looks whether it was renewed.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Knows whether this process leads. Cheap to clone; all clones know the same.
///
/// Whoever writes asks [`Self::remaining`] right before: a process that was suspended wakes with nothing left.
#[derive(Clone, Debug)]
pub struct Leadership {
    state: watch::Sender<State>,
    /// The writes that are under way.
    writes: TaskTracker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Standby,
    Leads {
        until: Moment,
    },
    /// Nobody to ask: without election this process always leads.
    Alone,
    /// For good: one that led leads again only as a new process.
    Ended,
}

impl Leadership {
    /// That of one who waits for its turn.
    #[must_use]
    pub fn standby() -> Self {
        Self::in_state(State::Standby)
    }

    /// That of one who leads without having been elected.
    #[must_use]
    pub fn alone() -> Self {
        Self::in_state(State::Alone)
    }

    fn in_state(state: State) -> Self {
        Self { state: watch::Sender::new(state), writes: TaskTracker::new() }
    }

    /// Whether this process may act now.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// How long it may still act; zero when it does not lead.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let state = *self.state.borrow();
        match state {
            State::Alone => Duration::MAX,
            State::Leads { until } => until.since(now()),
            State::Standby | State::Ended => Duration::ZERO,
        }
    }

    /// Waits until this process leads; for ever if it has stopped.
    pub async fn elected(&self) {
        let mut state = self.state.subscribe();
        let leads = |state: &State| matches!(state, State::Leads { .. } | State::Alone);
        // The sender is here, so waiting cannot fail.
        let _ = state.wait_for(leads).await;
    }

    /// Waits until this process may act for at least `limit` more.
    pub async fn lasts(&self, limit: Duration) {
        self.elected().await;
        while self.remaining() < limit {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Leads for so long from now on.
    #[cfg(test)]
    pub(crate) fn extend_by(&self, left: Duration) {
        self.extend(now().plus(left));
    }

    /// Leads until `until`, unless it was ended. Only the change of hands wakes those who wait.
    pub(super) fn extend(&self, until: Moment) {
        self.state.send_if_modified(|state| match state {
            State::Standby => {
                *state = State::Leads { until };
                true
            }
            State::Leads { until: before } => {
                *before = until;
                false
            }
            State::Alone | State::Ended => false,
        });
    }

    /// Ends it: nothing more is begun.
    pub(crate) fn end(&self) {
        self.state.send_replace(State::Ended);
        self.writes.close();
    }

    /// Counts as a write under way until it is dropped. To be taken before [`Self::remaining`] is asked.
    pub(super) fn writing(&self) -> TaskTrackerToken {
        self.writes.token()
    }

    /// Once it was ended, waits for the writes under way, so that the next leader finds them done; not longer than a write
    /// of a gate may take.
    pub(crate) async fn written(&self) {
        // Whoever still writes then is given up with this process.
        let _ = tokio::time::timeout(WRITE_TIMEOUT, self.writes.wait()).await;
    }
}

/// The time since boot, the time the machine slept included: on waking, a lease that ran out meanwhile has run out.
/// CLOCK_MONOTONIC would stand still in sleep, and with it every bound on what a leader may still do.
pub(super) fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Moment::new(
        Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default()),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::{Leadership, now};

    #[tokio::test]
    async fn one_leads_from_its_first_renewal_until_it_runs_out_or_is_ended() {
        let leadership = Leadership::standby();
        assert!(!leadership.is_leader() && leadership.elected().now_or_never().is_none());
        leadership.extend(now().plus(Duration::from_secs(60)));
        assert!(leadership.is_leader() && leadership.elected().now_or_never().is_some());
        assert!(leadership.remaining() > Duration::from_secs(59));
        leadership.extend(now());
        assert!(!leadership.is_leader(), "what has run out is over, whether or not anybody said so");
        leadership.extend(now().plus(Duration::from_secs(60)));
        leadership.end();
        leadership.extend(now().plus(Duration::from_secs(60)));
        assert!(!leadership.is_leader(), "ended is for good");
        assert!(Leadership::alone().is_leader());
    }

    #[tokio::test]
    async fn who_ends_waits_for_the_writes_under_way() {
        let leadership = Leadership::alone();
        let writing = leadership.writing();
        leadership.end();
        assert!(leadership.written().now_or_never().is_none());
        drop(writing);
        assert!(leadership.written().now_or_never().is_some());
    }
}
