//! Which block's proof appears when.

use std::collections::VecDeque;

use tidemark_store::BlockNumber;
use tokio::time::Instant;

use super::sleep_to;

/// Proofs to come, in the order of their blocks.
#[derive(Debug, Default)]
pub(super) struct ProofSchedule {
    queue: VecDeque<(BlockNumber, Instant)>,
}

impl ProofSchedule {
    /// The proof of `number` appears at `due`, and not before those added earlier.
    pub(super) fn add(&mut self, number: BlockNumber, due: Instant) {
        self.queue.push_back((number, due));
    }

    /// The proof of `number`, taken before, is still to come.
    pub(super) fn add_first(&mut self, number: BlockNumber, due: Instant) {
        self.queue.push_front((number, due));
    }

    /// Waits for the next proof and takes it. Nothing is taken when the wait is given up.
    pub(super) async fn due(&mut self) -> BlockNumber {
        loop {
            sleep_to(self.queue.front().map(|(_, due)| *due)).await;
            if let Some((number, _)) = self.queue.pop_front() {
                return number;
            }
        }
    }
}
