//! The only clock: monotonic moments for judging, and the wall time they are shown as.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidemark_judge::Moment;
use tokio::time::Instant;

/// Maps monotonic time to moments, and moments to the wall time read once at the start: a stepped wall clock changes
/// no decision and no time already shown.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    wall: Timestamp,
}

impl Clock {
    /// A clock whose origin is now.
    pub fn start() -> Self {
        Self { origin: Instant::now(), wall: Timestamp::now() }
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        Moment::new(self.origin.elapsed())
    }

    /// A moment as wall time, to the second.
    pub fn wall(&self, moment: Moment) -> Timestamp {
        let since = SignedDuration::try_from(moment.since_origin()).unwrap_or(SignedDuration::ZERO);
        let exact = self.wall.checked_add(since).unwrap_or(self.wall);
        Timestamp::from_second(exact.as_second()).unwrap_or(exact)
    }

    /// How long ago `moment` was.
    pub fn since(&self, moment: Moment) -> Duration {
        self.now().since(moment)
    }
}
