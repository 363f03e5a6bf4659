//! How many files and connections this process may have open, and how many of them are for followers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::metrics::Metrics;

/// Kept for the API server, primaries, readers of the admin port, and the process itself.
const RESERVED: u64 = 256;

/// Raises the limit of open files to what the system allows, and returns what it is now; None: there is none.
pub(crate) fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, ?current, ?maximum, "the limit of open files stays what it is");
    }
    getrlimit(Resource::Nofile).current
}

/// The connections that followers may have. One that finds no seat is not asked, so that what is reserved stays free.
#[derive(Debug)]
pub(crate) struct Seats {
    limit: u64,
    taken: AtomicU64,
    told: AtomicBool,
    metrics: Arc<Metrics>,
}

/// A connection that may be made; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Seats>);

impl Seats {
    /// Under this limit of open files.
    pub(crate) fn new(open_files: Option<u64>, metrics: Arc<Metrics>) -> Arc<Self> {
        let limit = open_files.map_or(u64::MAX, |limit| limit.saturating_sub(RESERVED).max(1));
        metrics.seats(limit);
        Arc::new(Self { limit, taken: AtomicU64::new(0), told: AtomicBool::new(false), metrics })
    }

    /// A seat; None, which is told once, when all are taken.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Seat> {
        let free = |taken| (taken < self.limit).then_some(taken + 1);
        if self.taken.fetch_update(Relaxed, Relaxed, free).is_ok() {
            self.metrics.seats_taken(1);
            return Some(Seat(Arc::clone(self)));
        }
        self.metrics.seat_refused();
        if !self.told.swap(true, Relaxed) {
            let (limit, reserved) = (self.limit, RESERVED);
            tracing::error!(
                limit,
                reserved,
                "more followers run than connections are allowed, and some are not asked: raise the limit of open \
                 files of this container, or serve fewer namespaces with each operator"
            );
        }
        None
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
        self.0.told.store(false, Relaxed);
        self.0.metrics.seats_taken(-1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustix::process::{Resource, getrlimit};

    use super::{RESERVED, Seats, raise};
    use crate::metrics::Metrics;

    #[test]
    fn the_limit_is_raised_to_what_the_system_allows() {
        assert_eq!(raise(), getrlimit(Resource::Nofile).maximum);
    }

    #[test]
    fn what_is_reserved_is_given_to_no_follower_and_what_is_given_back_is_given_again() {
        let metrics = Arc::new(Metrics::new());
        let seats = Seats::new(Some(RESERVED + 2), Arc::clone(&metrics));
        let (first, second) = (seats.take(), seats.take());
        assert!(first.is_some() && second.is_some() && seats.take().is_none());
        drop(first);
        assert!(seats.take().is_some(), "one was given back");
        let text = metrics.text(&[]).expect("text");
        assert!(text.contains("tidemark_operator_follower_connections_refused_total 1"), "{text}");
        assert!(text.contains("tidemark_operator_follower_connections_allowed 2"), "{text}");
        assert!(Seats::new(None, metrics).take().is_some());
    }
}
