//! Asks each distinct primary for its tip, once for all the sets that name it.
//!
//! A primary is what all of this protects: it is asked at most once per shortest poll interval of those sets, and less
//! often while it says that it is exhausted. Decides nothing about followers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use rand::RngExt as _;
use tidemark_judge::{BlockNumber, Sample};
use tidemark_wire::{
    rpc::api_client::ApiClient,
    v1::{TipsRequest, replica_client::ReplicaClient},
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use super::answer::{self, Asked};
use crate::{clock::Clock, metrics::Metrics};

const ANSWER_LIMIT: usize = 64 * 1024;
const LONGEST_ANSWER: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// After this many failures in a row the connection is made anew.
const FAILURES_PER_CONNECTION: u32 = 2;

/// What is known of a primary.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Its latest answer, however old.
    pub(super) sample: Option<Sample>,
    /// Why the latest request was not answered.
    pub(super) error: Option<String>,
}

/// What one set wants of a primary.
#[derive(Clone, Copy, Debug)]
struct Want {
    interval: Duration,
    height: Option<BlockNumber>,
}

/// What all sets want of one primary.
#[derive(Debug, Default)]
struct Wants {
    by_set: Mutex<BTreeMap<u64, Want>>,
    /// Told when the primary is to be asked more often than before.
    sooner: Notify,
}

impl Wants {
    fn set(&self, id: u64, want: Want) {
        let before = self.interval();
        lock(&self.by_set).insert(id, want);
        if before.is_some_and(|before| want.interval < before) {
            self.sooner.notify_one();
        }
    }

    /// The shortest that is wanted; None when nobody wants anything.
    fn interval(&self) -> Option<Duration> {
        lock(&self.by_set).values().map(|want| want.interval).min()
    }
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
    entries: Mutex<(u64, BTreeMap<String, Entry>)>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// One set's interest in one primary; dropping it withdraws the interest.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) url: String,
    id: u64,
    hub: Weak<Primaries>,
    wants: Arc<Wants>,
    seen: watch::Receiver<Seen>,
}

impl Primaries {
    pub(super) fn new(clock: Clock, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { entries: Mutex::new((0, BTreeMap::new())), clock, metrics })
    }

    /// Has `url` asked at least each `interval`, from now on if nobody did so yet.
    pub(super) fn subscribe(self: &Arc<Self>, url: &str, interval: Duration) -> Subscription {
        let mut entries = lock(&self.entries);
        let (next_id, by_url) = &mut *entries;
        *next_id += 1;
        let entry = by_url.entry(url.to_owned()).or_insert_with(|| self.start(url, *next_id, interval));
        entry.wants.set(*next_id, Want { interval, height: None });
        let (wants, seen) = (Arc::clone(&entry.wants), entry.seen.clone());
        Subscription { url: url.to_owned(), id: *next_id, hub: Arc::downgrade(self), wants, seen }
    }

    fn start(&self, url: &str, id: u64, interval: Duration) -> Entry {
        let wants = Arc::new(Wants::default());
        wants.set(id, Want { interval, height: None });
        let (publish, seen) = watch::channel(Seen::default());
        let asking = Asking {
            url: url.to_owned(),
            wants: Arc::clone(&wants),
            publish,
            clock: self.clock,
            metrics: Arc::clone(&self.metrics),
            protocol: Protocol::Tidemark,
            turn: 0,
        };
        Entry { wants, seen, _task: AbortOnDropHandle::new(tokio::spawn(asking.run())) }
    }

    fn leave(&self, url: &str, id: u64) {
        let mut entries = lock(&self.entries);
        let Some(entry) = entries.1.get(url) else { return };
        lock(&entry.wants.by_set).remove(&id);
        if entry.wants.interval().is_none() {
            entries.1.remove(url);
        }
    }
}

impl Subscription {
    /// Changes what is wanted: how often, and the height whose hash is to be asked for.
    pub(super) fn want(&self, interval: Duration, height: Option<BlockNumber>) {
        self.wants.set(self.id, Want { interval, height });
    }

    /// Waits for the next answer or failure.
    pub(super) async fn changed(&mut self) {
        if self.seen.changed().await.is_err() {
            // The task lives as long as this subscription; without it there is nothing to wait for.
            std::future::pending::<()>().await;
        }
    }

    /// What is known now.
    pub(super) fn seen(&mut self) -> Seen {
        self.seen.borrow_and_update().clone()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.leave(&self.url, self.id);
        }
    }
}

/// What a primary speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// `tidemark.v1`, which answers hashes too.
    Tidemark,
    /// `rpc.Api` alone.
    Status,
}

struct Asking {
    url: String,
    wants: Arc<Wants>,
    publish: watch::Sender<Seen>,
    clock: Clock,
    metrics: Arc<Metrics>,
    protocol: Protocol,
    turn: usize,
}

impl Asking {
    async fn run(mut self) {
        let endpoint = match Endpoint::from_shared(self.url.clone()) {
            Ok(endpoint) => endpoint.connect_timeout(LONGEST_ANSWER).tcp_nodelay(true),
            Err(error) => return self.fail(format!("{} is no address: {error}", self.url)),
        };
        let mut channel = endpoint.connect_lazy();
        let (mut failures, mut backoff) = (0, Duration::ZERO);
        while let Some((interval, height)) = self.next_want() {
            let result = self.ask(&channel, interval, height).await;
            backoff = next_backoff(backoff, interval, result.as_ref().err());
            failures = if result.is_ok() { 0 } else { failures + 1 };
            if failures >= FAILURES_PER_CONNECTION {
                (channel, failures) = (endpoint.connect_lazy(), 0);
            }
            self.tell(result);
            self.pause(backoff).await;
        }
    }

