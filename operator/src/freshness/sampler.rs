//! Asks one follower process for its tips whenever told to, one request at a time.
//!
//! A sampler lives as long as one container of one pod: a restart gets a new one. It decides nothing; a hanging, lying
//! or oversized answer costs only its own follower.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tidemark_judge::{BlockNumber, ContainerId, PodUid, Sample};
use tidemark_wire::v1::{TipsRequest, replica_client::ReplicaClient};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::{Channel, Endpoint};

use super::answer::{self, Asked};
use crate::{clock::Clock, metrics::Metrics};

/// The largest answer that is decoded, in bytes; an honest one has a few hundred.
const ANSWER_LIMIT: usize = 64 * 1024;
/// After this many failures in a row the connection is made anew: a dead one may take minutes to notice.
const FAILURES_PER_CONNECTION: u32 = 2;

/// Which process is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) uid: PodUid,
    pub(super) container: ContainerId,
    pub(super) address: IpAddr,
    pub(super) port: u16,
    /// How long one answer may take.
    pub(super) timeout: Duration,
}

/// What to ask, and how often this has been told.
#[derive(Clone, Copy, Debug, Default)]
struct Ask {
    round: u64,
    height: Option<BlockNumber>,
}

/// What came of one request.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) uid: PodUid,
    pub(super) container: ContainerId,
    pub(super) sample: Sample,
}

/// A running sampler; dropping it ends it.
#[derive(Debug)]
pub(super) struct Sampler {
    pub(super) target: Target,
    ask: watch::Sender<Ask>,
    _task: AbortOnDropHandle<()>,
}

impl Sampler {
    /// Starts a sampler, which waits to be told.
    pub(super) fn start(
        target: Target,
        answers: mpsc::Sender<Answered>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (ask, asked) = watch::channel(Ask::default());
        let asking = Asking { target: target.clone(), answers, clock, metrics, failures: 0 };
        Self { target, ask, _task: AbortOnDropHandle::new(tokio::spawn(asking.run(asked))) }
    }

    /// Has the follower asked once more; while a request is under way, right after it.
    pub(super) fn ask(&self, height: Option<BlockNumber>) {
        self.ask.send_modify(|ask| *ask = Ask { round: ask.round.wrapping_add(1), height });
    }
}

struct Asking {
    target: Target,
    answers: mpsc::Sender<Answered>,
    clock: Clock,
    metrics: Arc<Metrics>,
    failures: u32,
}

impl Asking {
    async fn run(mut self, mut ask: watch::Receiver<Ask>) {
        let Some(endpoint) = endpoint(&self.target) else { return };
        let mut client = connect(&endpoint);
        while ask.changed().await.is_ok() {
            let height = ask.borrow_and_update().height;
            if let Some(sample) = self.ask_once(&mut client, height).await {
                let Target { uid, container, .. } = self.target.clone();
                let answered = Answered { uid, container, sample };
                if self.answers.send(answered).await.is_err() {
                    return;
                }
            } else if self.failures >= FAILURES_PER_CONNECTION {
                client = connect(&endpoint);
                self.failures = 0;
            }
        }
    }

    async fn ask_once(
        &mut self,
        client: &mut ReplicaClient<Channel>,
        height: Option<BlockNumber>,
    ) -> Option<Sample> {
        let container = Some(self.target.container.clone());
        let asked = Asked { at: self.clock.now(), height, container };
        let request = TipsRequest { at_height: height.map(|height| height.0) };
        let answer = tokio::time::timeout(self.target.timeout, client.tips(request)).await;
        let outcome = match answer {
            Ok(Ok(answer)) => self.accept(&asked, answer.into_inner()),
            Ok(Err(_)) => Err("error"),
            Err(_) => Err("timeout"),
        };
        self.failures = if outcome.is_ok() { 0 } else { self.failures + 1 };
        self.metrics.sampled(outcome.as_ref().err().copied().unwrap_or("ok"), self.clock.since(asked.at));
        outcome.ok()
    }

    /// An answer of another pod at an address that was this one's is no sample.
    fn accept(&self, asked: &Asked, answer: tidemark_wire::v1::TipsResponse) -> Result<Sample, &'static str> {
        let sample = answer::tips(asked, self.clock.now(), &answer);
        match &sample.pod_uid {
            Some(uid) if *uid != self.target.uid => Err("other_pod"),
            _ => Ok(sample),
        }
    }
}

fn endpoint(target: &Target) -> Option<Endpoint> {
    let host = match target.address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let endpoint = Endpoint::from_shared(format!("http://{host}:{}", target.port)).ok()?;
    Some(endpoint.connect_timeout(target.timeout).tcp_nodelay(true))
}

fn connect(endpoint: &Endpoint) -> ReplicaClient<Channel> {
    ReplicaClient::new(endpoint.connect_lazy()).max_decoding_message_size(ANSWER_LIMIT)
}
