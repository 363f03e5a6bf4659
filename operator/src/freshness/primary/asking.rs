//! Asks one primary, at most once per shortest interval wanted, and less often while it says that it is exhausted.

use std::{sync::Arc, time::Duration};

use http::Uri;
use rand::RngExt as _;
use tidemark_judge::Sample;
use tokio::{sync::watch, time::Instant};
use tonic::transport::{Channel, Endpoint};

use super::{
    super::{
        answer::Asked,
        ask::{self, ANSWER_LIMIT, Answer, AskError, LONGEST_ANSWER, Protocol},
        hashes::Hashes,
        read_block::{ReadError, Reading, finished, start_reading},
    },
    Seen, backoff,
    dial::{Dialer, Route, Way},
    wants::Wants,
};
use crate::{clock::Clock, link::Link, metrics::Metrics};

/// What of a block may be on its way unread, in bytes.
const WINDOW: u32 = 256 * 1024;

/// What asks one primary.
pub(super) struct Asking {
    way: Way,
    wants: Arc<Wants>,
    publish: watch::Sender<Seen>,
    clock: Clock,
    metrics: Arc<Metrics>,
    protocol: Protocol,
    hashes: Hashes,
    reading: Option<Reading>,
    turn: usize,
}

impl Asking {
    pub(super) fn new(
        way: Way,
        wants: Arc<Wants>,
        publish: watch::Sender<Seen>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (protocol, hashes) = (Protocol::Tidemark, Hashes::default());
        Self { way, wants, publish, clock, metrics, protocol, hashes, reading: None, turn: 0 }
    }

    /// Asks until nobody wants anything.
    pub(super) async fn run(mut self, dialer: Dialer) {
        let (uri, endpoint) = match (self.way.url.parse::<Uri>(), Endpoint::from_shared(self.way.url.clone()))
        {
            (Ok(uri), Ok(endpoint)) => (uri, endpoint),
            (Err(error), _) => return self.fail(&error),
            (_, Err(error)) => return self.fail(&error),
        };
        let link = Link::new(Route { uri, way: self.way.clone(), dialer }, ANSWER_LIMIT);
        // Blocks, which may be large, are read on a connection of their own.
        let endpoint = endpoint.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
        let connector = dialer.connector(&self.way);
        let reader = move || endpoint.connect_with_connector_lazy(connector.clone());
        let mut backoff = Duration::ZERO;
        while let Some(interval) = self.wants.interval() {
            let asked = Instant::now();
            let result = self.ask(&link, interval).await;
            if self.protocol == Protocol::Tidemark && result.as_ref().is_err_and(AskError::is_unimplemented) {
                // What it speaks then is asked in its turn: nothing is known yet, and it is promised one request.
                self.protocol = Protocol::RpcStatus;
            } else {
                backoff = backoff::next(backoff, interval, &result);
                self.tell(&reader, result);
            }
            self.pause(asked, backoff).await;
        }
    }

    /// Waits for the shortest interval wanted since it was asked, also if that becomes shorter meanwhile, and at least for
    /// `backoff` since it answered.
    async fn pause(&mut self, asked: Instant, backoff: Duration) {
        let answered = Instant::now();
        // A little unevenness keeps operators that ask the same primary from asking in step.
        let uneven = rand::rng().random_range(1.0..1.01);
        while let Some(interval) = self.wants.interval() {
            let due = (asked + interval.mul_f64(uneven)).max(answered + backoff.mul_f64(uneven));
            tokio::select! {
                () = tokio::time::sleep_until(due) => return,
                () = self.wants.sooner() => {}
                hash = finished(&mut self.reading) => {
                    let outcome = hash.as_ref().map_or_else(ReadError::outcome, |_| "ok");
                    self.metrics.hash_read("primary", outcome);
                    match hash {
                        Ok(hash) => self.hashes.learn(hash),
                        Err(error) => tracing::debug!(url = self.way.url, %error, "no hash"),
                    }
                }
            }
        }
    }

    async fn ask(&mut self, link: &Link<Route>, interval: Duration) -> Result<Answer, AskError> {
        self.turn = self.turn.wrapping_add(1);
        let asked = Asked { at: self.clock.now(), height: self.wants.height(self.turn), container: None };
        let limit = interval.min(LONGEST_ANSWER);
        let answer = ask::ask(self.protocol, link, self.clock, &asked, limit).await;
        let outcome = answer.as_ref().map_or_else(AskError::outcome, |_| "ok");
        self.metrics.primary_sampled(outcome, self.clock.since(asked.at));
        answer
    }

    fn tell(&mut self, reader: &impl Fn() -> Channel, result: Result<Answer, AskError>) {
        match result {
            Ok(Answer { sample, .. }) => {
                let sample = self.with_hash(reader, sample);
                self.publish.send_replace(Seen { sample: Some(sample), ..Seen::default() });
            }
            Err(error) => {
                if error.outcome() != "exhausted" {
                    self.protocol = Protocol::Tidemark;
                }
                self.fail(&error);
            }
        }
    }

    /// Adds the hash of a primary that answers none by itself. Its tip of the day is read for it, which all sets that
    /// name it can be compared at.
    fn with_hash(&mut self, reader: &impl Fn() -> Channel, mut sample: Sample) -> Sample {
        if self.protocol == Protocol::Tidemark {
            return sample;
        }
        sample.hash_at = self.hashes.known(sample.published);
        let (now, tip) = (self.clock.now(), sample.published);
        if let Some(height) = tip.filter(|_| self.reading.is_none() && self.is_compared())
            && self.hashes.start(now, height, tip)
        {
            self.reading = Some(start_reading(reader(), height));
        }
        sample
    }

    /// Whether any set compares its blocks at all.
    fn is_compared(&self) -> bool {
        self.wants.height(0).is_some()
    }

    fn fail(&self, error: &dyn std::error::Error) {
        let url = &self.way.url;
        let error = format!("the primary {url} does not answer: {error}; check spec.primary and the network");
        self.publish.send_modify(|seen| seen.error = Some(error));
    }
}
