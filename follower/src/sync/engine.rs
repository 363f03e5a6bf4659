//! Keeps one session at a time, moves on to the next upstream when one ends badly, and paces the attempts.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tidemark_store::Commitment;

use super::{
    SyncMode, Trouble,
    backoff::Backoff,
    home,
    mode::{Manner, Subscriptions},
    session::{self, Context},
};
use crate::{replica::Replica, state::State, upstream::Connector};

/// The first pause after a session ended.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A session that lasted this long was a good one, also when no block came: no call waits as long for its answer.
const HEALTHY: Duration = Duration::from_secs(15);

/// What the user chose.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// How blocks and proofs are asked for.
    pub mode: SyncMode,
    /// How often the upstream's tip is asked for while polling.
    pub poll_interval: Duration,
    /// The genesis demanded; none: that of the first upstream reached.
    pub genesis: Option<Commitment>,
}

/// Follows a list of upstreams, one at a time.
pub struct Engine<C> {
    upstreams: Vec<(C, Subscriptions)>,
    current: usize,
    mode: SyncMode,
    context: Context,
    backoff: Backoff,
    /// Paces the questions whether a preferred upstream answers again.
    home: Backoff,
}

impl<C: Connector> Engine<C> {
    /// An engine that will fill `replica` from `upstreams`, the first preferred.
    pub fn new(
        replica: Arc<Replica>,
        upstreams: impl IntoIterator<Item = C>,
        options: &EngineOptions,
    ) -> Self {
        let context = Context {
            replica,
            poll_interval: options.poll_interval,
            genesis: options.genesis,
            stall: Mutex::default(),
        };
        Self {
            upstreams: upstreams.into_iter().map(|upstream| (upstream, Subscriptions::default())).collect(),
            current: 0,
            mode: options.mode,
            context,
            backoff: Backoff::new(FIRST_PAUSE),
            home: Backoff::new(home::FIRST_PAUSE),
        }
    }

    /// Follows until something ends the process.
    pub async fn run(mut self) -> Trouble {
        loop {
            let (before, started) = (self.context.replica.published(), Instant::now());
            let trouble = self.session().await;
            if trouble.is_fatal() {
                return trouble;
            }
            let good = self.context.replica.published() > before || started.elapsed() >= HEALTHY;
            if good {
                self.succeeded();
            }
            let pause = self.pause_after(&trouble, good);
            tokio::time::sleep(pause).await;
        }
    }

    async fn session(&mut self) -> Trouble {
        let (preferred, rest) = self.upstreams.split_at(self.current);
        let (connector, learnt) = &rest[0];
        let manner = learnt.manner(self.mode, Instant::now());
        let upstream = match connector.connect().await {
            Ok(upstream) => upstream,
            Err(error) => return error.into(),
        };
        tokio::select! {
            trouble = session::run(&upstream, &self.context, manner) => trouble,
            trouble = home::preferred(preferred, &self.context.replica, &mut self.home) => trouble,
        }
    }

    fn succeeded(&mut self) {
        self.backoff.succeeded();
        if self.current == 0 {
            self.home.succeeded();
        }
    }

    /// Decides what the end of a session means for the next one. After a goodbye the same upstream is tried first.
    fn pause_after(&mut self, trouble: &Trouble, good: bool) -> Duration {
        if self.falls_back(trouble) {
            return Duration::ZERO;
        }
        if good && trouble.is_goodbye() {
            self.context.replica.metrics.session_ended(State::Syncing);
        } else {
            self.context.replica.metrics.session_ended(trouble.state());
            self.report(trouble);
            self.move_on(trouble);
        }
        self.backoff.failed(trouble.longest_pause(), rand::random())
    }

    fn move_on(&mut self, trouble: &Trouble) {
        if let Trouble::Preferred { at, .. } = trouble {
            self.current = *at;
        } else if !matches!(trouble.state(), State::Syncing | State::DiskFull) {
            self.current = (self.current + 1) % self.upstreams.len();
        }
    }

    /// Whether `auto` goes on by polling at once, since this upstream takes no subscription.
    fn falls_back(&mut self, trouble: &Trouble) -> bool {
        let Trouble::Upstream(error) = trouble else { return false };
        let learnt = &mut self.upstreams[self.current].1;
        let subscribed = learnt.manner(self.mode, Instant::now()) == Manner::Subscribe;
        self.mode == SyncMode::Auto && subscribed && learnt.learn(error, Instant::now(), rand::random())
    }

    /// Shows the trouble as the replica's state, which says it once, and each time to whoever debugs. A session that
    /// ended for no trouble of the upstream's changes nothing.
    fn report(&self, trouble: &Trouble) {
        let upstream = self.upstreams[self.current].0.name();
        if trouble.is_own_failure() {
            tracing::error!(upstream, "the session ended: {trouble}");
        } else {
            tracing::debug!(upstream, "the session ended: {trouble}");
        }
        if trouble.state().is_trouble() {
            self.context.replica.set_state(trouble.state(), &format!("{upstream}: {trouble}"));
        }
    }
}
