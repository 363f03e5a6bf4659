//! `BlockSubscription` and `ProofSubscription`: everything from a number on, and then as it is published.
//!
//! A stream is pulled: a slow subscriber holds what was read ahead for it, which is bounded, and costs nobody else
//! anything.

use std::{collections::VecDeque, sync::Arc};

use futures::{StreamExt as _, stream};
use tidemark_store::{BlockNumber, Tips};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Extensions, Status, codegen::Bytes};

use super::{
    api::{Api, damaged, read_failed, too_large},
    body::AnswerBody,
    budget::Share,
    connections::ConnectionEnd,
    message::{AROUND, Field, Pieces},
    outlet::{Outlet, Patience},
    rpc::Rpc,
    status::not_yet,
};
use crate::{
    metrics::{Limit, Open},
    replica::{Kind, Replica},
};

/// How far ahead of the tip a subscription may start.
const AHEAD: u32 = 100;

/// The stream of everything of that kind from `from` on.
///
/// # Errors
/// What the subscription is refused for.
pub(super) fn open(
    api: &Arc<Api>,
    kind: Kind,
    from: BlockNumber,
    extensions: &Extensions,
) -> Result<AnswerBody, Status> {
    if kind == Kind::Proof && from == BlockNumber::GENESIS {
        return Err(Status::invalid_argument("genesis has no proof: subscribe to proofs from block 1 on"));
    }
    near(&api.replica, from)?;
    let metrics = &api.replica.metrics.serving;
    let slot = Arc::clone(&api.subscriptions).try_acquire_owned().map_err(|_| {
        metrics.reached(Limit::Subscriptions);
        Status::resource_exhausted("maximum subscriptions reached")
    })?;
    let slot = (slot, Open::on(&metrics.subscriptions));
    let connection: ConnectionEnd = extensions.get().cloned().unwrap_or_default();
    let (tips, end) = (api.replica.watch_tips(), connection.clone());
    let cursor = Cursor { api: Arc::clone(api), kind, next: from, tips, end, rewound: api.replica.rewound() };
    let batches = stream::unfold(cursor, |mut cursor| async {
        let batch = cursor.batch().await;
        Some((batch, cursor))
    });
    let patience = Patience { wait: api.limits.max_send_wait, connection, replica: Arc::clone(&api.replica) };
    let outlet = Outlet::new(VecDeque::new(), Some(batches.boxed()), Some(slot), patience);
    let replica = Arc::clone(&api.replica);
    Ok(AnswerBody::outlet(outlet.on_end(move |end| replica.metrics.serving.ended(rpc(kind), end.code()))))
}

const fn rpc(kind: Kind) -> Rpc {
    match kind {
        Kind::Block => Rpc::BlockSubscription,
        Kind::Proof => Rpc::ProofSubscription,
    }
}

fn near(replica: &Replica, from: BlockNumber) -> Result<(), Status> {
    let (_, tip) = replica.serving().ok_or_else(not_yet)?;
    if from.get() <= tip.get().saturating_add(AHEAD) {
        return Ok(());
    }
    let next = tip.next();
    let text = format!("block {from} is more than {AHEAD} ahead of the tip {tip}: subscribe from {next} on");
    Err(Status::out_of_range(text))
}

/// Where one subscription stands.
struct Cursor {
    api: Arc<Api>,
    kind: Kind,
    next: BlockNumber,
    tips: watch::Receiver<Tips>,
    end: ConnectionEnd,
    rewound: CancellationToken,
}

impl Cursor {
    /// Waits for the next item; gives it, and those behind it that may be read ahead.
    async fn batch(&mut self) -> Result<VecDeque<Bytes>, Status> {
        let tip = self.reached().await?;
        let first = self.len_of(self.next)?;
        let mut share = self.share(first).await?;
        let count = self.read_ahead(tip, first, &mut share);
        let items = self.api.replica.run(self.kind, self.next, count).await;
        if self.rewound.is_cancelled() {
            return Err(rewound());
        }
        let items = items.map_err(|error| read_failed(self.next, &error))?;
        if items.is_empty() {
            return Err(Status::unavailable(format!("block {} is no longer held here", self.next)));
        }
        Ok(share.cover(self.encode(items, tip)))
    }

