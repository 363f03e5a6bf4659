//! Copies a chain once, up to a tip, with the checks of a session: what a restored store is made of.

use std::{sync::Arc, time::Duration};

use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tidemark_store::{BlockHash, BlockNumber};
use tonic::codegen::Bytes;

use super::{
    Trouble,
    fork::Common,
    gather::gather,
    intake::{Fetched, Intake},
};
use crate::{
    replica::{Batch, Replica},
    upstream::{Upstream, UpstreamError, UpstreamStatus},
};

/// How many blocks are asked for at once.
const IN_FLIGHT: usize = 8;

/// Copies what `upstream` has and is not held, up to the tip of `status`, with the proofs there are.
///
/// # Errors
/// What a session would end with. What came before is held, and copying again goes on behind it.
pub(crate) async fn copy<U: Upstream>(
    upstream: &U,
    replica: &Arc<Replica>,
    status: UpstreamStatus,
) -> Result<(), Trouble> {
    let mut intake = Intake::open(replica, status.genesis).await?;
    let due = stream::iter(intake.next().get()..=status.tip.get());
    let mut answers: BoxStream<'_, _> =
        due.map(|number| fetch(upstream, number.into(), status.tip)).buffered(IN_FLIGHT).boxed();
    loop {
        let group = gather(&mut answers, |answer| answer.as_ref().map_or(0, Fetched::len)).await;
        if group.is_empty() {
            break;
        }
        intake.take(group).await?;
    }
    copy_proofs(upstream, replica).await
}

/// Whether the block that `upstream` has at `number` is the one held.
///
/// # Errors
/// `Diverged` if it is not; `Hole` if it has none.
pub(crate) async fn same_block<U: Upstream>(
    upstream: &U,
    replica: &Arc<Replica>,
    number: BlockNumber,
    tip: BlockNumber,
) -> Result<(), Trouble> {
    let theirs = BlockHash::of(&fetch(upstream, number, tip).await?.block);
    match replica.hash_at(number) {
        Some(ours) if ours != theirs => {
            Err(Trouble::Diverged { number, ours, theirs, common: Common::Unknown })
        }
        _ => Ok(()),
    }
}

/// Asks once for each proof that did not come with its block: a copy that was interrupted may lack some.
async fn copy_proofs<U: Upstream>(upstream: &U, replica: &Arc<Replica>) -> Result<(), Trouble> {
    let last = replica.published().map_or(0, BlockNumber::get);
    let missing = (1..=last).map(BlockNumber::new).filter(|number| !replica.has_proof(*number));
    let mut answers = stream::iter(missing)
        .map(|number| async move {
            let answer = patient(|| upstream.block(number, true)).await?;
            Ok::<_, Trouble>(answer.proof.map(|proof| (number, proof)))
        })
        .buffered(IN_FLIGHT)
        .boxed();
    loop {
        let group = gather(&mut answers, proof_len).await;
        if group.is_empty() {
            return Ok(());
        }
        let proofs = group.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
        replica.commit(Batch { proofs, ..Batch::default() }).await?;
    }
}

fn proof_len(answer: &Result<Option<(BlockNumber, Bytes)>, Trouble>) -> usize {
    answer.as_ref().ok().and_then(Option::as_ref).map_or(0, |(_, proof)| proof.len())
}

async fn fetch<U: Upstream>(upstream: &U, number: BlockNumber, tip: BlockNumber) -> Result<Fetched, Trouble> {
    let answer = patient(|| upstream.block(number, true)).await?;
    Fetched::from_answer(answer).ok_or(Trouble::Hole { number, tip })
}

/// Repeats a call for as long as the upstream asks to wait.
async fn patient<T, F: Future<Output = Result<T, UpstreamError>>>(
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
