//! Whether a connection takes what is held for it: one on which nothing moves for too long is to end, whichever of its
//! streams the bytes are of.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// What the streams of one connection share.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Mutex<State>>);

/// Something that waits for the client to take it; dropped once it is taken, or given up.
#[derive(Debug)]
pub(super) struct Held(Progress);

#[derive(Debug, Default)]
struct State {
    held: usize,
    /// When something was last taken, or first held after nothing was.
    moved: Option<Instant>,
}

impl State {
    /// When to look again; none if something is held and nothing was taken for `wait`.
    fn look(&self, now: Instant, wait: Duration) -> Option<Instant> {
        let since = self.moved.filter(|_| self.held > 0).unwrap_or(now);
        Some(since + wait).filter(|due| *due > now)
    }
}

impl Progress {
    pub(super) fn hold(&self) -> Held {
        let mut state = self.lock();
        if state.held == 0 {
            state.moved = Some(Instant::now());
        }
        state.held += 1;
        Held(self.clone())
    }

    /// Notes that the client took a part of what is held.
    pub(super) fn moved(&self) {
        self.lock().moved = Some(Instant::now());
    }

    /// Ends when something is held and nothing was taken for `wait`.
    pub(super) async fn stalled(&self, wait: Duration) {
        loop {
            let next = self.lock().look(Instant::now(), wait);
            match next {
                Some(due) => sleep_until(due).await,
                None => return,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.held -= 1;
        state.moved = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(10);

    #[test]
    fn only_a_connection_that_holds_something_and_takes_nothing_stalls() {
        let began = Instant::now();
        let state = |held| State { held, moved: Some(began) };
        assert_eq!(state(0).look(began + WAIT * 10, WAIT), Some(began + WAIT * 11), "nothing is held");
        assert_eq!(state(2).look(began + WAIT / 2, WAIT), Some(began + WAIT));
        assert_eq!(state(2).look(began + WAIT, WAIT), None);
    }

    #[tokio::test]
    async fn whatever_is_taken_counts_for_the_whole_connection() {
        let progress = Progress::default();
        let (first, _second) = (progress.hold(), progress.hold());
        let long_ago = Instant::now() - WAIT;
        let stalls = || progress.lock().look(Instant::now(), WAIT).is_none();
        progress.lock().moved = Some(long_ago);
        assert!(stalls());
        progress.moved();
        assert!(!stalls());
        progress.lock().moved = Some(long_ago);
        drop(first);
        assert!(!stalls());
        progress.lock().moved = Some(long_ago);
        let _third = progress.hold();
        assert!(stalls(), "what is held anew is not taken");
    }
}