    /// Waits until the tip reaches the next number, or never will.
    async fn reached(&mut self) -> Result<BlockNumber, Status> {
        let (kind, next) = (self.kind, self.next);
        let known = |tips: &Tips| tip_of(kind, tips) >= Some(next) || is_damaged(next, tips);
        let reached = tokio::select! {
            biased;
            () = self.rewound.cancelled() => return Err(rewound()),
            () = self.end.0.cancelled() => None,
            reached = self.tips.wait_for(known) => reached.ok().map(|tips| *tips),
        };
        let tips = reached.ok_or_else(ending)?;
        tip_of(kind, &tips).filter(|tip| *tip >= next).ok_or_else(|| damaged(next))
    }

    fn len_of(&self, number: BlockNumber) -> Result<usize, Status> {
        let len = self.api.replica.len_of(self.kind, number).map_err(|error| read_failed(number, &error))?;
        let len = len.unwrap_or(0);
        if len as u64 > self.api.limits.max_block_size.0 {
            return Err(too_large(&self.api.replica, number, len));
        }
        Ok(len)
    }

    /// A share of the budget for one item, once there is room.
    async fn share(&self, len: usize) -> Result<Share, Status> {
        let (budget, metrics) = (&self.api.budget, &self.api.replica.metrics.serving);
        if let Some(share) = budget.try_take(len + AROUND) {
            return Ok(share);
        }
        metrics.reached(Limit::ResponseBytes);
        let waited = tokio::time::timeout(self.api.limits.max_send_wait, budget.take(len + AROUND));
        let taken = tokio::select! {
            taken = waited => taken.ok().flatten(),
            () = self.end.0.cancelled() => return Err(ending()),
        };
        taken.ok_or_else(|| self.api.busy())
    }

    /// How many items to read, the first included: as many as are there, fit, and cost nobody else their room.
    fn read_ahead(&self, tip: BlockNumber, first: usize, share: &mut Share) -> u32 {
        let limits = &self.api.limits;
        let mut left = limits.max_subscriber_bytes.0.saturating_sub(first as u64);
        let most = u32::try_from(limits.max_subscriber_items).unwrap_or(u32::MAX);
        let most = most.min(tip.get() - self.next.get() + 1);
        let mut count = 1;
        while count < most && self.api.budget.has_plenty() {
            let Ok(len) = self.len_of(BlockNumber::new(self.next.get() + count)) else { break };
            let room = left.checked_sub(len as u64).zip(self.api.budget.try_take(len + AROUND));
            let Some((rest, more)) = room else { break };
            share.merge(more);
            (left, count) = (rest, count + 1);
        }
        count
    }

    /// The items as messages; moves on behind them.
    fn encode(&mut self, items: Vec<Bytes>, tip: BlockNumber) -> VecDeque<Bytes> {
        let mut pieces = Pieces::with_room(items.iter().map(|item| item.len() + AROUND).sum());
        for item in items {
            match self.kind {
                Kind::Block => pieces.add_fields(&[Field::Bytes(1, item), Field::Fixed32(2, tip.get())]),
                Kind::Proof => pieces.add_fields(&[
                    Field::Fixed32(1, self.next.get()),
                    Field::Bytes(2, item),
                    Field::Fixed32(3, tip.get()),
                ]),
            }
            self.next = self.next.next();
        }
        pieces.finish()
    }
}

const fn tip_of(kind: Kind, tips: &Tips) -> Option<BlockNumber> {
    match kind {
        Kind::Block => tips.published,
        Kind::Proof => tips.proven,
    }
}

/// Whether it is for damage of that very block that the published tip is not higher.
fn is_damaged(number: BlockNumber, tips: &Tips) -> bool {
    tips.durable >= Some(number) && BlockNumber::after(tips.published) == number
}

/// What was sent may be of the chain that was left.
fn rewound() -> Status {
    Status::aborted(
        "blocks were dropped here to follow another chain: compare what you hold, and subscribe again",
    )
}

fn ending() -> Status {
    Status::unavailable("this connection ends, for its age or since the store stops: subscribe again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_block_that_is_not_published_though_durable_is_damaged() {
        let tips = |published: Option<u32>, durable: u32| Tips {
            published: published.map(BlockNumber::new),
            durable: Some(durable.into()),
            ..Tips::default()
        };
        assert!(is_damaged(5.into(), &tips(Some(4), 9)));
        assert!(!is_damaged(6.into(), &tips(Some(4), 9)));
        assert!(!is_damaged(4.into(), &tips(Some(4), 9)));
        assert!(!is_damaged(5.into(), &tips(Some(4), 4)));
        assert!(is_damaged(0.into(), &tips(None, 9)));
    }
}
