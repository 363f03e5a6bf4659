//! How soon a watch that was interrupted is taken up again.

use std::time::Duration;

use backon::ExponentialBuilder;
use kube::runtime::{utils::ResetTimerBackoff, watcher::ExponentialBackoff};

const FIRST: Duration = Duration::from_millis(400);
/// Half of the longest wait: the rest is jitter.
const LAST: Duration = Duration::from_millis(2_500);
/// A watch that was not interrupted for so long is patient no more.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// The pauses between attempts, of at most 5 s: what a blind operator does not see, it does not judge.
pub(crate) fn patience() -> ResetTimerBackoff<ExponentialBackoff> {
    let pauses = ExponentialBuilder::new().with_min_delay(FIRST).with_max_delay(LAST).with_jitter();
    ResetTimerBackoff::new(pauses.without_max_times().into(), FORGOTTEN)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn however_often_a_watch_was_interrupted_it_is_taken_up_again_within_five_seconds() {
        let pauses: Vec<_> = super::patience().take(100).collect();
        assert_eq!(pauses.len(), 100);
        assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(5)), "{pauses:?}");
        assert!(pauses[50] >= Duration::from_secs(2), "an API server in trouble is spared: {pauses:?}");
    }
}
