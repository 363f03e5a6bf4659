//! What all sets want of one primary.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tidemark_judge::BlockNumber;
use tokio::sync::Notify;

use crate::lock::lock;

/// What one set wants of a primary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    pub(super) interval: Duration,
    pub(super) height: Option<BlockNumber>,
}

#[derive(Debug, Default)]
pub(super) struct Wants {
    by_set: Mutex<BTreeMap<u64, Want>>,
    /// Told when the primary is to be asked more often than before.
    sooner: Notify,
}

impl Wants {
    pub(super) fn set(&self, id: u64, want: Want) {
        let before = self.interval();
        self.lock().insert(id, want);
        if before.is_some_and(|before| want.interval < before) {
            self.sooner.notify_one();
        }
    }

    pub(super) fn forget(&self, id: u64) {
        self.lock().remove(&id);
    }

    /// The shortest that is wanted; None when nobody wants anything.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.lock().values().map(|want| want.interval).min()
    }

    /// One of the heights wanted, another one each turn.
    pub(super) fn height(&self, turn: usize) -> Option<BlockNumber> {
        let heights: Vec<_> = self.lock().values().filter_map(|want| want.height).collect();
        (!heights.is_empty()).then(|| heights[turn % heights.len()])
    }

    /// Waits until an interval is wanted that is shorter than before.
    pub(super) async fn sooner(&self) {
        self.sooner.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Want>> {
        lock(&self.by_set)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidemark_judge::BlockNumber;

    use super::{Want, Wants};

    #[test]
    fn the_shortest_interval_is_kept_and_each_height_gets_its_turn() {
        let wants = Wants::default();
        assert_eq!((wants.interval(), wants.height(0)), (None, None));
        for (id, seconds, height) in
            [(1, 3, Some(BlockNumber(7))), (2, 2, None), (3, 5, Some(BlockNumber(8)))]
        {
            wants.set(id, Want { interval: Duration::from_secs(seconds), height });
        }
        assert_eq!(wants.interval(), Some(Duration::from_secs(2)));
        assert_eq!(
            [0, 1, 2].map(|turn| wants.height(turn)),
            [7, 8, 7].map(|height| Some(BlockNumber(height)))
        );
        wants.forget(2);
        assert_eq!(wants.interval(), Some(Duration::from_secs(3)));
    }
}
