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
    api::{Api, damaged, read_failed},
    body::AnswerBody,
    budget::Share,
    connections::{ConnectionEnd, Way},
    message::{AROUND, Field, Pieces},
    outlet::{Outlet, Patience},
    progress::Progress,
    rpc::Rpc,
    status::not_yet,
};
use crate::{
    metrics::{Limit, Open},
    replica::{Kind, Replica},
};

/// How far ahead of the tip a subscription may start.
const AHEAD: u32 = 100;
/// Bytes that are read and verified before others get their turn on the thread.
const AT_HAND: u64 = 256 << 10;

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
    let Way { end, progress, .. } = extensions.get().cloned().unwrap_or_default();
    let cursor = Cursor {
        api: Arc::clone(api),
        kind,
        next: from,
        tips: api.replica.watch_tips(),
        end,
        progress: progress.clone(),
        rewound: api.replica.rewound(),
    };
    let batches = stream::unfold(cursor, |mut cursor| async {
        let batch = cursor.batch().await;
        Some((batch, cursor))
    });
    let patience = Patience { wait: api.limits.max_send_wait, progress, replica: Arc::clone(&api.replica) };
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
    progress: Progress,
    rewound: CancellationToken,
}

impl Cursor {
    /// Waits for the next item; gives it, and those behind it that may be read ahead.
    async fn batch(&mut self) -> Result<VecDeque<Bytes>, Status> {
        let tip = self.reached().await?;
        let read = self.read(tip).await?;
        if self.rewound.is_cancelled() {
            return Err(rewound());
        }
        if read.items.is_empty() {
            return Err(Status::unavailable(format!("block {} is no longer held here", self.next)));
        }
        Ok(self.encode(read, tip))
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

    /// Reads the next items: what is in memory at once, else where waiting for the disk holds nobody up.
    async fn read(&self, tip: BlockNumber) -> Result<Batch, Status> {
        if let Some(first) = self.api.replica.at_hand(self.kind, self.next) {
            self.api.admit(self.next, first.len())?;
            let share = self.share(first.len()).await?;
            return Ok(self.ahead(tip, AT_HAND).fill(Batch { share, items: vec![first] }, Ahead::at_hand));
        }
        let (number, kind, api) = (self.next, self.kind, Arc::clone(&self.api));
        let len = self.blocking(move || api.len_of(kind, number)).await?;
        let (share, ahead) = (self.share(len).await?, self.ahead(tip, u64::MAX));
        self.blocking(move || ahead.first_and_more(share)).await
    }

    fn ahead(&self, tip: BlockNumber, bytes: u64) -> Ahead {
        let bytes = bytes.min(self.api.limits.max_subscriber_bytes.0);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Ahead { api: Arc::clone(&self.api), kind: self.kind, next: self.next, tip, bytes }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let done = self.api.replica.blocking(move |_| Ok(work())).await;
        done.map_err(|error| read_failed(self.next, &error))?
    }

    /// A share of the budget for one item, once there is room.
    async fn share(&self, len: usize) -> Result<Share, Status> {
        let budget = &self.api.budget;
        if let Some(share) = budget.try_take(len + AROUND) {
            return Ok(share);
        }
        self.api.replica.metrics.serving.reached(Limit::ResponseBytes);
        let waited = tokio::time::timeout(self.api.limits.max_send_wait, budget.take(len + AROUND));
        let taken = tokio::select! {
            taken = waited => taken.ok().flatten(),
            () = self.end.0.cancelled() => return Err(ending()),
        };
        taken.ok_or_else(|| self.api.busy())
    }

    /// The items as messages; moves on behind them.
    fn encode(&mut self, batch: Batch, tip: BlockNumber) -> VecDeque<Bytes> {
        let mut pieces = Pieces::with_room(batch.items.iter().map(|item| item.len() + AROUND).sum());
        for item in batch.items {
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
        batch.share.cover(pieces.finish(), &self.progress)
    }
}

/// Items that follow each other, and their share of the budget.
struct Batch {
    share: Share,
    items: Vec<Bytes>,
}

/// What may be read for one subscriber.
struct Ahead {
    api: Arc<Api>,
    kind: Kind,
    next: BlockNumber,
    tip: BlockNumber,
    /// In all.
    bytes: usize,
}

impl Ahead {
    /// The first item, whose `share` is taken, and those behind it. Waits for the disk.
    fn first_and_more(&self, share: Share) -> Result<Batch, Status> {
        let first = self.api.replica.read_now(self.kind, self.next);
        let items = first.map_err(|error| read_failed(self.next, &error))?.into_iter().collect();
        Ok(self.fill(Batch { share, items }, Self::on_disk))
    }

    fn at_hand(&self, number: BlockNumber, room: usize) -> Option<Bytes> {
        self.api.replica.at_hand(self.kind, number).filter(|item| item.len() <= room)
    }

    fn on_disk(&self, number: BlockNumber, room: usize) -> Option<Bytes> {
        self.api.len_of(self.kind, number).ok().filter(|len| *len <= room)?;
        self.api.replica.read_now(self.kind, number).ok().flatten()
    }

    /// Adds what follows: as much as is there, fits, and costs nobody else their room. What is not to be had ends the
    /// batch; the next one starts there, and says why.
    fn fill(&self, mut batch: Batch, read: impl Fn(&Self, BlockNumber, usize) -> Option<Bytes>) -> Batch {
        let first = batch.items.first().map_or(0, Bytes::len);
        let mut room = self.bytes.saturating_sub(first);
        let mut number = self.next.next();
        while self.may_add(&batch, number) {
            let Some(item) = read(self, number, room) else { break };
            let Some(more) = self.api.budget.try_take(item.len() + AROUND) else { break };
            batch.share.merge(more);
            room -= item.len();
            batch.items.push(item);
            number = number.next();
        }
        batch
    }

    fn may_add(&self, batch: &Batch, number: BlockNumber) -> bool {
        let count = batch.items.len();
        let is_there = count > 0 && number <= self.tip;
        is_there && count < self.api.limits.max_subscriber_items && self.api.budget.has_plenty()
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