    /// Waits for the shortest interval wanted, also if that becomes shorter meanwhile, and at least for `backoff`.
    async fn pause(&self, backoff: Duration) {
        let since = Instant::now();
        // A little unevenness keeps the operators and sets of a cluster from asking in step.
        let uneven = rand::rng().random_range(0.95..1.0);
        while let Some(interval) = self.wants.interval() {
            let due = since + interval.mul_f64(uneven).max(backoff);
            if tokio::time::timeout_at(due, self.wants.sooner.notified()).await.is_err() {
                return;
            }
        }
    }

    /// The shortest interval wanted, and in turn each height wanted; None when nobody wants anything.
    fn next_want(&mut self) -> Option<(Duration, Option<BlockNumber>)> {
        let interval = self.wants.interval()?;
        let wants = lock(&self.wants.by_set);
        let heights: Vec<_> = wants.values().filter_map(|want| want.height).collect();
        self.turn = self.turn.wrapping_add(1);
        let height = (!heights.is_empty()).then(|| heights[self.turn % heights.len()]);
        Some((interval, height))
    }

    async fn ask(
        &mut self,
        channel: &Channel,
        interval: Duration,
        height: Option<BlockNumber>,
    ) -> Result<Sample, Status> {
        let limit = interval.min(LONGEST_ANSWER);
        let asked = Asked { at: self.clock.now(), height, container: None };
        let answer = tokio::time::timeout(limit, self.ask_protocol(channel, &asked)).await;
        let answer = answer.unwrap_or_else(|_| {
            Err(Status::deadline_exceeded(format!("no answer within {} ms", limit.as_millis())))
        });
        self.metrics.primary_sampled(if answer.is_ok() { "ok" } else { "error" }, self.clock.since(asked.at));
        answer
    }

    async fn ask_protocol(&mut self, channel: &Channel, asked: &Asked) -> Result<Sample, Status> {
        if self.protocol == Protocol::Tidemark {
            match self.ask_tips(channel, asked).await {
                Err(status) if status.code() == Code::Unimplemented => self.protocol = Protocol::Status,
                answer => return answer,
            }
        }
        let mut client = ApiClient::new(channel.clone()).max_decoding_message_size(ANSWER_LIMIT);
        let answer = client.status(()).await?.into_inner();
        Ok(answer::status(asked, self.clock.now(), answer))
    }

    async fn ask_tips(&self, channel: &Channel, asked: &Asked) -> Result<Sample, Status> {
        let mut client = ReplicaClient::new(channel.clone()).max_decoding_message_size(ANSWER_LIMIT);
        let request = TipsRequest { at_height: asked.height.map(|height| height.0) };
        let answer = client.tips(request).await?.into_inner();
        Ok(answer::tips(asked, self.clock.now(), &answer))
    }

    fn tell(&mut self, result: Result<Sample, Status>) {
        match result {
            Ok(sample) => drop(self.publish.send_replace(Seen { sample: Some(sample), error: None })),
            Err(status) => {
                self.protocol = Protocol::Tidemark;
                self.fail(describe(&self.url, &status));
            }
        }
    }

    fn fail(&self, error: String) {
        self.publish.send_modify(|seen| seen.error = Some(error));
    }
}

/// No longer wait than the interval, unless the primary says that it is exhausted: then twice as long each time.
fn next_backoff(last: Duration, interval: Duration, error: Option<&Status>) -> Duration {
    match error {
        Some(status) if status.code() == Code::ResourceExhausted => {
            (last.max(interval) * 2).min(LONGEST_BACKOFF)
        }
        _ => Duration::ZERO,
    }
}

/// The error with its deepest cause, which alone says what is wrong with a connection.
fn describe(url: &str, status: &Status) -> String {
    let mut deepest: Option<&dyn std::error::Error> = std::error::Error::source(status);
    while let Some(next) = deepest.and_then(std::error::Error::source) {
        deepest = Some(next);
    }
    match deepest {
        Some(cause) => format!("{url} does not answer: {cause}"),
        None => format!("{url} does not answer: {}: {}", status.code(), status.message()),
    }
}

/// A thread that panicked while it held one of these maps left it whole: each change is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::Status;

    use super::{Primaries, next_backoff};
    use crate::{clock::Clock, metrics::Metrics};

    #[tokio::test]
    async fn a_set_that_polls_often_does_not_wait_for_one_that_polls_seldom() {
        let primaries = Primaries::new(Clock::start(), Metrics::new().into());
        let nowhere = "http://127.0.0.1:1";
        let mut seldom = primaries.subscribe(nowhere, Duration::from_secs(3_600));
        seldom.changed().await;
        let mut often = primaries.subscribe(nowhere, Duration::from_millis(10));
        often.seen();
        for _ in 0..3 {
            tokio::time::timeout(Duration::from_secs(30), often.changed()).await.expect("asked often");
            assert!(often.seen().error.is_some());
        }
    }

    #[test]
    fn only_an_exhausted_primary_is_asked_less_often_and_never_less_than_every_half_minute() {
        let second = Duration::from_secs(1);
        let exhausted = Status::resource_exhausted("Too Many Requests! Wait for 2s");
        assert_eq!(next_backoff(Duration::ZERO, second, Some(&exhausted)), 2 * second);
        assert_eq!(next_backoff(2 * second, second, Some(&exhausted)), 4 * second);
        assert_eq!(next_backoff(20 * second, second, Some(&exhausted)), 30 * second);
        assert_eq!(next_backoff(8 * second, second, Some(&Status::unavailable("gone"))), Duration::ZERO);
        assert_eq!(next_backoff(8 * second, second, None), Duration::ZERO);
    }
}
