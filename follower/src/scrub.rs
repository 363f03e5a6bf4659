//! Rereads everything on disk now and then, slowly, so that damage is found while an upstream still has what was lost.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use tidemark_store::{BlockNumber, Checked};
use tokio::time::sleep;

use crate::{
    cli::values,
    replica::{Replica, ReplicaError},
    size::ByteSize,
};

/// How long after the start the first pass begins: what was written last is read when the store is opened.
const SETTLE: Duration = Duration::from_secs(60);
/// No piece is larger, so that a scrubber that is let in between two writes holds them up for milliseconds.
const LARGEST_PIECE: u64 = 1 << 20;
/// The pause after a file error, which a read by number would meet as well.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// How everything on disk is reread.
#[derive(Debug, Clone, Copy, Args)]
pub struct ScrubArgs {
    /// How often everything on disk is read and checked, as in 7days; 0s for never.
    #[arg(long, env = "TIDEMARK_SCRUB_INTERVAL", value_name = "DURATION", default_value = "7days", value_parser = values::long_duration)]
    pub scrub_interval: Duration,
    /// How many bytes of it are read per second.
    #[arg(long, env = "TIDEMARK_SCRUB_RATE", value_name = "SIZE", default_value_t = Self::default().scrub_rate, value_parser = values::rate)]
    pub scrub_rate: ByteSize,
}

impl Default for ScrubArgs {
    fn default() -> Self {
        Self { scrub_interval: Duration::from_secs(7 * 24 * 60 * 60), scrub_rate: ByteSize(8 << 20) }
    }
}

/// Scrubs until the store takes no more writes. Each start begins somewhere else, so that of a store that is restarted more
/// often than a pass takes all is read in the end, too.
pub async fn run(replica: Arc<Replica>, args: ScrubArgs) -> ReplicaError {
    if args.scrub_interval.is_zero() {
        return std::future::pending().await;
    }
    sleep(SETTLE.min(args.scrub_interval)).await;
    let mut first = anywhere(&replica);
    loop {
        let began = Instant::now();
        if let Err(error) =
            pass(&replica, args.scrub_rate.0, std::mem::replace(&mut first, BlockNumber::GENESIS)).await
        {
            return error;
        }
        replica.metrics.upkeep.scrub_passes.inc();
        sleep(args.scrub_interval.saturating_sub(began.elapsed())).await;
    }
}

/// Any block that is held.
fn anywhere(replica: &Replica) -> BlockNumber {
    let count = BlockNumber::after(replica.held()).get().max(1);
    BlockNumber::new(rand::random::<u32>() % count)
}

/// Checks everything once, from block `first` on and then what lies before it.
async fn pass(replica: &Arc<Replica>, rate: u64, first: BlockNumber) -> Result<(), ReplicaError> {
    stretch(replica, rate, first, None).await?;
    stretch(replica, rate, BlockNumber::GENESIS, Some(first)).await
}

async fn stretch(
    replica: &Arc<Replica>,
    rate: u64,
    first: BlockNumber,
    end: Option<BlockNumber>,
) -> Result<(), ReplicaError> {
    let mut next = Some(first);
    while let Some(from) = next.filter(|next| end.is_none_or(|end| *next < end)) {
        replica.metrics.upkeep.scrub_position.set(i64::from(from.get()));
        next = match replica.scrub(from, rate.min(LARGEST_PIECE)).await {
            Ok(checked) => {
                note(replica, &checked);
                sleep(Duration::from_secs_f64(checked.bytes as f64 / rate as f64)).await;
                checked.next
            }
            Err(error) if error.is_poison() => return Err(error),
            Err(error) => {
                tracing::error!(block = from.get(), "the scrubber cannot read: {error}");
                sleep(AFTER_FAILURE).await;
                Some(from)
            }
        };
    }
    Ok(())
}

fn note(replica: &Replica, checked: &Checked) {
    let upkeep = &replica.metrics.upkeep;
    upkeep.scrubbed_bytes.inc_by(checked.bytes);
    upkeep.scrub_findings.inc_by(checked.findings.len() as u64);
    for found in &checked.findings {
        let (block, part, path) = (found.number.get(), found.part, found.path.display());
        tracing::error!(
            block, ?part, %path, offset = found.offset, detail = found.detail,
            "the scrubber found damage"
        );
    }
}
