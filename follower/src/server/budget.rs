//! How many bytes of responses are in memory at once, in the whole process.
//!
//! What was taken is given back when the bytes themselves are dropped: after they left the process, or with the
//! response they belong to.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::AtomicI64},
};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::codegen::Bytes;

use super::progress::{Held, Progress};

/// Bytes that may be in memory.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    total: u32,
    left: Arc<Semaphore>,
    taken: Bytes64,
}

type Bytes64 = Gauge<i64, AtomicI64>;

impl Budget {
    /// A budget of `bytes`, at most 4 GiB; what is taken of it shows on `taken`.
    pub(super) fn new(bytes: u64, taken: Bytes64) -> Self {
        let total = u32::try_from(bytes).unwrap_or(u32::MAX);
        Self { total, left: Arc::new(Semaphore::new(total as usize)), taken }
    }

    /// A share for `bytes`, if there is room. One larger than the whole budget gets all of it.
    pub(super) fn try_take(&self, bytes: usize) -> Option<Share> {
        let permit = Arc::clone(&self.left).try_acquire_many_owned(self.clamp(bytes)).ok()?;
        Some(self.share(permit))
    }

    /// A share for `bytes`, once there is room, in the order of asking.
    pub(super) async fn take(&self, bytes: usize) -> Option<Share> {
        let permit = Arc::clone(&self.left).acquire_many_owned(self.clamp(bytes)).await.ok()?;
        Some(self.share(permit))
    }

    /// Whether less than half is taken: what nobody needs yet may be read.
    pub(super) fn has_plenty(&self) -> bool {
        self.left.available_permits() > self.total as usize / 2
    }

    fn clamp(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.total)
    }

    fn share(&self, permit: OwnedSemaphorePermit) -> Share {
        self.taken.inc_by(signed(permit.num_permits()));
        Share { permit, taken: self.taken.clone() }
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A part of the budget.
#[derive(Debug)]
pub(super) struct Share {
    permit: OwnedSemaphorePermit,
    taken: Bytes64,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.taken.dec_by(signed(self.permit.num_permits()));
    }
}

impl Share {
    /// Adds another share of the same budget.
    pub(super) fn merge(&mut self, mut other: Self) {
        let all = other.permit.split(other.permit.num_permits());
        all.into_iter().for_each(|permit| self.permit.merge(permit));
    }

    /// The same pieces, each of which holds its part of this share, and is held for the connection with that
    /// `progress`, for as long as it lives. What is left is given back.
    pub(super) fn cover(mut self, mut pieces: VecDeque<Bytes>, progress: &Progress) -> VecDeque<Bytes> {
        for piece in &mut pieces {
            *piece = self.cover_one(std::mem::take(piece), progress.hold());
        }
        pieces
    }

    fn cover_one(&mut self, piece: Bytes, held: Held) -> Bytes {
        let part = self.permit.split(piece.len().min(self.permit.num_permits()));
        let part = part.map(|permit| Self { permit, taken: self.taken.clone() });
        Bytes::from_owner(Covered { piece, _part: part, _held: held })
    }
}

struct Covered {
    piece: Bytes,
    _part: Option<Share>,
    _held: Held,
}

impl AsRef<[u8]> for Covered {
    fn as_ref(&self) -> &[u8] {
        &self.piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_given_back_when_the_last_slice_of_its_bytes_is_dropped() {
        let budget = Budget::new(100, Gauge::default());
        let share = budget.try_take(70).expect("room");
        assert!(budget.try_take(31).is_none());
        let mut pieces =
            share.cover([Bytes::from(vec![1; 10]), Bytes::from(vec![2; 50])].into(), &Progress::default());
        assert_eq!(budget.taken.get(), 60, "what no piece needs is back at once");
        let mut large = pieces.pop_back().expect("two pieces");
        let slice = large.split_to(1);
        drop((pieces, large));
        assert_eq!(budget.taken.get(), 50);
        drop(slice);
        assert_eq!(budget.taken.get(), 0);
    }

    #[test]
    fn what_is_larger_than_the_budget_is_held_alone() {
        let budget = Budget::new(100, Gauge::default());
        let share = budget.try_take(1000).expect("the budget is free");
        assert!(budget.try_take(1).is_none());
        drop(share);
        let one = budget.try_take(1).expect("it is free again");
        assert!(budget.try_take(1000).is_none());
        drop(one);
    }

    #[tokio::test]
    async fn whoever_waits_gets_what_is_given_back() {
        let budget = Budget::new(10, Gauge::default());
        let held = budget.try_take(8).expect("room");
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.take(5).await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished() && !budget.has_plenty());
        drop(held);
        assert!(waiting.await.expect("no panic"));
    }
}
