//! Proofs that were not there when their blocks were: asks for the missing ones in order, at the pacer's pace.

use std::time::Instant;

use futures::{
    FutureExt as _,
    future::{BoxFuture, try_join_all},
};
use tidemark_store::{BlockNumber, Tips};
use tokio::{sync::watch, time::sleep_until};
use tonic::codegen::Bytes;

use super::{
    Trouble,
    intake::proof_within,
    link::Link,
    pacer::ProofPacer,
    proof,
    queue::{Item, Queue},
    session::Context,
};
use crate::{replica::Replica, upstream::Upstream};

/// Polls until something is wrong, and says what.
pub(super) async fn proofs<U: Upstream>(link: &Link<U>, context: &Context, queue: &Queue) -> Trouble {
    let mut tips = context.replica.watch_tips();
    let mut pacer = ProofPacer::default();
    loop {
        if let Err(trouble) = step(link, context, queue, &mut tips, &mut pacer).await {
            return trouble;
        }
    }
}

/// Waits for whatever comes first, a new tip or the time to ask, and acts on it.
async fn step<U: Upstream>(
    link: &Link<U>,
    context: &Context,
    queue: &Queue,
    tips: &mut watch::Receiver<Tips>,
    pacer: &mut ProofPacer,
) -> Result<(), Trouble> {
    let now = Instant::now();
    let known = *tips.borrow_and_update();
    known.durable.into_iter().for_each(|tip| pacer.block_arrived(tip, now));
    let wanted = missing(&context.replica, known, pacer.width());
    let due = wanted.first().map(|first| pacer.due(*first, context.poll_interval, now));
    tokio::select! {
        _ = tips.changed() => Ok(()),
        () = until(due) => {
            let due = due_by(pacer, context, &wanted, due);
            ask(link, context, &due, pacer, (queue, tips)).await
        }
    }
}

/// Those of `wanted` that are due with the first.
fn due_by(
    pacer: &ProofPacer,
    context: &Context,
    wanted: &[BlockNumber],
    due: Option<Instant>,
) -> Vec<BlockNumber> {
    let now = Instant::now();
    let is_due =
        |number: &BlockNumber| Some(pacer.due(*number, context.poll_interval, now)) <= due.max(Some(now));
    wanted.iter().copied().filter(is_due).collect()
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// The lowest published numbers without a proof.
fn missing(replica: &Replica, tips: Tips, limit: usize) -> Vec<BlockNumber> {
    let first = tips.proven.unwrap_or(BlockNumber::GENESIS).next().get();
    let last = tips.durable.map_or(0, BlockNumber::get);
    let numbers = (first..=last).map(BlockNumber::new);
    numbers.filter(|number| !replica.has_proof(*number)).take(limit).collect()
}

async fn ask<U: Upstream>(
    link: &Link<U>,
    context: &Context,
    wanted: &[BlockNumber],
    pacer: &mut ProofPacer,
    (queue, tips): (&Queue, &mut watch::Receiver<Tips>),
) -> Result<(), Trouble> {
    let answers = try_join_all(questions(link, context, wanted)).await?;
    let all_there = answers.iter().all(|(_, proof)| proof.is_some());
    let proofs: Vec<_> = answers.into_iter().filter_map(|(number, proof)| Some((number, proof?))).collect();
    let now = Instant::now();
    proofs.iter().for_each(|(number, _)| pacer.proof_arrived(*number, now));
    if !all_there {
        pacer.missed(now);
    }
    let last = proofs.last().map(|(number, _)| *number);
    for (number, bytes) in proofs {
        queue.put(Item::Proof { number, bytes }).await;
    }
    if let Some(last) = last {
        written(context, tips, last).await;
    }
    Ok(())
}

/// Waits until the proof is held: what is only on its way to the disk would be asked for again.
async fn written(context: &Context, tips: &mut watch::Receiver<Tips>, number: BlockNumber) {
    if tips.wait_for(|_| context.replica.has_proof(number)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

type Question<'a> = BoxFuture<'a, Result<(BlockNumber, Option<Bytes>), Trouble>>;

fn questions<'a, U: Upstream>(
    link: &'a Link<U>,
    context: &'a Context,
    wanted: &[BlockNumber],
) -> Vec<Question<'a>> {
    wanted.iter().map(|number| fetch(link, context, *number).boxed()).collect()
}

async fn fetch<U: Upstream>(
    link: &Link<U>,
    context: &Context,
    number: BlockNumber,
) -> Result<(BlockNumber, Option<Bytes>), Trouble> {
    let replica = &context.replica;
    let answer = link.block(number, true).await.map_err(Trouble::at(number))?;
    let redundant = answer.block.as_ref().map_or(0, Bytes::len) as u64;
    let fetched = redundant + answer.proof.as_ref().map_or(0, Bytes::len) as u64;
    replica.metrics.bytes_redundant.inc_by(redundant);
    replica.metrics.bytes_fetched.inc_by(fetched);
    let proof = proof::of_our_block(replica, number, answer)?;
    proof_within(context.max_block, number, proof.as_ref().map_or(0, Bytes::len))?;
    Ok((number, proof))
}
