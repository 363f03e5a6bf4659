//! `make bench`: how fast a lagging follower leaves its Service on a real cluster, beside the same followers behind a
//! plain readiness probe.
//!
//! Several lanes at a time, each with a primary and fleets of its own: what happens in one is nothing to the others.

use std::{path::Path, time::Duration};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use tidemark_report::{Figure, join_json, percentile};
use tokio::sync::watch;

use crate::{
    install,
    scene::{Primary, Scene},
    target::Target,
};

mod gated;
mod plain;

const NAMESPACE: &str = "tidemark-bench";
/// Two cores carry no more without being measured themselves.
const LANES: usize = 3;
const MAX_LAG: u32 = 2;
const INTERVAL: &str = "250ms";
const GOAL: Duration = Duration::from_millis(1500);
const STARTED_WITHIN: Duration = Duration::from_secs(120);

/// What one cut showed, both counted from the crossing.
#[derive(Clone, Copy, Debug)]
struct Cut {
    unready: Duration,
    last_stale: Duration,
}

/// What was seen in one lane: of the fleet, and of the plain one.
struct Seen {
    gated: Vec<Cut>,
    plain: Vec<Duration>,
}

/// Cuts followers off `cuts` times, prints a line a figure and joins them to those in `json`.
///
/// # Errors
/// If a cut or a return does not happen; a goal that is missed is reported, not an error.
pub async fn run(target: &Target, cuts: usize, json: &Path) -> Result<()> {
    ensure!(target.node_access, "the benchmark cuts pods' networks and so needs the local cluster");
    install::operator(target)?;
    let scenes = try_join_all((1..=LANES).map(|lane| start(target, lane))).await?;
    let lanes = scenes.iter().enumerate().map(|(lane, scene)| play(scene, lane, share(cuts, lane)));
    let seen = try_join_all(lanes).await?;
    try_join_all(scenes.iter().map(Scene::strike)).await?;
    let figures = figures(&seen);
    figures.iter().for_each(|figure| println!("{}", figure.line()));
    join_json(&figures, json)
}

/// The cuts of one lane.
const fn share(cuts: usize, lane: usize) -> usize {
    cuts / LANES + if lane < cuts % LANES { 1 } else { 0 }
}

async fn start(target: &Target, lane: usize) -> Result<Scene> {
    let scene = Scene::set(target, &format!("{NAMESPACE}-{lane}")).await?;
    let primary = Primary::Native { body_size: "4KiB" };
    scene.start_primary(&primary, INTERVAL).await?;
    scene.apply_fleet(&primary)?;
    plain::apply(&scene)?;
    scene.in_sync(STARTED_WITHIN).await?;
    plain::all_ready(&scene, STARTED_WITHIN).await?;
    Ok(scene)
}

/// Cuts one follower of the fleet off after the other, each time with a plain one unless that is still out.
async fn play(scene: &Scene, lane: usize, cuts: usize) -> Result<Seen> {
    let (tell, told) = watch::channel(0);
    let (gated, plain) = tokio::try_join!(gated(scene, lane, cuts, tell), plain::cut_too(scene, told))?;
    Ok(Seen { gated, plain })
}

async fn gated(scene: &Scene, lane: usize, cuts: usize, tell: watch::Sender<usize>) -> Result<Vec<Cut>> {
    let mut seen = Vec::new();
    for round in 0..cuts {
        let cut = gated::cut_once(scene, lane, round, || {
            tell.send_replace(round);
        })
        .await?;
        eprintln!("lane {}, cut {} of {cuts}: unready after {:.0?}", lane + 1, round + 1, cut.unready);
        seen.push(cut);
    }
    Ok(seen)
}

fn figures(seen: &[Seen]) -> Vec<Figure> {
    let gated = || seen.iter().flat_map(|seen| &seen.gated);
    let unready: Vec<_> = gated().map(|cut| cut.unready).collect();
    let stale: Vec<_> = gated().map(|cut| cut.last_stale).collect();
    let plain: Vec<_> = seen.iter().flat_map(|seen| &seen.plain).copied().collect();
    let mut figures =
        vec![Figure::count("cuts", unready.len()), Figure::count("cuts_plain_probe", plain.len())];
    for (name, values, goal) in [
        ("crossing_to_unready_poll", unready, Some(GOAL)),
        ("crossing_to_last_stale_read_poll", stale, Some(GOAL)),
        ("crossing_to_unready_plain_probe", plain, None),
    ] {
        for (percent, goal) in [(50, None), (99, goal)] {
            let value = percentile(&values, percent).unwrap_or(Duration::MAX);
            figures.push(Figure::milliseconds(&format!("{name}_p{percent}"), value, goal));
        }
    }
    figures
}
