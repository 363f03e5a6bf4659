//! Asks one follower process for its tips whenever told to, one request at a time.
//!
//! A sampler lives as long as one container of one pod: a restart gets a new one. It decides nothing; a hanging, lying
//! or oversized answer costs only its own follower.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tidemark_judge::{BlockNumber, ContainerId, HashAt, PodUid, Sample};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    answer::Asked,
    ask::{self, ANSWER_LIMIT, AskError, Protocol, Upstream},
    dial::{Line, Route, Way},
    hashes::Hashes,
    read_block::{ReadError, Reading, finished, start_reading},
    tls,
};
use crate::{clock::Clock, descriptors::Seat, link::Link, metrics::Metrics};

/// The longest text that is kept of why one was not heard, in bytes.
const WORDS_LIMIT: usize = 256;

/// Which process is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) uid: PodUid,
    pub(super) container: ContainerId,
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) line: Line,
    pub(super) protocol: Protocol,
    /// How long one answer may take.
    pub(super) timeout: Duration,
}

/// What to ask, when, and how often this has been told.
#[derive(Clone, Copy, Debug)]
struct Ask {
    round: u64,
    height: Option<BlockNumber>,
    due: Instant,
}

/// What a process said when it was asked.
#[derive(Debug)]
pub(super) enum Said {
    Sample(Box<Sample>, Option<Upstream>),
    /// It does not know the protocol.
    NotUnderstood,
    /// Nothing that counts, for another reason than the time before.
    Nothing(Unheard),
}

/// Why a process was not heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unheard {
    pub(super) why: String,
    /// It was for TLS, and not for what was asked over it.
    pub(super) tls: bool,
}

impl Unheard {
    fn of(error: &AskError) -> Self {
        let mut why = error.to_string();
        why.truncate(why.floor_char_boundary(WORDS_LIMIT));
        Self { why, tls: error.outcome() == tls::HANDSHAKE }
    }
}

/// What came of one request.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) uid: PodUid,
    pub(super) container: ContainerId,
    pub(super) said: Said,
}

/// A running sampler; dropping it ends it.
#[derive(Debug)]
pub(super) struct Sampler {
    pub(super) target: Target,
    ask: watch::Sender<Ask>,
    _task: AbortOnDropHandle<()>,
    _seat: Seat,
}

impl Sampler {
    /// Starts a sampler, which waits to be told.
    pub(super) fn start(
        target: Target,
        way: Way,
        seat: Seat,
        answers: mpsc::Sender<Answered>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (ask, asked) = watch::channel(Ask { round: 0, height: None, due: Instant::now() });
        let asking = Asking::new(target.clone(), way, answers, clock, metrics);
        Self { target, ask, _task: AbortOnDropHandle::new(tokio::spawn(asking.run(asked))), _seat: seat }
    }

    /// Has the follower asked once more; while a request is under way, right after it.
    pub(super) fn ask(&self, height: Option<BlockNumber>) {
        self.ask_after(Duration::ZERO, height);
    }

    /// Has the follower asked so much later.
    pub(super) fn ask_after(&self, wait: Duration, height: Option<BlockNumber>) {
        let due = Instant::now() + wait;
        self.ask.send_modify(|ask| *ask = Ask { round: ask.round.wrapping_add(1), height, due });
    }
}

struct Asking {
    target: Target,
    answers: mpsc::Sender<Answered>,
    clock: Clock,
    metrics: Arc<Metrics>,
    route: Route,
    link: Link<Route>,
    hashes: Hashes,
    reading: Option<Reading>,
    /// What was told last, unless it has been heard since.
    unheard: Option<Unheard>,
}

impl Asking {
    fn new(
        target: Target,
        way: Way,
        answers: mpsc::Sender<Answered>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let to = SocketAddr::new(target.address, target.port);
        let route = Route { to, way, timeout: target.timeout };
        let link = Link::new(route.clone(), ANSWER_LIMIT);
        let (hashes, reading, unheard) = (Hashes::default(), None, None);
        Self { target, answers, clock, metrics, route, link, hashes, reading, unheard }
    }

