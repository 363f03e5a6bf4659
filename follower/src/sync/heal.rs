//! Fetches again what is damaged here, from whichever upstream has it, while a session follows one of them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tidemark_store::BlockNumber;
use tokio::time::{Instant, sleep};
use tonic::codegen::Bytes;

use super::{Trouble, backoff::Backoff, engine::Reach, link::Link, proof, turns::Turns};
use crate::{
    replica::{Batch, Replica},
    upstream::{Connector, UpstreamError},
};

/// How often it is looked for damage that a read or the scrubber has met, and the first pause after a failure.
const LOOK: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause of a block that was fetched whole and was not the one that was published.
const AFTER_OTHER_BYTES: Duration = Duration::from_secs(600);
/// An upstream that fails for so many blocks in a row is asked for no more until the next time.
const FAILURES: u32 = 3;

/// Heals until something ends the process.
pub(super) async fn run<C: Connector>(reaches: Vec<Arc<Reach<C>>>, replica: Arc<Replica>) -> Trouble {
    let mut healer = Healer { reaches, replica, seen: 0, turns: Turns::default() };
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

/// Blocks that were asked for this time.
#[derive(Default)]
struct Asked {
    all: BTreeSet<BlockNumber>,
    /// Those that came and were not put back.
    refused: BTreeSet<BlockNumber>,
}

struct Healer<C> {
    reaches: Vec<Arc<Reach<C>>>,
    replica: Arc<Replica>,
    /// How many damaged blocks were seen last.
    seen: usize,
    turns: Turns,
}

impl<C: Connector> Healer<C> {
    /// Asks one upstream after the other for what is due, until nothing of it is damaged or lost.
    async fn heal(&mut self) -> Result<(), Trouble> {
        let mut last = Ok(());
        self.look();
        let due = self.turns.due(&self.replica.damaged(), Instant::now());
        if due.is_empty() && self.replica.lost_proof().is_none() {
            return Ok(());
        }
        let mut asked = Asked::default();
        for reach in self.reaches.clone() {
            last = match self.heal_from(&reach, &due, &mut asked).await {
                Err(trouble) if trouble.is_fatal() => return Err(trouble),
                healed => healed,
            };
            if self.is_healed(&due) {
                return Ok(());
            }
        }
        self.put_off(&asked);
        last.and(Err(unhealed()))
    }

    fn is_healed(&self, due: &[BlockNumber]) -> bool {
        let damaged = self.replica.damaged();
        self.replica.lost_proof().is_none() && !due.iter().any(|number| damaged.contains(number))
    }

    /// What was asked for in vain is asked for again later: much later, where it had to be fetched to find that out.
    fn put_off(&mut self, asked: &Asked) {
        let (damaged, now) = (self.replica.damaged(), Instant::now());
        for number in asked.all.iter().filter(|number| damaged.contains(number)) {
            let cap = if asked.refused.contains(number) { AFTER_OTHER_BYTES } else { LONGEST_PAUSE };
            self.turns.failed(*number, now, cap, rand::random());
        }
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
    async fn heal_from(
        &mut self,
        reach: &Reach<C>,
        due: &[BlockNumber],
        asked: &mut Asked,
    ) -> Result<(), Trouble> {
        let link = self.open(reach).await?;
        let (mut last, mut failures) = (Ok(()), 0);
        let damaged = self.replica.damaged();
        for number in due.iter().copied().filter(|number| damaged.contains(number)) {
            self.turns.asked(number);
            asked.all.insert(number);
            let healed = match link.block(number, false).await {
                Ok(answer) => {
                    failures = 0;
                    self.take(number, answer.block, asked).await
                }
                Err(error) => {
                    failures += 1;
                    Err(Trouble::at(number)(error))
                }
            };
            match healed {
                Err(trouble) if trouble.is_fatal() || failures >= FAILURES => return Err(trouble),
                Err(trouble) => last = Err(trouble),
                Ok(()) => {}
            }
        }
        while let Some(number) = self.replica.lost_proof() {
            let answer = link.block(number, true).await.map_err(Trouble::at(number))?;
            let Some(proof) = proof::of_our_block(&self.replica, number, answer)? else { break };
            let proofs = vec![(number, proof)];
            self.replica.commit(Batch { proofs, ..Batch::default() }).await?;
        }
        last
    }

    /// Puts a block back, if there is one.
    async fn take(
        &self,
        number: BlockNumber,
        block: Option<Bytes>,
        asked: &mut Asked,
    ) -> Result<(), Trouble> {
        let Some(block) = block else { return Ok(()) };
        self.replica.metrics.bytes_fetched.inc_by(block.len() as u64);
        if let Err(error) = self.replica.repair(number, block).await {
            asked.refused.insert(number);
            return Err(error.into());
        }
        self.replica.metrics.upkeep.healed_blocks.inc();
        tracing::info!(block = number.get(), "a damaged block was put back in place");
        Ok(())
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
