//! Keeps one session at a time, moves on to the next upstream when one ends badly, and paces the attempts.

use std::{
    sync::{Arc, Mutex, atomic::AtomicU32},
    time::{Duration, Instant},
};

use tidemark_store::{BlockNumber, Commitment};

use super::{
    OnFork, SyncMode, Trouble,
    backoff::Backoff,
    budget::Budget,
    ends::{self, Next},
    heal, home,
    link::{Link, SharedBudget},
    mode::{Manner, Subscriptions},
    pulse::Pulse,
    session::{self, Context},
};
use crate::{
    replica::Replica,
    upstream::{Connector, UpstreamError},
};

/// The longest first pause after a session ended; jitter makes it half of that at least.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// A session that lasted this long was a good one, also when no block came: no call waits as long for its answer.
const HEALTHY: Duration = Duration::from_secs(15);

/// What the user chose.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// How blocks and proofs are asked for.
    pub mode: SyncMode,
    /// How often the upstream's tip is asked for while polling.
    pub poll_interval: Duration,
    /// How many calls a second each upstream may be asked to answer.
    pub requests_per_second: u32,
    /// The genesis demanded; none: that of the first upstream reached.
    pub genesis: Option<Commitment>,
    /// What to do when an upstream holds other blocks.
    pub on_fork: OnFork,
    /// The largest block that is taken, in bytes.
    pub max_block: usize,
}

/// An upstream, and what may be asked of it.
pub(super) struct Reach<C> {
    pub(super) connector: C,
    pub(super) budget: SharedBudget,
}

impl<C: Connector> Reach<C> {
    pub(super) async fn connect(&self) -> Result<Link<C::Upstream>, UpstreamError> {
        Ok(Link::new(self.connector.connect().await?, &self.budget))
    }
}

/// One upstream, and what was learnt about it.
pub(super) struct Slot<C> {
    pub(super) reach: Arc<Reach<C>>,
    learnt: Subscriptions,
    /// The block at which it failed last.
    failed_at: Option<BlockNumber>,
}

/// Follows a list of upstreams, one at a time.
pub struct Engine<C> {
    upstreams: Vec<Slot<C>>,
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
        let budget = || Arc::new(Mutex::new(Budget::new(options.requests_per_second)));
        let slot = |connector| Slot {
            reach: Arc::new(Reach { connector, budget: budget() }),
            learnt: Subscriptions::default(),
            failed_at: None,
        };
        let context = Context {
            replica,
            poll_interval: options.poll_interval,
            genesis: options.genesis,
            on_fork: options.on_fork,
            max_block: options.max_block,
            pulse: Mutex::new(Pulse::new(Instant::now())),
            fork: Mutex::default(),
            highest: AtomicU32::default(),
        };
        Self {
            upstreams: upstreams.into_iter().map(slot).collect(),
            current: 0,
            mode: options.mode,
            context,
            backoff: Backoff::new(FIRST_PAUSE),
            home: Backoff::new(home::FIRST_PAUSE),
        }
    }

    /// Follows, and heals what is damaged here, until something ends the process.
    pub async fn run(mut self) -> Trouble {
        let reaches = self.upstreams.iter().map(|slot| Arc::clone(&slot.reach)).collect();
        let healing = heal::run(reaches, Arc::clone(&self.context.replica));
        tokio::select! {
            trouble = self.follow() => trouble,
            trouble = healing => trouble,
        }
    }

    async fn follow(&mut self) -> Trouble {
        loop {
            let (before, started) = (self.context.replica.held(), Instant::now());
            let trouble = self.session().await;
            if trouble.is_fatal() {
                return trouble;
            }
            let grew = self.context.replica.held() > before;
            // A stream that was silent all the time brought nothing, however long that was.
            let good = grew || (started.elapsed() >= HEALTHY && !matches!(trouble, Trouble::Silent { .. }));
            if good {
                self.succeeded();
            }
            let pause = self.pause_after(&trouble, good);
            tokio::time::sleep(pause).await;
        }
    }

    async fn session(&mut self) -> Trouble {
        let (preferred, rest) = self.upstreams.split_at(self.current);
        let slot = &rest[0];
        let manner = slot.learnt.manner(self.mode, Instant::now());
        let link = match slot.reach.connect().await {
            Ok(link) => link,
            Err(error) => return error.into(),
        };
        self.context.replica.metrics.follows(slot.reach.connector.name());
        let returning = home::preferred(preferred, &self.context.replica, &mut self.home);
        session::run(&slot.reach.connector, &link, &self.context, manner, returning).await
    }

    fn succeeded(&mut self) {
        self.backoff.succeeded();
        if self.current == 0 {
            self.home.succeeded();
        }
    }

    /// Decides what the end of a session means for the next one, and how soon that may start.
    fn pause_after(&mut self, trouble: &Trouble, good: bool) -> Duration {
        if self.falls_back(trouble) {
            return Duration::ZERO;
        }
        let slot = &mut self.upstreams[self.current];
        let next = ends::next(trouble, good, slot.failed_at);
        slot.failed_at =
            if let Trouble::Broken { number, .. } = trouble { Some(*number) } else { slot.failed_at };
        self.context.replica.metrics.session_ended(ends::reason(trouble, next));
        self.report(trouble, next);
        self.move_on(next);
        self.backoff.failed(trouble.longest_pause(), rand::random()).max(trouble.shortest_pause())
    }

    fn move_on(&mut self, next: Next) {
        match next {
            Next::Same | Next::Stay => {}
            Next::Other => self.current = (self.current + 1) % self.upstreams.len(),
            Next::At(place) => self.current = place,
        }
    }

    /// Whether `auto` goes on by polling at once, since this upstream takes no subscription.
    fn falls_back(&mut self, trouble: &Trouble) -> bool {
        let Trouble::Upstream(error) = trouble else { return false };
        let learnt = &mut self.upstreams[self.current].learnt;
        let subscribed = learnt.manner(self.mode, Instant::now()) == Manner::Subscribe;
        self.mode == SyncMode::Auto && subscribed && learnt.learn(error, Instant::now(), rand::random())
    }

    /// Shows the trouble as the replica's state, which says it once, and each time to whoever debugs. A session that
    /// ended as all do changes nothing.
    fn report(&self, trouble: &Trouble, next: Next) {
        let upstream = self.upstreams[self.current].reach.connector.name();
        if trouble.is_own_failure() {
            tracing::error!(upstream, "the session ended: {trouble}");
        } else {
            tracing::debug!(upstream, "the session ended: {trouble}");
        }
        let state = ends::reason(trouble, next);
        if state.is_trouble() {
            self.context.replica.set_state(state, &format!("{upstream}: {trouble}"));
        }
    }
}
