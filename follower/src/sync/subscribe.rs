//! Blocks and proofs by subscription, and a watchdog for streams that fall silent while the upstream moves on.

use std::time::Duration;

use tidemark_store::{BlockNumber, Tips};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    Trouble,
    gather::gather,
    intake::{Fetched, Intake},
    session::{Context, note_caught_up, observe, patient},
};
use crate::{
    replica::Batch,
    upstream::{StreamedBlock, StreamedProof, Upstream, UpstreamError},
};

/// How often the upstream's own tip is compared with what its stream brought.
const WATCH: Duration = Duration::from_secs(3);
/// No upstream stream is left unread longer than this: the upstream might take that for a slow reader.
const UNREAD: Duration = Duration::from_secs(2);

/// Takes blocks until the stream ends or something is wrong, and says what.
pub(super) async fn blocks<U: Upstream>(upstream: &U, context: &Context, mut intake: Intake) -> Trouble {
    let mut stream = match patient(|| upstream.blocks(intake.next())).await {
        Ok(stream) => stream,
        Err(trouble) => return trouble,
    };
    loop {
        let group = gather(&mut stream, |item| item.as_ref().map_or(0, |item| item.block.len())).await;
        if group.is_empty() {
            return UpstreamError::Ended.into();
        }
        let group = group.into_iter().map(|item| Ok(fetched(context, item?))).collect();
        if let Err(trouble) = intake.take(group).await {
            return trouble;
        }
    }
}

fn fetched(context: &Context, item: StreamedBlock) -> Fetched {
    context.replica.saw_upstream_tip(item.tip);
    Fetched { block: item.block, proof: None }
}

/// Takes proofs until a stream ends or something is wrong, and says what.
pub(super) async fn proofs<U: Upstream>(upstream: &U, context: &Context) -> Trouble {
    loop {
        if let Err(trouble) = take_proofs(upstream, context).await {
            return trouble;
        }
    }
}

/// Takes proofs from one subscription, until it is so far ahead of the blocks that it is better asked for again later.
async fn take_proofs<U: Upstream>(upstream: &U, context: &Context) -> Result<(), Trouble> {
    let mut tips = context.replica.watch_tips();
    let mut next = tips.borrow().proven.unwrap_or(BlockNumber::GENESIS).next();
    published(&mut tips, next).await;
    let mut stream = patient(|| upstream.proofs(next)).await?;
    loop {
        let group = gather(&mut stream, |item| item.as_ref().map_or(0, |item| item.proof.len())).await;
        if group.is_empty() {
            return Err(UpstreamError::Ended.into());
        }
        let group: Vec<StreamedProof> = group.into_iter().collect::<Result<_, _>>()?;
        let last = in_sequence(&mut next, &group)?;
        let kept_up = timeout(UNREAD, published(&mut tips, last)).await.is_ok();
        commit(context, group).await?;
        if !kept_up {
            return Ok(());
        }
    }
}

/// The last number of a group that goes on at `next`, which is moved behind it.
fn in_sequence(next: &mut BlockNumber, group: &[StreamedProof]) -> Result<BlockNumber, UpstreamError> {
    let mut last = *next;
    for item in group {
        if item.number != *next {
            let text =
                format!("it sent the proof of block {} where that of block {next} was due", item.number);
            return Err(UpstreamError::Failed(text));
        }
        last = *next;
        *next = next.next();
    }
    Ok(last)
}

/// Commits the proofs whose blocks are published.
async fn commit(context: &Context, group: Vec<StreamedProof>) -> Result<(), Trouble> {
    let bytes: usize = group.iter().map(|item| item.proof.len()).sum();
    context.replica.metrics.bytes_fetched.inc_by(bytes as u64);
    let tip = context.replica.published();
    let held = group.into_iter().filter(|item| Some(item.number) <= tip);
    let proofs = held.map(|item| (item.number, item.proof)).collect();
    context.replica.commit(Batch { proofs, ..Batch::default() }).await?;
    Ok(())
}

async fn published(tips: &mut watch::Receiver<Tips>, number: BlockNumber) {
    if tips.wait_for(|tips| tips.published >= Some(number)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Asks for the upstream's status now and then; a tip that stays above ours while nothing arrives ends the session.
pub(super) async fn watchdog<U: Upstream>(upstream: &U, context: &Context) -> Trouble {
    loop {
        let before = context.replica.published();
        sleep(WATCH).await;
        let status = match observe(upstream, context).await {
            Ok(status) => status,
            Err(trouble) => return trouble,
        };
        note_caught_up(context, status.tip);
        if context.replica.published() == before && Some(status.tip) > before && silent(context).await {
            let tip = status.tip;
            return UpstreamError::Unreachable(format!("its stream is silent, its tip is {tip}")).into();
        }
    }
}

/// Whether nothing arrives for another while: the block may just be on its way.
async fn silent(context: &Context) -> bool {
    let mut tips = context.replica.watch_tips();
    let before = tips.borrow_and_update().published;
    timeout(UNREAD, tips.wait_for(|tips| tips.published > before)).await.is_err()
}
