//! Blocks and proofs by subscription. A stream that cannot be read on is cancelled, and subscribed to again later.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use tidemark_store::{BlockNumber, Tips};
use tokio::{sync::watch, time::timeout};

use super::{
    Trouble,
    gather::gather,
    intake::{Fetched, Intake, proof_within},
    link::Link,
    queue::{Item, Queue},
    session::Context,
};
use crate::upstream::{StreamedBlock, StreamedProof, Upstream, UpstreamError};

/// No upstream stream is left unread longer than this: the upstream might take that for a slow reader.
const UNREAD: Duration = Duration::from_secs(2);

/// Why one subscription came to its end without trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// The upstream ended it.
    Ended,
    /// It brought more than could be taken in time.
    TooFast,
}

/// Takes blocks until something is wrong, and says what.
pub(super) async fn blocks<U: Upstream>(
    link: &Link<U>,
    context: &Context,
    mut intake: Intake,
    queue: &Queue,
) -> Trouble {
    loop {
        match again(link, context, &mut intake, queue).await {
            Ok(()) => {}
            Err(trouble) => return trouble,
        }
    }
}

/// Subscribes, and at once again when that ends; two subscriptions in a row that brought nothing are trouble.
async fn again<U: Upstream>(
    link: &Link<U>,
    context: &Context,
    intake: &mut Intake,
    queue: &Queue,
) -> Result<(), Trouble> {
    let before = intake.next();
    for _ in 0..2 {
        let pause = take_blocks(link, context, intake, queue).await?;
        if pause == Pause::TooFast || intake.next() != before {
            return Ok(());
        }
    }
    Err(UpstreamError::Ended.into())
}

async fn take_blocks<U: Upstream>(
    link: &Link<U>,
    context: &Context,
    intake: &mut Intake,
    queue: &Queue,
) -> Result<Pause, Trouble> {
    let mut stream = link.blocks(intake.next()).await.map_err(Trouble::at(intake.next()))?;
    loop {
        let group = gather(&mut stream, |item| item.as_ref().map_or(0, |item| item.block.len())).await;
        if group.is_empty() {
            return Ok(Pause::Ended);
        }
        let group = received(context, intake.next(), group);
        let taking = intake.queue(queue, group);
        let Some(read_on) = taken(taking, stream).await? else { return Ok(Pause::TooFast) };
        stream = read_on;
    }
}

/// Waits until what was received is taken. The stream is handed back, unless it would have stayed unread for too long.
async fn taken<S>(
    taking: impl Future<Output = Result<(), Trouble>>,
    stream: S,
) -> Result<Option<S>, Trouble> {
    let mut taking = pin!(taking);
    if let Ok(taken) = timeout(UNREAD, &mut taking).await {
        return taken.map(|()| Some(stream));
    }
    drop(stream);
    taking.await.map(|()| None)
}

/// Notes what a group says of the upstream, and gives each error the number at which it came.
fn received(
    context: &Context,
    first: BlockNumber,
    group: Vec<Result<StreamedBlock, UpstreamError>>,
) -> Vec<Result<Fetched, Trouble>> {
    if let [Ok(only)] = &group[..] {
        context.pulse().arrived(only.tip == first, Instant::now());
    } else {
        context.pulse().arrived(false, Instant::now());
    }
    if let Some(Ok(last)) = group.iter().rev().find(|item| item.is_ok()) {
        context.replica.saw_upstream_tip(last.tip);
    }
    let numbered = (first.get()..).map(BlockNumber::new).zip(group);
    let fetched = numbered.map(|(number, item)| {
        let item = item.map_err(Trouble::at(number))?;
        if item.tip < number {
            let text = format!("it sent block {number}, which is above the tip {} that it names", item.tip);
            return Err(UpstreamError::Failed(text).into());
        }
        Ok(Fetched { block: item.block, proof: None })
    });
    fetched.collect()
}

/// Takes proofs until something is wrong, and says what.
pub(super) async fn proofs<U: Upstream>(link: &Link<U>, context: &Context, queue: &Queue) -> Trouble {
    let mut tips = context.replica.watch_tips();
    let mut next = tips.borrow().proven.unwrap_or(BlockNumber::GENESIS).next();
    let mut idle = 0;
    loop {
        let before = next;
        match take_proofs(link, context, queue, &mut tips, &mut next).await {
            Ok(Pause::Ended) if next == before && idle > 0 => return UpstreamError::Ended.into(),
            Ok(Pause::Ended) if next == before => idle += 1,
            Ok(_) => idle = 0,
            Err(trouble) => return trouble,
        }
    }
}

/// Takes proofs from one subscription, which begins when the block of the first one is held.
async fn take_proofs<U: Upstream>(
    link: &Link<U>,
    context: &Context,
    queue: &Queue,
    tips: &mut watch::Receiver<Tips>,
    next: &mut BlockNumber,
) -> Result<Pause, Trouble> {
    held(tips, *next).await;
    let mut stream = link.proofs(*next).await.map_err(Trouble::at(*next))?;
    loop {
        let group = gather(&mut stream, |item| item.as_ref().map_or(0, |item| item.proof.len())).await;
        if group.is_empty() {
            return Ok(Pause::Ended);
        }
        let group: Vec<StreamedProof> =
            group.into_iter().collect::<Result<_, _>>().map_err(Trouble::at(*next))?;
        let taking = take(context, queue, tips, next, group);
        let Some(read_on) = taken(taking, stream).await? else { return Ok(Pause::TooFast) };
        stream = read_on;
    }
}

/// Queues each proof once its block is held.
async fn take(
    context: &Context,
    queue: &Queue,
    tips: &mut watch::Receiver<Tips>,
    next: &mut BlockNumber,
    group: Vec<StreamedProof>,
) -> Result<(), Trouble> {
    let bytes: usize = group.iter().map(|item| item.proof.len()).sum();
    context.replica.metrics.bytes_fetched.inc_by(bytes as u64);
    for item in group {
        if item.number != *next {
            let text =
                format!("it sent the proof of block {} where that of block {next} was due", item.number);
            return Err(UpstreamError::Failed(text).into());
        }
        proof_within(context.max_block, item.number, item.proof.len())?;
        held(tips, item.number).await;
        queue.put(Item::Proof { number: item.number, bytes: item.proof }).await;
        *next = item.number.next();
    }
    Ok(())
}

async fn held(tips: &mut watch::Receiver<Tips>, number: BlockNumber) {
    if tips.wait_for(|tips| tips.durable >= Some(number)).await.is_err() {
        std::future::pending::<()>().await;
    }
}
