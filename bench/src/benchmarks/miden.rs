//! How fast a follower catches up on the recorded Miden chain, beside a loop that only decodes and verifies its blocks.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tidemark_follower::format::{Format as _, Miden};
use tidemark_report::{Figure, median};
use tidemark_store::Commitment;
use tonic::codegen::Bytes;

use crate::{
    bench::{Bench, remove},
    chain::Chain,
    client::Tips,
    machine::{disk, server::Server},
};

/// What of the loop must be reached, in percent.
const GOAL: f64 = 80.0;
const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/data/miden-0.15-chain.bin");
/// The genesis commitment, in block 1.
const PARENT: std::ops::Range<usize> = 4..36;
/// Blocks that a follower checks together at most.
const GROUP: usize = 64;
/// A run is short: the tip is asked for often.
const EVERY: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_secs(60);

/// Takes turns between following the whole recording anew and verifying it.
pub(super) async fn run(bench: &Bench, name: &str) -> Result<Vec<Figure>> {
    let blocks = recorded(Path::new(RECORDING))?;
    let genesis = genesis(&blocks)?;
    let source = bench.fresh("upstream")?;
    let mut chain = Chain::recorded(blocks.clone(), genesis);
    chain.fill(&source, u32::try_from(blocks.len())?)?;
    let upstream = bench.serve(&source, chain.format).await?;
    let (mut followed, mut verified) = (Vec::new(), Vec::new());
    for round in 0..bench.choose(3, 1) {
        followed.push(follow_again_and_again(bench, &upstream, blocks.len()).await?);
        verified.push(verify_again_and_again(bench, genesis, &blocks)?);
        eprintln!("{name} round {}: {:.0}/s of {:.0}/s", round + 1, followed[round], verified[round]);
    }
    drop(upstream);
    remove(&source)?;
    let [follower, verifier] = [followed, verified].map(|seen| median(&seen));
    let rate = |of: &str, value| Figure::new(&format!("{name}_{of}"), value, "blocks/s", None);
    let share = Figure::share(name, follower, verifier, GOAL);
    Ok(vec![share, rate("follower", follower), rate("verifier", verifier)])
}

/// Blocks a second of new followers, each from its first published block to the last.
async fn follow_again_and_again(bench: &Bench, upstream: &Server, count: usize) -> Result<f64> {
    let (mut blocks, mut took) = (0, Duration::ZERO);
    while took < bench.run() {
        let dir = bench.fresh("follower")?;
        disk::settle(&dir)?;
        let follower = bench.follow(&dir, "miden", &upstream.url()).await?;
        let mut tips = Tips::of(&follower.url()).await?;
        let (first, begun) = tips.reach(1, EVERY, LIMIT).await?;
        let (last, ended) = tips.reach(u32::try_from(count)?, EVERY, LIMIT).await?;
        follower.stop().await?;
        remove(&dir)?;
        blocks += last - first;
        took += ended - begun;
    }
    Ok(f64::from(blocks) / took.as_secs_f64())
}

/// Blocks a second of the follower's own checks, in groups as large as its own can be.
fn verify_again_and_again(bench: &Bench, genesis: Commitment, blocks: &[Bytes]) -> Result<f64> {
    let (begun, mut verified) = (Instant::now(), 0);
    while verified == 0 || begun.elapsed() < bench.run() {
        let mut chain = Miden::default().open(genesis, None)?;
        blocks.chunks(GROUP).try_for_each(|group| chain.check_all(group).1)?;
        verified += u32::try_from(blocks.len())?;
    }
    Ok(f64::from(verified) / begun.elapsed().as_secs_f64())
}

/// The blocks of a recording, each a u32 little-endian length and that many bytes.
fn recorded(file: &Path) -> Result<Vec<Bytes>> {
    let mut rest = Bytes::from(fs::read(file).with_context(|| format!("cannot read {}", file.display()))?);
    let mut blocks = Vec::new();
    while let Some(length) = rest.first_chunk::<4>().copied() {
        let end = 4 + u32::from_le_bytes(length) as usize;
        let block = rest.get(4..end).with_context(|| format!("block {} is cut short", blocks.len()))?;
        blocks.push(rest.slice_ref(block));
        rest = rest.slice(end..);
    }
    Ok(blocks)
}

fn genesis(blocks: &[Bytes]) -> Result<Commitment> {
    let parent = blocks.get(1).and_then(|block| block.get(PARENT)?.try_into().ok());
    parent.map(Commitment::from_bytes).context("the recording has no block 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recording_is_verified_from_its_first_block_to_its_last() {
        let blocks = recorded(Path::new(RECORDING)).expect("the recording");
        assert_eq!(blocks.len(), 1001);
        let mut chain = Miden::default().open(genesis(&blocks).expect("named"), None).expect("opens");
        assert!(blocks[..20].iter().all(|block| chain.check(block).is_ok()));
    }
}
