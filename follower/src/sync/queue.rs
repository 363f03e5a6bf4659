//! Between the task that fetches and checks and the one that writes and syncs: a bounded queue, so that a stream is
//! read while the disk is busy, and what is waiting can be committed together.

use std::sync::Arc;

use tidemark_store::BlockNumber;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::codegen::Bytes;

use crate::replica::{Batch, CheckedBlock};

/// A group closes at this many items, and no more wait for one.
const ITEMS: usize = 64;
/// A group closes once it holds this many bytes, and no more wait for one.
const BYTES: u32 = 8 << 20;

/// What is to be written; it has been checked.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// A block with its proof, if that came along: written together, so that nobody asks for the proof again meanwhile.
    Block {
        block: CheckedBlock,
        proof: Option<Bytes>,
    },
    Proof {
        number: BlockNumber,
        bytes: Bytes,
    },
}

impl Item {
    /// How much of the room it takes: one that is larger than all room takes all of it.
    fn size(&self) -> u32 {
        let len = match self {
            Self::Block { block, proof } => block.bytes.len() + proof.as_ref().map_or(0, Bytes::len),
            Self::Proof { bytes, .. } => bytes.len(),
        };
        u32::try_from(len).unwrap_or(BYTES).clamp(1, BYTES)
    }
}

/// Where items are put in.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    items: mpsc::Sender<(Item, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

/// Where they come out.
#[derive(Debug)]
pub(super) struct Waiting {
    items: mpsc::Receiver<(Item, OwnedSemaphorePermit)>,
}

/// A new queue, which ends when every handle to put something in is gone.
pub(super) fn open() -> (Queue, Waiting) {
    let (sender, items) = mpsc::channel(ITEMS);
    (Queue { items: sender, room: Arc::new(Semaphore::new(BYTES as usize)) }, Waiting { items })
}

impl Queue {
    /// Puts an item in once there is room; waits for ever when nothing is taken out any more.
    pub(super) async fn put(&self, item: Item) {
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(item.size()).await else {
            return std::future::pending().await;
        };
        if self.items.send((item, room)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Waiting {
    /// What waits, up to the bounds of a group, at least one item; none when the queue has ended. It closes when the
    /// queue is empty and so never waits for more: its items share the syncs that they find.
    pub(super) async fn group(&mut self) -> Option<Batch> {
        let mut next = Some(self.items.recv().await?);
        let (mut batch, mut items, mut bytes) = (Batch::default(), 0, 0);
        while let Some((item, _room)) = next {
            items += 1;
            bytes += item.size();
            match item {
                Item::Block { block, proof } => batch.add(block, proof),
                Item::Proof { number, bytes } => batch.proofs.push((number, bytes)),
            }
            let full = items >= ITEMS || bytes >= BYTES;
            next = if full { None } else { self.items.try_recv().ok() };
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tidemark_store::BlockHash;

    use super::*;

    fn block(number: u32, len: usize) -> Item {
        let bytes = Bytes::from(vec![0; len]);
        let block = CheckedBlock { number: number.into(), hash: BlockHash::of(&bytes), bytes };
        Item::Block { block, proof: None }
    }

    #[tokio::test]
    async fn what_waits_comes_out_together_and_in_order() {
        let (queue, mut waiting) = open();
        for number in 1..=3 {
            queue.put(block(number, 10)).await;
            queue.put(Item::Proof { number: number.into(), bytes: Bytes::new() }).await;
        }
        drop(queue);
        let group = waiting.group().await.expect("a group");
        assert_eq!(group.blocks.iter().map(|block| block.number.get()).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(group.proofs.len(), 3);
        assert!(waiting.group().await.is_none());
    }

    #[tokio::test]
    async fn a_full_queue_takes_no_more_until_something_is_taken_out() {
        let (queue, mut waiting) = open();
        for number in 0..64 {
            queue.put(block(number, 1)).await;
        }
        assert!(queue.put(block(64, 1)).now_or_never().is_none(), "64 items wait");
        assert_eq!(waiting.group().await.expect("a group").blocks.len(), 64);
        queue.put(block(64, 5 << 20)).await;
        assert!(queue.put(block(65, 4 << 20)).now_or_never().is_none(), "8 MiB wait");
        assert_eq!(waiting.group().await.expect("a group").blocks.len(), 1);
    }

    #[tokio::test]
    async fn an_item_larger_than_all_room_passes_alone() {
        let (queue, mut waiting) = open();
        queue.put(block(1, 64 << 20)).await;
        assert!(queue.put(block(2, 1)).now_or_never().is_none());
        assert_eq!(waiting.group().await.expect("a group").blocks.len(), 1);
    }
}
