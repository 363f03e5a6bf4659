//! `BlockSubscription` and `ProofSubscription`: everything from a number on, and then as it is published.
//!
//! A stream is pulled: a slow subscriber holds one item and costs nobody else anything.

use std::sync::Arc;

use futures::{StreamExt as _, stream};
use tidemark_store::{BlockNumber, Tips};
use tidemark_wire::rpc::{
    BlockSubscriptionRequest, BlockSubscriptionResponse, ProofSubscriptionRequest, ProofSubscriptionResponse,
};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tonic::{Extensions, Request, Status, codegen::Bytes};

use super::{
    api::{Api, read_failed},
    connections::ConnectionEnd,
    status::not_yet,
};
use crate::replica::Replica;

/// How far ahead of the tip a subscription may start.
const AHEAD: u32 = 100;

type Items<T> = stream::BoxStream<'static, Result<T, Status>>;

/// Every block from the one asked for on.
pub(super) fn blocks(
    api: &Api,
    request: &Request<BlockSubscriptionRequest>,
) -> Result<Items<BlockSubscriptionResponse>, Status> {
    let cursor = Cursor::open(api, request.get_ref().block_from.into(), request.extensions())?;
    Ok(stream::unfold(Some(cursor), |cursor| async {
        let mut cursor = cursor?;
        let item = next_block(&mut cursor).await;
        Some((item.clone(), item.is_ok().then_some(cursor)))
    })
    .boxed())
}

/// Every proof from the one asked for on, strictly in sequence.
pub(super) fn proofs(
    api: &Api,
    request: &Request<ProofSubscriptionRequest>,
) -> Result<Items<ProofSubscriptionResponse>, Status> {
    let from = request.get_ref().block_from.into();
    if from == BlockNumber::GENESIS {
        return Err(Status::invalid_argument("genesis has no proof: subscribe to proofs from block 1 on"));
    }
    let cursor = Cursor::open(api, from, request.extensions())?;
    Ok(stream::unfold(Some(cursor), |cursor| async {
        let mut cursor = cursor?;
        let item = next_proof(&mut cursor).await;
        Some((item.clone(), item.is_ok().then_some(cursor)))
    })
    .boxed())
}

async fn next_block(cursor: &mut Cursor) -> Result<BlockSubscriptionResponse, Status> {
    let (number, tip) = cursor.wait(|tips| tips.published).await?;
    let block = cursor.replica.block(number).await.map_err(|error| read_failed(number, &error))?;
    Ok(BlockSubscriptionResponse { block: present(block, number)?, committed_chain_tip: tip.get() })
}

async fn next_proof(cursor: &mut Cursor) -> Result<ProofSubscriptionResponse, Status> {
    let (number, tip) = cursor.wait(|tips| tips.proven).await?;
    let proof = cursor.replica.proof(number).await.map_err(|error| read_failed(number, &error))?;
    Ok(ProofSubscriptionResponse {
        block_num: number.get(),
        proof: present(proof, number)?,
        proven_chain_tip: tip.get(),
    })
}

fn present(bytes: Option<Bytes>, number: BlockNumber) -> Result<Bytes, Status> {
    bytes.ok_or_else(|| Status::unavailable(format!("block {number} is no longer held here")))
}

/// Where one subscription stands.
struct Cursor {
    replica: Arc<Replica>,
    next: BlockNumber,
    tips: watch::Receiver<Tips>,
    end: ConnectionEnd,
    _slot: OwnedSemaphorePermit,
}

impl Cursor {
    fn open(api: &Api, from: BlockNumber, extensions: &Extensions) -> Result<Self, Status> {
        let (_, tip) = api.replica.serving().ok_or_else(not_yet)?;
        if from.get() > tip.get().saturating_add(AHEAD) {
            let text = format!(
                "block {from} is more than {AHEAD} ahead of the tip {tip}: subscribe from {} on",
                tip.next()
            );
            return Err(Status::out_of_range(text));
        }
        let slot = Arc::clone(&api.subscriptions).try_acquire_owned();
        let slot = slot.map_err(|_| Status::resource_exhausted("maximum subscriptions reached"))?;
        let (replica, end) = (Arc::clone(&api.replica), extensions.get().cloned().unwrap_or_default());
        Ok(Self { tips: replica.watch_tips(), replica, next: from, end, _slot: slot })
    }

    /// Waits until the tip of a kind reaches the next number; gives that number and the tip, and moves on.
    async fn wait(
        &mut self,
        tip: impl Fn(&Tips) -> Option<BlockNumber>,
    ) -> Result<(BlockNumber, BlockNumber), Status> {
        let number = self.next;
        let reached = tokio::select! {
            reached = self.tips.wait_for(|tips| tip(tips) >= Some(number)) => reached.ok().and_then(|tips| tip(&tips)),
            () = self.end.0.cancelled() => None,
        };
        let reached = reached.ok_or_else(|| {
            Status::unavailable("this connection ends, for its age or since the store stops: subscribe again")
        })?;
        self.next = number.next();
        Ok((number, reached))
    }
}
