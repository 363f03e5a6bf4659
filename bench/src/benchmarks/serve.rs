//! What a second of the server's CPU serves, beside what it serves in a bare tonic server.

use anyhow::Result;
use tidemark_report::{Figure, median};

use crate::{
    bench::{Bench, remove},
    chain::Chain,
    load::{Kind, Load},
    machine::server::Server,
};

/// What of a bare server must be reached, in percent.
const GOAL: f64 = 60.0;
/// Sixteen times what the follower's cache of blocks holds, 16 MiB.
const BYTES: usize = 256 << 20;

/// Takes turns between a follower that serves blocks of `size` bytes and a bare server.
pub(super) async fn run(bench: &Bench, name: &str, kind: Kind, size: usize) -> Result<Vec<Figure>> {
    let dir = bench.fresh(name)?;
    let blocks = u32::try_from(BYTES.div_ceil(size))?;
    let mut chain = Chain::opaque(size);
    chain.fill(&dir, blocks)?;
    let servers = [bench.serve(&dir, chain.format).await?, bench.bare(size).await?];
    let mut seen = [Vec::new(), Vec::new()];
    for round in 0..bench.rounds() {
        for (server, seen) in servers.iter().zip(&mut seen) {
            seen.push(measure(bench, server, kind, blocks).await?);
        }
        eprintln!("{name} round {}: {:.0} of {:.0}", round + 1, seen[0][round], seen[1][round]);
    }
    drop(servers);
    remove(&dir)?;
    let [follower, bare] = seen.map(|seen| median(&seen));
    let (unit, scale) = unit(kind);
    Ok(vec![
        Figure::share(name, follower, bare, GOAL),
        Figure::new(&format!("{name}_follower"), follower / scale, unit, None),
        Figure::new(&format!("{name}_bare"), bare / scale, unit, None),
    ])
}

async fn measure(bench: &Bench, server: &Server, kind: Kind, blocks: u32) -> Result<f64> {
    let mut load = Load::start(&server.url(), kind, blocks).await?;
    load.per_cpu_second(server, bench.run() / 4).await
}

/// What is counted, and how many of it make one.
const fn unit(kind: Kind) -> (&'static str, f64) {
    match kind {
        Kind::Unary => ("requests/CPU-s", 1.0),
        Kind::Stream => ("MiB/CPU-s", (1 << 20) as f64),
    }
}
