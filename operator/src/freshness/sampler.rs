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
use tonic::transport::{Channel, Endpoint};

use super::{
    answer::Asked,
    ask::{self, ANSWER_LIMIT, AskError, Protocol, Upstream},
    hashes::Hashes,
    read_block::{ReadError, Reading, finished, start_reading},
};
use crate::{clock::Clock, descriptors::Seat, link::Link, metrics::Metrics};

/// What of a block may be on its way unread, in bytes, so that no number of large ones fills the memory.
const WINDOW: u32 = 64 * 1024;

/// Which process is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) uid: PodUid,
    pub(super) container: ContainerId,
    pub(super) address: IpAddr,
    pub(super) port: u16,
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
        seat: Seat,
        answers: mpsc::Sender<Answered>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (ask, asked) = watch::channel(Ask { round: 0, height: None, due: Instant::now() });
        let asking = Asking::new(target.clone(), answers, clock, metrics);
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
    link: Link<SocketAddr>,
    hashes: Hashes,
    reading: Option<Reading>,
}

impl Asking {
    fn new(target: Target, answers: mpsc::Sender<Answered>, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let link = Link::new(SocketAddr::new(target.address, target.port), ANSWER_LIMIT);
        Self { target, answers, clock, metrics, link, hashes: Hashes::default(), reading: None }
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
            Ok((sample, upstream)) => Some(Said::Sample(Box::new(self.with_hash(height, sample)), upstream)),
            Err(error) => error.is_unimplemented().then_some(Said::NotUnderstood),
        }
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
            self.reading = channel(&self.target).map(|channel| start_reading(channel, height));
        }
        sample
    }
}

/// Waits until what is told is due; false once nothing is told any more. What is told meanwhile takes its place.
async fn told(ask: &mut watch::Receiver<Ask>) -> bool {
    let mut changed = ask.changed().await;
    while changed.is_ok() {
        let due = ask.borrow_and_update().due;
        match tokio::time::timeout_at(due, ask.changed()).await {
            Err(_) => return true,
            Ok(again) => changed = again,
        }
    }
    false
}

/// A connection for one block, which may be large.
fn channel(target: &Target) -> Option<Channel> {
    let to = SocketAddr::new(target.address, target.port);
    let endpoint = Endpoint::from_shared(format!("http://{to}")).ok()?;
    let endpoint = endpoint.initial_stream_window_size(WINDOW).initial_connection_window_size(2 * WINDOW);
    Some(endpoint.connect_timeout(target.timeout).tcp_nodelay(true).connect_lazy())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Protocol, Target, channel};

    #[tokio::test]
    async fn blocks_are_read_at_addresses_of_both_families() {
        for address in ["10.0.0.7", "fd00::7"] {
            let address = address.parse().expect("an address");
            let (uid, container, timeout) = ("u".into(), "c".into(), Duration::from_secs(1));
            let protocol = Protocol::RpcStatus;
            let target = Target { uid, container, address, port: 57291, protocol, timeout };
            assert!(channel(&target).is_some(), "{address}");
        }
    }
}
