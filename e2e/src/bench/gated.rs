//! One follower of a fleet cut off, and what its Service's readers met meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Cut, LANES, MAX_LAG};
use crate::{
    scene::{SET, Scene},
    story::Watch,
    wait,
};

const POLL: Duration = Duration::from_secs(1);
/// How long readers go on after a follower is unready, to meet the last routes to it.
const LAST_READS: Duration = Duration::from_millis(700);

/// Cuts the next follower off, and calls `tell` at the same moment.
pub(super) async fn cut_once(scene: &Scene, lane: usize, round: usize, tell: impl FnOnce()) -> Result<Cut> {
    let watch = Watch::begin(scene, &format!("{SET}-{}", round % 3), MAX_LAG).await?;
    // A return ends in step with the operator's polling; the next cut is to begin in step neither with it nor with others.
    let step = u32::try_from((round * LANES + lane) * 7 % 20)?;
    tokio::time::sleep(POLL * step / 20).await;
    let (cut, at) = watch.cut()?;
    tell();
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
