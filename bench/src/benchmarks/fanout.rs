//! How soon a block reaches each of 1,000 subscribers, and what each of them costs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use tidemark_report::{Figure, Goal, percentile};
use tidemark_wire::rpc::{BlockSubscriptionRequest, BlockSubscriptionResponse};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tonic::Streaming;

use crate::{
    bench::{Bench, remove},
    client::{self, Tips},
};

const SUBSCRIBERS: usize = 1000;
const ARRIVAL: Duration = Duration::from_millis(250);
/// KiB of memory.
const RESIDENT: f64 = 64.0;
const LIMIT: Duration = Duration::from_secs(30);
/// Blocks until the first one that counts: the time to make all subscriptions, in seconds.
const AHEAD: u32 = 10;
/// Where a block of the development chain says when it was made, in Unix milliseconds.
const MADE: std::ops::Range<usize> = 40..48;

type Blocks = Streaming<BlockSubscriptionResponse>;

/// Each subscriber has a connection of its own. Arrival counts from when the primary made the block, and so has the
/// primary's sync and the follower's in it.
pub(super) async fn run(bench: &Bench, name: &str) -> Result<Vec<Figure>> {
    let dirs = [bench.fresh("primary")?, bench.fresh("follower")?];
    let primary = bench.produce(&dirs[0], "1s", "16KiB").await?;
    let follower = bench.follow(&dirs[1], "native", &primary.url()).await?;
    let mut tips = Tips::of(&follower.url()).await?;
    let (held, _) = tips.reach(3, Duration::from_millis(100), LIMIT).await?;
    let alone = follower.memory()?.anonymous;
    let subscribers = subscribe(&follower.url(), held + AHEAD).await?;
    ensure!(tips.count().await? <= held + AHEAD, "the subscriptions took too long to make");
    let arrivals = arrivals(subscribers, bench.choose(30, 3)).await?;
    let each = (follower.memory()?.anonymous - alone) / SUBSCRIBERS as f64;
    drop((follower, primary));
    dirs.iter().try_for_each(|dir| remove(dir))?;
    let of = |percent| percentile(&arrivals.times, percent).unwrap_or(Duration::MAX);
    Ok(vec![
        Figure::milliseconds(&format!("{name}_arrival_p50"), of(50), None),
        Figure::milliseconds(&format!("{name}_arrival_p99"), of(99), Some(ARRIVAL)),
        Figure::new(&format!("{name}_resident_each"), each, "KiB", Some(Goal::AtMost(RESIDENT))),
    ])
}

async fn subscribe(url: &str, block_from: u32) -> Result<Vec<Blocks>> {
    let mut subscribers = Vec::with_capacity(SUBSCRIBERS);
    for _ in 0..SUBSCRIBERS {
        let request = BlockSubscriptionRequest { block_from };
        subscribers.push(client::api(url).await?.block_subscription(request).await?.into_inner());
    }
    Ok(subscribers)
}

/// What came, and those who go on waiting for more.
struct Arrivals {
    times: Vec<Duration>,
    _subscribers: JoinSet<Result<()>>,
}

/// How long each of the next `count` blocks took to reach each subscriber.
async fn arrivals(subscribers: Vec<Blocks>, count: usize) -> Result<Arrivals> {
    let (seen, mut came) = mpsc::unbounded_channel();
    let mut reading = JoinSet::new();
    for blocks in subscribers {
        reading.spawn(read(blocks, seen.clone()));
    }
    let mut times = Vec::new();
    while times.len() < count * SUBSCRIBERS {
        times.push(timeout(LIMIT, came.recv()).await.context("no block arrives")?.context("all ended")?);
        if let Some(ended) = reading.try_join_next() {
            ended?.context("a subscriber failed")?;
        }
    }
    Ok(Arrivals { times, _subscribers: reading })
}

async fn read(mut blocks: Blocks, seen: mpsc::UnboundedSender<Duration>) -> Result<()> {
    loop {
        let item = blocks.message().await?.context("the subscription ended")?;
        seen.send(age(&item.block).context("the block does not say when it was made")?)?;
    }
}

fn age(block: &[u8]) -> Option<Duration> {
    let made = u64::from_le_bytes(block.get(MADE)?.try_into().ok()?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(now.saturating_sub(Duration::from_millis(made)))
}
