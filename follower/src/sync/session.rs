//! One session: one connection to one upstream, checked first, then read until something ends it.

use std::{
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tidemark_store::{BlockHash, BlockNumber, Commitment};
use tokio::time::sleep_until;

use super::{Trouble, intake::Intake, mode::Manner, poll, poll_proofs, stall::StallWatch, subscribe};
use crate::{
    replica::Replica,
    state::State,
    upstream::{Upstream, UpstreamError, UpstreamStatus},
};

/// What every part of a session needs beside its upstream.
pub(super) struct Context {
    pub(super) replica: Arc<Replica>,
    pub(super) poll_interval: Duration,
    /// The genesis the user demands.
    pub(super) genesis: Option<Commitment>,
    pub(super) stall: Mutex<StallWatch>,
}

/// Runs until something ends the session, and says what.
pub(super) async fn run<U: Upstream>(upstream: &U, context: &Context, manner: Manner) -> Trouble {
    let intake = match admit(upstream, context).await {
        Ok(intake) => intake,
        Err(trouble) => return trouble,
    };
    match manner {
        Manner::Poll { until } => tokio::select! {
            trouble = poll::blocks(upstream, context, intake) => trouble,
            trouble = poll_proofs::proofs(upstream, context) => trouble,
            trouble = time_to_subscribe(until) => trouble,
        },
        Manner::Subscribe => tokio::select! {
            trouble = subscribe::blocks(upstream, context, intake) => trouble,
            trouble = subscribe::proofs(upstream, context) => trouble,
            trouble = subscribe::watchdog(upstream, context) => trouble,
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

/// Nothing is taken from an upstream before it is known to be of the same chain.
async fn admit<U: Upstream>(upstream: &U, context: &Context) -> Result<Intake, Trouble> {
    let status = observe(upstream, context).await?;
    if let Some(held) = context.replica.published() {
        same_block(upstream, context, held, status.tip).await?;
    }
    note_caught_up(context, status.tip);
    Intake::open(&context.replica, status.genesis).await
}

/// Asks for the upstream's status, and checks what every status must keep: the genesis, and a tip not below ours.
pub(super) async fn observe<U: Upstream>(upstream: &U, context: &Context) -> Result<UpstreamStatus, Trouble> {
    let held = context.replica.published();
    let status = patient(|| upstream.status()).await?;
    same_genesis(context, status.genesis).await?;
    context.replica.saw_upstream_tip(status.tip);
    match held {
        Some(held) if status.tip < held => Err(Trouble::Behind { tip: status.tip, held }),
        _ => Ok(status),
    }
}

async fn same_genesis(context: &Context, offered: Commitment) -> Result<(), Trouble> {
    match context.replica.genesis().or(context.genesis) {
        Some(pinned) if pinned != offered => Err(Trouble::WrongGenesis { pinned, offered }),
        Some(_) if context.replica.genesis().is_some() => Ok(()),
        _ => Ok(context.replica.pin(offered).await?),
    }
}

/// Compares the block at our tip with the upstream's, by the hash of its bytes.
async fn same_block<U: Upstream>(
    upstream: &U,
    context: &Context,
    number: BlockNumber,
    tip: BlockNumber,
) -> Result<(), Trouble> {
    let answer = patient(|| upstream.block(number, false)).await?;
    let block = answer.block.ok_or(Trouble::Hole { number, tip })?;
    context.replica.metrics.bytes_fetched.inc_by(block.len() as u64);
    context.replica.metrics.bytes_redundant.inc_by(block.len() as u64);
    let theirs = BlockHash::of(&block);
    match context.replica.hash_at(number) {
        Some(ours) if ours != theirs => Err(Trouble::Diverged { number, ours, theirs }),
        _ => Ok(()),
    }
}

/// Shows, when nothing up to the upstream's `tip` is missing here, that all is well or that the chain has stopped
/// growing. While something is missing the state stays what it was: only a block that arrives ends a trouble.
pub(super) fn note_caught_up(context: &Context, tip: BlockNumber) {
    let Some(held) = context.replica.published().filter(|held| *held >= tip) else { return };
    let mut stall = context.stall.lock().unwrap_or_else(PoisonError::into_inner);
    if stall.observe(held, Instant::now()) {
        context.replica.set_state(State::UpstreamStalled, "its tip has stopped rising");
    } else {
        context.replica.set_state(State::Syncing, "every block of the upstream is held");
    }
}

/// Repeats a call for as long as the upstream asks to wait.
pub(super) async fn patient<T, F: Future<Output = Result<T, UpstreamError>>>(
    mut call: impl FnMut() -> F,
) -> Result<T, Trouble> {
    loop {
        match call().await {
            Err(UpstreamError::RateLimited(wait)) => {
                tokio::time::sleep(wait.max(Duration::from_millis(100))).await;
            }
            answered => return Ok(answered?),
        }
    }
}
