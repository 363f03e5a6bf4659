//! `make bench`: figures of the real path on a real cluster.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tidemark_report::{Figure, join_json, percentile};

use crate::{
    install,
    scene::{Primary, SET, Scene},
    story::Watch,
    target::Target,
    wait,
};

const NAMESPACE: &str = "tidemark-bench";
const MAX_LAG: u32 = 2;
const INTERVAL: &str = "250ms";
const POLL: Duration = Duration::from_secs(1);
const GOAL: Duration = Duration::from_millis(1500);
/// How long readers go on after a follower is unready, to meet the last routes to it.
const LAST_READS: Duration = Duration::from_millis(700);

/// What one cut showed, both counted from the crossing.
struct Cut {
    unready: Duration,
    last_stale: Duration,
}

/// Cuts followers off `cuts` times, prints a line a figure and joins them to those in `json`.
///
/// # Errors
/// If a cut or a return does not happen; a goal that is missed is reported, not an error.
pub async fn run(target: &Target, cuts: usize, json: &Path) -> Result<()> {
    ensure!(target.node_access, "the benchmark cuts pods' networks and so needs the local cluster");
    install::operator(target)?;
    let scene = Scene::set(target, NAMESPACE).await?;
    let primary = Primary::Native { body_size: "4KiB" };
    scene.start_primary(&primary, INTERVAL).await?;
    scene.apply_fleet(&primary)?;
    scene.in_sync(Duration::from_secs(120)).await?;
    let seen = measure(&scene, cuts).await?;
    scene.strike().await?;
    let figures = figures(&seen);
    figures.iter().for_each(|figure| println!("{}", figure.line()));
    join_json(&figures, json)
}

async fn measure(scene: &Scene, cuts: usize) -> Result<Vec<Cut>> {
    let mut seen = Vec::new();
    for round in 0..cuts {
        let victim = format!("{SET}-{}", round % 3);
        // A return ends in step with the operator's polling; the next cut is not to begin in step with it.
        tokio::time::sleep(POLL * u32::try_from(round * 7 % 20)? / 20).await;
        let one = cut_once(scene, &victim).await?;
        eprintln!("cut {} of {cuts}: {victim} unready after {:.0?}", round + 1, one.unready);
        seen.push(one);
    }
    Ok(seen)
}

async fn cut_once(scene: &Scene, victim: &str) -> Result<Cut> {
    let watch = Watch::begin(scene, victim, MAX_LAG).await?;
    let (cut, at) = watch.cut()?;
    let moments = watch.left(at, |_| ()).await?;
    let end = moments.unready + LAST_READS;
    wait::until("the last reads", Duration::from_secs(10), async || {
        ensure!(watch.reads.seen.last().is_some_and(|read| read.asked >= end), "reads go on");
        Ok(())
    })
    .await?;
    let last_stale = watch.stale_reads(moments.crossed).iter().map(|read| read.asked).max();
    cut.heal()?;
    watch.returned(Instant::now()).await?;
    let after = |moment: Instant| moment.duration_since(moments.crossed);
    Ok(Cut { unready: after(moments.unready), last_stale: last_stale.map_or(Duration::ZERO, after) })
}

fn figures(seen: &[Cut]) -> Vec<Figure> {
    let unready: Vec<_> = seen.iter().map(|cut| cut.unready).collect();
    let stale: Vec<_> = seen.iter().map(|cut| cut.last_stale).collect();
    let mut figures = vec![Figure::count("cuts", seen.len())];
    for (name, values) in [("crossing_to_unready_poll", unready), ("crossing_to_last_stale_read_poll", stale)]
    {
        for (percent, goal) in [(50, None), (99, Some(GOAL))] {
            let value = percentile(&values, percent).unwrap_or(Duration::MAX);
            figures.push(Figure::milliseconds(&format!("{name}_p{percent}"), value, goal));
        }
    }
    figures
}
