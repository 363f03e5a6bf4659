//! How soon a follower serves a store of ten million blocks, and the memory it needs to.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tidemark_report::{Figure, Goal, median};
use tokio::time::sleep;

use crate::{
    bench::{Bench, remove},
    chain::Chain,
    client::{self, Tips},
    machine::{disk, server::Server},
};

const BLOCKS: u32 = 10_000_000;
const SIZE: usize = 357;
const AFTER_STOP: Duration = Duration::from_secs(2);
const AFTER_KILL: Duration = Duration::from_secs(5);
/// MiB of memory.
const RESIDENT: f64 = 256.0;
/// What is written since the last checkpoint, which is made every 10 s, is read again after a kill.
const WRITING: Duration = Duration::from_secs(9);
const IDLE: Duration = Duration::from_secs(5);

/// After a clean stop the page cache is empty, as after a restart of the machine.
pub(super) async fn run(bench: &Bench, name: &str) -> Result<Vec<Figure>> {
    let dir = bench.fresh(name)?;
    let mut chain = Chain::opaque(SIZE);
    chain.fill(&dir, bench.choose(BLOCKS, BLOCKS / 100))?;
    let (mut stopped, mut resident, mut killed) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..bench.choose(3, 1) {
        disk::forget(&dir)?;
        let (follower, took) = open(bench, &dir).await?;
        sleep(IDLE).await;
        resident.push(follower.memory()?.resident / 1024.0);
        follower.stop().await?;
        stopped.push(took.as_secs_f64());
        killed.push(after_kill(bench, &dir).await?.as_secs_f64());
        let (stop, kill, memory) = (stopped[round], killed[round], resident[round]);
        eprintln!(
            "{name} round {}: {stop:.2} s after a stop, {kill:.2} s after a kill, {memory:.0} MiB",
            round + 1
        );
    }
    remove(&dir)?;
    let time = |what, seen: &[f64], goal| {
        let value = Duration::from_secs_f64(median(seen));
        Figure::milliseconds(&format!("{name}_{what}"), value, Some(goal))
    };
    Ok(vec![
        time("after_stop", &stopped, AFTER_STOP),
        time("after_kill", &killed, AFTER_KILL),
        Figure::new(&format!("{name}_resident"), median(&resident), "MiB", Some(Goal::AtMost(RESIDENT))),
    ])
}

/// From the start of the process to its first answer.
async fn open(bench: &Bench, dir: &Path) -> Result<(Server, Duration)> {
    let begun = Instant::now();
    let follower = bench.serve(dir, "opaque").await?;
    client::api(&follower.url()).await?.status(()).await?;
    Ok((follower, begun.elapsed()))
}

/// Opens again what a follower had that was killed while it caught up as fast as it can.
async fn after_kill(bench: &Bench, dir: &Path) -> Result<Duration> {
    let upstream = bench.bare(SIZE).await?;
    let follower = bench.follow(dir, "opaque", &upstream.url()).await?;
    let mut tips = Tips::of(&follower.url()).await?;
    let held = tips.count().await?;
    sleep(WRITING).await;
    let published = tips.count().await?;
    ensure!(published > held, "nothing was written before the kill");
    follower.kill().await?;
    let (follower, took) = open(bench, dir).await?;
    let kept = Tips::of(&follower.url()).await?.count().await?;
    ensure!(kept >= published, "{published} blocks were published, {kept} are held after the kill");
    eprintln!("a kill after {} blocks in {WRITING:?}", published - held);
    follower.stop().await?;
    Ok(took)
}
