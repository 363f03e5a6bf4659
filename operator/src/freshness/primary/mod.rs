//! Asks each distinct primary for its tip, once for all the sets that name it.
//!
//! A primary is what all of this protects: it is asked at most once per shortest poll interval of those sets, and less
//! often while it says that it is exhausted. Decides nothing about followers.

mod asking;
mod backoff;
mod dial;
mod observer;
mod wants;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use tidemark_judge::{BlockNumber, Sample};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

pub(super) use observer::Observer;

use self::{
    asking::Asking,
    dial::{Dialer, Way},
    wants::{Want, Wants},
};
use super::secrets::{Secrets, TlsSecrets};
use crate::{clock::Clock, lock::lock, metrics::Metrics};

/// Which primary a set means, and which Secrets it is reached with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrimaryAt {
    /// Where it serves, as the operator reaches it.
    pub url: String,
    /// None for http.
    pub tls: Option<TlsSecrets>,
}

/// What is known of a primary.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Its latest answer, however old.
    pub(super) sample: Option<Sample>,
    /// Why the latest request was not answered, and what to do about it.
    pub(super) error: Option<String>,
    /// Why it cannot be reached as its set asks, though its earlier answers may count.
    pub(super) secret_error: Option<String>,
}

#[derive(Debug)]
struct Entry {
    wants: Arc<Wants>,
    seen: watch::Receiver<Seen>,
    _task: AbortOnDropHandle<()>,
}

/// All primaries that are asked.
#[derive(Debug)]
pub(super) struct Primaries {
    entries: Mutex<(u64, BTreeMap<Way, Entry>)>,
    secrets: Arc<Secrets>,
    dialer: Dialer,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// One set's interest in one primary; dropping it withdraws the interest.
#[derive(Debug)]
struct Subscription {
    way: Way,
    id: u64,
    hub: Weak<Primaries>,
    wants: Arc<Wants>,
    seen: watch::Receiver<Seen>,
}

impl Primaries {
    pub(super) fn new(
        secrets: Arc<Secrets>,
        allow_loopback: bool,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let dialer = Dialer { allow_loopback };
        Arc::new(Self { entries: Mutex::new((0, BTreeMap::new())), secrets, dialer, clock, metrics })
    }

    /// Has a primary asked at least each `interval`, from now on if nobody did so yet.
    fn subscribe(self: &Arc<Self>, way: Way, interval: Duration) -> Subscription {
        let mut entries = lock(&self.entries);
        let (next_id, by_way) = &mut *entries;
        *next_id += 1;
        let entry = by_way.entry(way.clone()).or_insert_with(|| self.start(way.clone(), *next_id, interval));
        entry.wants.set(*next_id, Want { interval, height: None });
        let (wants, seen) = (Arc::clone(&entry.wants), entry.seen.clone());
        Subscription { way, id: *next_id, hub: Arc::downgrade(self), wants, seen }
    }

    fn start(&self, way: Way, id: u64, interval: Duration) -> Entry {
        let wants = Arc::new(Wants::default());
        wants.set(id, Want { interval, height: None });
        let (publish, seen) = watch::channel(Seen::default());
        let asking = Asking::new(way, Arc::clone(&wants), publish, self.clock, Arc::clone(&self.metrics));
        Entry { wants, seen, _task: AbortOnDropHandle::new(tokio::spawn(asking.run(self.dialer))) }
    }

    fn leave(&self, way: &Way, id: u64) {
        let mut entries = lock(&self.entries);
        let Some(entry) = entries.1.get(way) else { return };
        entry.wants.forget(id);
        if entry.wants.interval().is_none() {
            entries.1.remove(way);
        }
    }
}

impl Subscription {
    fn want(&self, interval: Duration, height: Option<BlockNumber>) {
        self.wants.set(self.id, Want { interval, height });
    }

    async fn changed(&mut self) {
        if self.seen.changed().await.is_err() {
            // The task lives as long as this subscription; without it there is nothing to wait for.
            std::future::pending::<()>().await;
        }
    }

    fn seen(&mut self) -> Seen {
        self.seen.borrow_and_update().clone()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.leave(&self.way, self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::{Observer, Primaries, PrimaryAt, Secrets, lock};
    use crate::{clock::Clock, metrics::Metrics};

    fn primaries() -> Arc<Primaries> {
        let metrics = Arc::new(Metrics::new());
        let secrets = Secrets::new(crate::testing::nobody(), Arc::clone(&metrics));
        Primaries::new(secrets.into(), true, Clock::start(), metrics)
    }

    fn at() -> PrimaryAt {
        PrimaryAt { url: "http://127.0.0.1:1".to_owned(), tls: None }
    }

    #[tokio::test]
    async fn a_set_that_polls_often_does_not_wait_for_one_that_polls_seldom() {
        let primaries = primaries();
        let mut seldom = Observer::new(&primaries, at(), Duration::from_secs(3_600));
        seldom.changed().await;
        let mut often = Observer::new(&primaries, at(), Duration::from_millis(10));
        often.seen();
        for _ in 0..3 {
            tokio::time::timeout(Duration::from_secs(30), often.changed()).await.expect("asked often");
            assert!(often.seen().error.is_some());
        }
    }

    #[tokio::test]
    async fn a_primary_is_asked_once_for_all_that_name_it_and_no_longer_than_somebody_does() {
        let primaries = primaries();
        let asked = || lock(&primaries.entries).1.len();
        let first = Observer::new(&primaries, at(), Duration::from_secs(1));
        let second = Observer::new(&primaries, at(), Duration::from_secs(2));
        assert_eq!(asked(), 1);
        drop(first);
        assert_eq!(asked(), 1);
        drop(second);
        assert_eq!(asked(), 0);
    }
}