    async fn run(mut self, mut ask: watch::Receiver<Ask>) {
        while self.is_due(&mut ask).await {
            let height = ask.borrow_and_update().height;
            // Boxed, so that one who waits to be told holds no room for a call.
            if let Some(said) = Box::pin(self.ask_once(height)).await {
                let Target { uid, container, .. } = self.target.clone();
                if self.answers.send(Answered { uid, container, said }).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Waits until it is to ask: when it is told to, or when a hash is there to be passed on. False at the end.
    async fn is_due(&mut self, ask: &mut watch::Receiver<Ask>) -> bool {
        tokio::select! {
            told = told(ask) => told,
            hash = finished(&mut self.reading) => {
                self.take_hash(hash);
                true
            }
        }
    }

    fn take_hash(&mut self, hash: Result<HashAt, ReadError>) {
        self.metrics.hash_read("follower", hash.as_ref().map_or_else(ReadError::outcome, |_| "ok"));
        match hash {
            Ok(hash) => self.hashes.learn(hash),
            Err(error) => tracing::debug!(pod = %self.target.uid, %error, "no hash"),
        }
    }

    async fn ask_once(&mut self, height: Option<BlockNumber>) -> Option<Said> {
        let container = Some(self.target.container.clone());
        let asked = Asked { at: self.clock.now(), height, container };
        let Target { protocol, timeout, .. } = self.target;
        let answer = ask::ask(protocol, &self.link, self.clock, &asked, timeout).await;
        let answer = answer.and_then(|answer| Ok((self.own(answer.sample)?, answer.upstream)));
        let outcome = answer.as_ref().map_or_else(AskError::outcome, |_| "ok");
        self.metrics.sampled(outcome, self.clock.since(asked.at));
        match answer {
            Ok((sample, upstream)) => {
                self.unheard = None;
                Some(Said::Sample(Box::new(self.with_hash(height, sample)), upstream))
            }
            Err(error) if error.is_unimplemented() => Some(Said::NotUnderstood),
            Err(error) => self.nothing(&error),
        }
    }

    /// Tells why nothing was heard, once for each reason.
    fn nothing(&mut self, error: &AskError) -> Option<Said> {
        let unheard = Some(Unheard::of(error));
        if self.unheard == unheard {
            return None;
        }
        self.unheard = unheard.clone();
        unheard.map(Said::Nothing)
    }

    /// An answer of another pod at an address that was this one's is no sample.
    fn own(&self, sample: Sample) -> Result<Sample, AskError> {
        match &sample.pod_uid {
            Some(uid) if *uid != self.target.uid => Err(AskError::OtherPod),
            _ => Ok(sample),
        }
    }

    /// Adds the hash of a process that answers none by itself, and has the block read for it, which keeps no sample
    /// waiting.
    fn with_hash(&mut self, height: Option<BlockNumber>, mut sample: Sample) -> Sample {
        if self.target.protocol == Protocol::Tidemark {
            return sample;
        }
        sample.hash_at = self.hashes.known(sample.published);
        let now = self.clock.now();
        if let Some(height) = height
            && self.reading.is_none()
            && self.hashes.start(now, height, sample.published)
        {
            self.reading = self.route.channel().map(|channel| start_reading(channel, height));
        }
        sample
    }
}

/// Waits until the earliest of what is told is due; false once nothing is told any more. What is told later puts off nothing:
/// a busy machine, on which rounds come before the last one's turn was taken, would not ask at all.
async fn told(ask: &mut watch::Receiver<Ask>) -> bool {
    let mut changed = ask.changed().await;
    let mut due = None;
    while changed.is_ok() {
        let told = ask.borrow_and_update().due;
        let earliest = due.map_or(told, |due: Instant| due.min(told));
        due = Some(earliest);
        match tokio::time::timeout_at(earliest, ask.changed()).await {
            Err(_) => return true,
            Ok(again) => changed = again,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{sync::watch, time::Instant};

    use super::{Ask, told};

    /// When one who is told at these times, in milliseconds, to ask so much later does so first.
    async fn asks_at(orders: &[(u64, u64)]) -> Duration {
        let start = Instant::now();
        let (ask, mut asked) = watch::channel(Ask { round: 0, height: None, due: start });
        let tells = async {
            for (at, wait) in orders {
                tokio::time::sleep_until(start + Duration::from_millis(*at)).await;
                let due = Instant::now() + Duration::from_millis(*wait);
                ask.send_modify(|ask| *ask = Ask { round: ask.round + 1, height: None, due });
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = tells => unreachable!("it never ends"),
            told = told(&mut asked) => assert!(told),
        }
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn rounds_that_follow_each_other_fast_put_nobody_off() {
        let ms = Duration::from_millis;
        assert_eq!(asks_at(&[(100, 499)]).await, ms(599));
        assert_eq!(asks_at(&[(100, 499), (300, 499), (500, 499)]).await, ms(599));
        assert_eq!(asks_at(&[(100, 499), (300, 0)]).await, ms(300), "at once is at once");
    }
}
