//! One session: one connection to one upstream, checked first, then read until something ends it.

use std::{
    future::pending,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU32},
    time::{Duration, Instant},
};

use tidemark_store::{BlockHash, BlockNumber, Commitment};
use tokio::{sync::Notify, time::sleep_until};

use super::{
    OnFork, Trouble, admit, ancestry,
    fork::Fork,
    intake::Intake,
    link::Link,
    mode::Manner,
    poll, poll_proofs,
    pulse::Pulse,
    queue::{self, Queue},
    silence, subscribe, writer,
};
use crate::{replica::Replica, state::State, upstream::Connector};

/// What every part of a session needs beside its upstream.
pub(super) struct Context {
    pub(super) replica: Arc<Replica>,
    pub(super) poll_interval: Duration,
    /// The genesis the user demands.
    pub(super) genesis: Option<Commitment>,
    pub(super) on_fork: OnFork,
    /// The largest block that is taken, in bytes.
    pub(super) max_block: usize,
    pub(super) pulse: Mutex<Pulse>,
    /// The fork found last, so that it is looked for once.
    pub(super) fork: Mutex<Option<Fork>>,
    /// The highest block held when a session began, from which `--on-fork rewind:K` counts: upstream after upstream could
    /// take the chain away otherwise.
    pub(super) highest: AtomicU32,
}

impl Context {
    pub(super) fn pulse(&self) -> MutexGuard<'_, Pulse> {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes that were fetched although they are held.
    pub(super) fn fetched_again(&self, bytes: usize) {
        self.replica.metrics.bytes_fetched.inc_by(bytes as u64);
        self.replica.metrics.bytes_redundant.inc_by(bytes as u64);
    }

    /// The hash of a block held.
    pub(super) fn ours(&self, number: BlockNumber) -> Option<BlockHash> {
        self.replica.hash_at(number)
    }
}

/// Runs until something ends the session or `interrupted` does, and says what. Whatever was good by then is written.
pub(super) async fn run<C: Connector>(
    connector: &C,
    link: &Link<C::Upstream>,
    context: &Context,
    manner: Manner,
    interrupted: impl Future<Output = Trouble>,
) -> Trouble {
    let genesis = match admit::admit(link, context).await {
        Ok(genesis) => genesis,
        Err(trouble) => return trouble,
    };
    context.replica.metrics.follows(connector.name());
    let (queue, waiting) = queue::open();
    let full = Notify::new();
    let mut writing = pin!(writer::write(&context.replica, waiting, &full));
    let full = &full;
    let reading = async move {
        tokio::select! {
            () = full.notified() => Trouble::Full,
            trouble = read(connector, link, context, genesis, manner, queue) => trouble,
            trouble = ancestry::watch(link, context) => trouble,
            trouble = interrupted => trouble,
        }
    };
    tokio::select! {
        trouble = reading => writing.await.err().unwrap_or(trouble),
        written = &mut writing => written.err().unwrap_or(Trouble::TryAgain),
    }
}

async fn read<C: Connector>(
    connector: &C,
    link: &Link<C::Upstream>,
    context: &Context,
    genesis: Commitment,
    manner: Manner,
    queue: Queue,
) -> Trouble {
    let intake = match Intake::open(&context.replica, genesis).await {
        Ok(intake) => intake.limited(context.max_block),
        Err(trouble) => return trouble,
    };
    match manner {
        Manner::Poll { until } => tokio::select! {
            trouble = poll::blocks(link, context, intake, &queue) => trouble,
            trouble = poll_proofs::proofs(link, context, &queue) => trouble,
            trouble = time_to_subscribe(until) => trouble,
        },
        Manner::Subscribe => tokio::select! {
            trouble = subscribe::blocks(link, context, intake, &queue) => trouble,
            trouble = subscribe::proofs(link, context, &queue) => trouble,
            trouble = silence::watch(connector, link, context) => trouble,
        },
    }
}

async fn time_to_subscribe(until: Option<Instant>) -> Trouble {
    match until {
        Some(until) => sleep_until(until.into()).await,
        None => pending().await,
    }
    Trouble::TryAgain
}

/// Shows, when nothing up to the upstream's `tip` is missing here, that all is well, or that no block has come for
/// longer than usual. While something is missing the state stays what it was: only a block that arrives ends a trouble.
pub(super) fn note_caught_up(context: &Context, tip: BlockNumber) {
    if context.replica.held().is_none_or(|held| held < tip) {
        return;
    }
    let pulse = context.pulse();
    let (silent, patience) = (pulse.last().elapsed(), pulse.patience());
    drop(pulse);
    if silent >= patience {
        let detail = format!("its tip {tip} has not risen for {silent:.0?}");
        context.replica.set_state(State::UpstreamStalled, &detail);
    } else {
        context.replica.set_state(State::Syncing, "every block of the upstream is held");
    }
}
