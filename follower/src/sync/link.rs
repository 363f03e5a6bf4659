//! One connection to an upstream, asked within that upstream's budget.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tidemark_store::BlockNumber;
use tokio::time::sleep_until;

use super::budget::Budget;
use crate::upstream::{
    Answer, Peer, StreamedBlock, StreamedProof, Upstream, UpstreamError, UpstreamStatus, UpstreamStream,
};

/// No wait that an upstream asks for is shorter.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// The budget of one upstream, which all connections to it share.
pub(super) type SharedBudget = Arc<Mutex<Budget>>;

/// A connection and what may be asked over it.
pub(super) struct Link<U> {
    upstream: U,
    budget: SharedBudget,
}

impl<U: Upstream> Link<U> {
    pub(super) fn new(upstream: U, budget: &SharedBudget) -> Self {
        Self { upstream, budget: Arc::clone(budget) }
    }

    pub(super) async fn status(&self) -> Result<UpstreamStatus, UpstreamError> {
        self.within(|| self.upstream.status()).await
    }

    pub(super) async fn peer(&self, at: Option<BlockNumber>) -> Result<Option<Peer>, UpstreamError> {
        self.within(|| self.upstream.peer(at)).await
    }

    pub(super) async fn block(&self, number: BlockNumber, with_proof: bool) -> Result<Answer, UpstreamError> {
        self.within(|| self.upstream.block(number, with_proof)).await
    }

    pub(super) async fn blocks(
        &self,
        from: BlockNumber,
    ) -> Result<UpstreamStream<StreamedBlock>, UpstreamError> {
        self.within(|| self.upstream.blocks(from)).await
    }

    pub(super) async fn proofs(
        &self,
        from: BlockNumber,
    ) -> Result<UpstreamStream<StreamedProof>, UpstreamError> {
        self.within(|| self.upstream.proofs(from)).await
    }

    pub(super) fn streamed_bytes(&self) -> u64 {
        self.upstream.streamed_bytes()
    }

    /// Asks when the budget allows it, again for as long as the upstream asks to wait and that is worth it.
    async fn within<T, F: Future<Output = Result<T, UpstreamError>>>(
        &self,
        call: impl Fn() -> F,
    ) -> Result<T, UpstreamError> {
        loop {
            let due = self.budget().take(Instant::now());
            sleep_until(due.into()).await;
            let answered = call().await;
            match &answered {
                Err(UpstreamError::RateLimited(wait)) => {
                    if !self.budget().told_to_wait(SHORTEST_WAIT.max(*wait), Instant::now()) {
                        return answered;
                    }
                }
                _ => {
                    self.budget().answered(self.upstream.remaining());
                    return answered;
                }
            }
        }
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
