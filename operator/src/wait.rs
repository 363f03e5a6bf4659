//! Waiting that several modules do alike.

use std::{future::Future, time::Duration};

use rand::RngExt as _;

/// What comes of a future; without one nothing ever does.
pub(crate) async fn or_never<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// Between this part of a wait and all of it, so that those who began to wait together do not end together.
pub(crate) fn uneven(wait: Duration, least: f64) -> Duration {
    wait.mul_f64(rand::rng().random_range(least..1.0))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use futures::FutureExt as _;

    use super::{or_never, uneven};

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn those_who_wait_alike_do_not_end_together() {
        let waits: BTreeSet<Duration> = (0..64).map(|_| uneven(MINUTE, 0.5)).collect();
        assert!(waits.len() > 32, "{} different waits", waits.len());
        assert!(waits.iter().all(|wait| (MINUTE / 2..=MINUTE).contains(wait)), "{waits:?}");
    }

    #[test]
    fn nothing_comes_of_no_future() {
        assert_eq!(or_never(Some(std::future::ready(7))).now_or_never(), Some(7));
        assert_eq!(or_never(None::<std::future::Ready<u8>>).now_or_never(), None);
    }
}
