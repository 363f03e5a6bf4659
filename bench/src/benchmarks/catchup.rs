//! How fast a follower catches up from an upstream on the same machine, beside the two things it cannot outrun: the
//! disk that takes the same groups, and a client that drops what it receives.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use futures::StreamExt as _;
use tidemark_follower::upstream::Upstream as _;
use tidemark_report::{Figure, median};
use tidemark_store::BlockNumber;

use crate::{
    bench::{Bench, FETCH_MODE, remove},
    chain::Chain,
    client::{self, Tips},
    machine::{disk, groups, server::Server},
};

/// What of the slower bound must be reached, in percent.
const GOAL: f64 = 70.0;
/// No chain takes more of the disk than this.
const LARGEST: u64 = 12 << 30;
const EVERY: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_secs(300);

/// Blocks of the development chain with bodies of `size` bytes.
pub(super) async fn native(bench: &Bench, name: &str, size: usize) -> Result<Vec<Figure>> {
    Catchup { bench, name, chain: Chain::native(size), size, blocks: 1 << 14 }.run().await
}

/// Blocks of `size` bytes that are not looked into.
pub(super) async fn opaque(bench: &Bench, name: &str, size: usize) -> Result<Vec<Figure>> {
    Catchup { bench, name, chain: Chain::opaque(size), size, blocks: 1 << 17 }.run().await
}

struct Catchup<'a> {
    bench: &'a Bench,
    name: &'a str,
    chain: Chain,
    size: usize,
    blocks: u32,
}

/// One run of a follower.
struct Followed {
    /// Blocks a second.
    rate: f64,
    took: Duration,
    /// Bytes of each group it wrote.
    groups: Vec<usize>,
}

/// Blocks a second of each contestant.
#[derive(Default)]
struct Seen {
    follower: Vec<f64>,
    disk: Vec<f64>,
    client: Vec<f64>,
}

impl Catchup<'_> {
    async fn run(mut self) -> Result<Vec<Figure>> {
        let source = self.bench.fresh("upstream")?;
        self.lengthen(&source).await?;
        let upstream = self.bench.serve(&source, self.chain.format).await?;
        let mut seen = Seen::default();
        for round in 0..self.bench.choose(3, 1) {
            self.round(round, &upstream, &mut seen).await?;
        }
        drop(upstream);
        remove(&source)?;
        Ok(self.figures(&seen))
    }

    /// Makes the chain so long that following it takes long enough. The first run is the warm-up, too.
    async fn lengthen(&mut self, source: &Path) -> Result<()> {
        let most = u32::try_from(LARGEST / self.size as u64).unwrap_or(u32::MAX);
        loop {
            self.chain.fill(source, self.blocks)?;
            let upstream = self.bench.serve(source, self.chain.format).await?;
            let took = self.follow(&upstream).await?.took;
            upstream.stop().await?;
            if took >= self.bench.run() {
                return Ok(());
            }
            let factor = (self.bench.run().as_secs_f64() / took.as_secs_f64() * 1.2).clamp(1.1, 16.0);
            ensure!(self.blocks < most, "{most} blocks are followed in {took:?}, too fast to be measured");
            self.blocks = longer(self.blocks, factor).min(most);
        }
    }

    async fn round(&self, round: usize, upstream: &Server, seen: &mut Seen) -> Result<()> {
        let before = upstream.cpu()?;
        let Followed { rate, took, groups } = self.follow(upstream).await?;
        let cores = (upstream.cpu()? - before).as_secs_f64() / took.as_secs_f64();
        let client = self.drain(upstream).await?;
        let disk = self.write(&groups)?;
        let (name, each, round) = (self.name, f64::from(self.blocks) / groups.len() as f64, round + 1);
        eprintln!(
            "{name} round {round} ({FETCH_MODE}): {rate:.0}/s in {took:.1?}, {each:.1} blocks a group, upstream {cores:.2} cores; client {client:.0}/s; disk {disk:.0}/s"
        );
        seen.follower.push(rate);
        seen.client.push(client);
        seen.disk.push(disk);
        Ok(())
    }

    /// A new follower, from its first published block to the last.
    async fn follow(&self, upstream: &Server) -> Result<Followed> {
        let dir = self.bench.fresh("follower")?;
        disk::settle(&dir)?;
        let follower = self.bench.follow(&dir, self.chain.format, &upstream.url()).await?;
        let mut tips = Tips::of(&follower.url()).await?;
        let (first, begun) = tips.reach(1, EVERY, LIMIT).await?;
        let (last, ended) = tips.reach(self.blocks, EVERY, LIMIT).await?;
        let cpu = follower.cpu()?.as_secs_f64();
        follower.stop().await?;
        let groups = groups::of(&dir)?;
        remove(&dir)?;
        eprintln!("{}: a follower took {:.1} us of CPU a block", self.name, cpu * 1e6 / f64::from(last));
        let took = ended - begun;
        Ok(Followed { rate: f64::from(last - first) / took.as_secs_f64(), took, groups })
    }

    /// The follower's own client on the same stream, which it drops.
    async fn drain(&self, upstream: &Server) -> Result<f64> {
        let begun = Instant::now();
        let mut drained = 0;
        while drained == 0 || begun.elapsed() < self.bench.run() {
            let client = client::followers_own(&upstream.url()).await?;
            let blocks = client.blocks(BlockNumber::GENESIS).await?.take(self.blocks as usize);
            drained += blocks.fold(0, async |count, block| count + u32::from(block.is_ok())).await;
        }
        Ok(f64::from(drained) / begun.elapsed().as_secs_f64())
    }

    /// The same records on the bare disk.
    fn write(&self, groups: &[usize]) -> Result<f64> {
        let dir = self.bench.fresh("disk")?;
        disk::settle(&dir)?;
        let (mut took, mut written) = (Duration::ZERO, 0.0);
        while took < self.bench.run() {
            took += disk::write(&dir, groups)?;
            written += f64::from(self.blocks);
        }
        remove(&dir)?;
        Ok(written / took.as_secs_f64())
    }

    fn figures(&self, seen: &Seen) -> Vec<Figure> {
        let [follower, disk, client] = [&seen.follower, &seen.disk, &seen.client].map(|seen| median(seen));
        let rate = |of: &str, value| Figure::new(&format!("{}_{of}", self.name), value, "blocks/s", None);
        vec![
            Figure::share(self.name, follower, disk.min(client), GOAL),
            rate("follower", follower),
            rate("disk", disk),
            rate("client", client),
        ]
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
fn longer(blocks: u32, factor: f64) -> u32 {
    (f64::from(blocks) * factor) as u32
}
