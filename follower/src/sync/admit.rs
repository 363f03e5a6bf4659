//! Nothing is taken from an upstream before it is known to hold the same chain.

use std::sync::{PoisonError, atomic::Ordering::Relaxed};

use tidemark_store::{BlockHash, BlockNumber, Commitment};

use super::{
    Trouble,
    absent::absent,
    ancestry,
    fork::{Fork, Search},
    link::Link,
    session::{Context, note_caught_up},
};
use crate::upstream::{Peer, Upstream, UpstreamError, UpstreamStatus};

/// Checks everything a session relies on; the genesis of the chain both have.
pub(super) async fn admit<U: Upstream>(link: &Link<U>, context: &Context) -> Result<Commitment, Trouble> {
    let held = context.replica.held();
    let peer = ancestry::check(link, context, held).await.map_err(frozen)?;
    let status = observe(link, context).await.map_err(frozen)?;
    if let Some(held) = held {
        same_chain(link, context, peer, held, status.tip).await?;
    }
    note_caught_up(context, status.tip);
    Ok(status.genesis)
}

/// A new connection on which even the first question stays unanswered leads to a process that does not run.
fn frozen(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Upstream(error @ UpstreamError::Unanswered { .. }) => Trouble::Frozen(error),
        other => other,
    }
}

/// Asks for the upstream's status, and checks what every status must keep: the genesis, and a tip not below ours.
pub(super) async fn observe<U: Upstream>(
    link: &Link<U>,
    context: &Context,
) -> Result<UpstreamStatus, Trouble> {
    let held = context.replica.held();
    let status = link.status().await?;
    check_status(context, held, status).await?;
    Ok(status)
}

/// `held` is our tip as it was before the status was asked for.
pub(super) async fn check_status(
    context: &Context,
    held: Option<BlockNumber>,
    status: UpstreamStatus,
) -> Result<(), Trouble> {
    same_genesis(context, status.genesis).await?;
    context.replica.saw_upstream_tip(status.tip);
    match held {
        Some(held) if status.tip < held => Err(Trouble::Behind { tip: status.tip, held }),
        _ => Ok(()),
    }
}

async fn same_genesis(context: &Context, offered: Commitment) -> Result<(), Trouble> {
    match context.replica.genesis().or(context.genesis) {
        Some(pinned) if pinned != offered => Err(Trouble::WrongGenesis { pinned, offered }),
        Some(_) if context.replica.genesis().is_some() => Ok(()),
        _ => Ok(context.replica.pin(offered).await?),
    }
}

/// Compares the block at our tip with the upstream's. Where they differ, looks for the last one both hold alike, and
/// goes back to it if that is wanted.
async fn same_chain<U: Upstream>(
    link: &Link<U>,
    context: &Context,
    peer: Option<Peer>,
    held: BlockNumber,
    tip: BlockNumber,
) -> Result<(), Trouble> {
    let highest = context.highest.fetch_max(held.get(), Relaxed).max(held.get()).into();
    let Some(ours) = context.ours(held) else { return Ok(()) };
    let theirs = match peer.and_then(|peer| peer.hash) {
        Some(hash) => hash,
        None => hash_of(link, context, held, tip).await?,
    };
    if theirs == ours {
        return Ok(());
    }
    let common = last_common(link, context, Fork { number: held, ours, theirs, common: None }, tip).await?;
    match context.on_fork.rewinds_to(highest, common) {
        Some(common) => rewind(context, held, common).await,
        None => Err(Trouble::Diverged { number: held, ours, theirs, common: common.into() }),
    }
}

/// The fork found last is not looked for again.
async fn last_common<U: Upstream>(
    link: &Link<U>,
    context: &Context,
    fork: Fork,
    tip: BlockNumber,
) -> Result<Option<BlockNumber>, Trouble> {
    let known = *context.fork.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.filter(|known| known.is_between_the_same(&fork)) {
        return Ok(known.common);
    }
    let common = search(link, context, fork.number, tip).await?;
    *context.fork.lock().unwrap_or_else(PoisonError::into_inner) = Some(Fork { common, ..fork });
    context.replica.metrics.forked(common);
    let (theirs, ours) = (fork.theirs, fork.ours);
    tracing::error!(
        block = %fork.number, %ours, %theirs, last_common = common.map(BlockNumber::get),
        "the upstream holds another chain than this follower"
    );
    Ok(common)
}

async fn search<U: Upstream>(
    link: &Link<U>,
    context: &Context,
    differs: BlockNumber,
    tip: BlockNumber,
) -> Result<Option<BlockNumber>, Trouble> {
    let mut search = Search::new(differs);
    while let Some(number) = search.question() {
        let theirs = match link.peer(Some(number)).await?.and_then(|peer| peer.hash) {
            Some(hash) => hash,
            None => hash_of(link, context, number, tip).await?,
        };
        search.answer(number, context.ours(number) == Some(theirs));
    }
    Ok(search.common())
}

/// The hash of the upstream's block, from its bytes.
async fn hash_of<U: Upstream>(
    link: &Link<U>,
    context: &Context,
    number: BlockNumber,
    tip: BlockNumber,
) -> Result<BlockHash, Trouble> {
    let answer = link.block(number, false).await.map_err(Trouble::at(number))?;
    let Some(block) = answer.block else { return Err(absent(link, number, tip).await) };
    context.fetched_again(block.len());
    Ok(BlockHash::of(&block))
}

async fn rewind(context: &Context, held: BlockNumber, common: BlockNumber) -> Result<(), Trouble> {
    tracing::warn!(
        from = held.get(),
        to = common.get(),
        "rewinding to the last block in common with the upstream, as --on-fork says"
    );
    Ok(context.replica.rewind(common).await?)
}
