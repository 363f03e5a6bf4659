//! Fetches again what is damaged here, from whichever upstream has it, while a session follows one of them.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{Trouble, backoff::Backoff, engine::Reach, link::Link};
use crate::{
    replica::{Batch, Replica},
    upstream::{Connector, UpstreamError},
};

/// How often it is looked for damage that a read or the scrubber has met, and the first pause after a failure.
const LOOK: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Heals until something ends the process.
pub(super) async fn run<C: Connector>(reaches: Vec<Arc<Reach<C>>>, replica: Arc<Replica>) -> Trouble {
    let mut healer = Healer { reaches, replica, seen: 0 };
    let mut pauses = Backoff::new(LOOK);
    loop {
        let pause = match healer.heal().await {
            Ok(()) => {
                pauses.succeeded();
                LOOK
            }
            Err(trouble) if trouble.is_fatal() => return trouble,
            Err(trouble) => {
                tracing::warn!("damaged blocks cannot be healed yet: {trouble}");
                pauses.failed(LONGEST_PAUSE, rand::random())
            }
        };
        sleep(pause).await;
    }
}

struct Healer<C> {
    reaches: Vec<Arc<Reach<C>>>,
    replica: Arc<Replica>,
    /// How many damaged blocks were seen last.
    seen: usize,
}

impl<C: Connector> Healer<C> {
    /// Asks one upstream after the other, until nothing that is known is damaged or lost.
    async fn heal(&mut self) -> Result<(), Trouble> {
        let mut last = Ok(());
        self.look();
        for reach in &self.reaches {
            if self.replica.damaged().is_empty() && self.replica.lost_proof().is_none() {
                break;
            }
            last = match self.heal_from(reach).await {
                Err(trouble) if trouble.is_fatal() => return Err(trouble),
                healed => healed,
            };
        }
        self.look();
        if self.seen == 0 && self.replica.lost_proof().is_none() { Ok(()) } else { last.and(Err(unhealed())) }
    }

    fn look(&mut self) {
        let damaged = self.replica.damaged();
        if let Some(first) = damaged.first().filter(|_| damaged.len() > self.seen) {
            let count = damaged.len();
            tracing::warn!(%first, count, "blocks are damaged on disk: fetching them again");
        }
        self.seen = damaged.len();
    }

    /// Takes what this upstream has of it.
    async fn heal_from(&self, reach: &Reach<C>) -> Result<(), Trouble> {
        let link = self.open(reach).await?;
        let mut last = Ok(());
        for number in self.replica.damaged() {
            let answer = link.block(number, false).await.map_err(Trouble::at(number))?;
            let Some(block) = answer.block else { continue };
            self.replica.metrics.bytes_fetched.inc_by(block.len() as u64);
            match self.replica.repair(number, block).await {
                Ok(()) => {
                    self.replica.metrics.upkeep.healed_blocks.inc();
                    tracing::info!(block = number.get(), "a damaged block was put back in place");
                }
                Err(error) if error.is_poison() => return Err(error.into()),
                Err(error) => last = Err(error.into()),
            }
        }
        while let Some(number) = self.replica.lost_proof() {
            let answer = link.block(number, true).await.map_err(Trouble::at(number))?;
            let Some(proof) = answer.proof else { break };
            let proofs = vec![(number, proof)];
            self.replica.commit(Batch { proofs, ..Batch::default() }).await?;
        }
        last
    }

    /// A connection to an upstream of the same chain.
    async fn open(&self, reach: &Reach<C>) -> Result<Link<C::Upstream>, Trouble> {
        let link = reach.connect().await?;
        let offered = link.status().await?.genesis;
        match self.replica.genesis() {
            Some(pinned) if pinned != offered => Err(Trouble::WrongGenesis { pinned, offered }),
            _ => Ok(link),
        }
    }
}

fn unhealed() -> Trouble {
    UpstreamError::Failed("no upstream has them with the bytes that were published here".to_owned()).into()
}
