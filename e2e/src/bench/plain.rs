//! The same followers without Tidemark, behind a readiness probe at the field's default.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kube::api::ListParams;
use tokio::sync::watch;

use super::MAX_LAG;
use crate::{
    fault::Cut,
    observe,
    scene::{self, Scene},
    wait,
};

const NAME: &str = "plain";
const LOOK: Duration = Duration::from_millis(20);
/// Three probes and a half, and some time to cross the threshold.
const LEFT_WITHIN: Duration = Duration::from_secs(60);
const RETURNED_WITHIN: Duration = Duration::from_secs(60);

/// Starts them, without waiting.
pub(super) fn apply(scene: &Scene) -> Result<()> {
    let values = [("IMAGE", scene.target.images.follower.as_str())];
    scene.target.apply(&scene.namespace, &Scene::manifest("plain.yaml", &values)?)
}

/// Waits until all of them are Ready.
pub(super) async fn all_ready(scene: &Scene, limit: Duration) -> Result<()> {
    wait::until("the plain followers to be Ready", limit, async || {
        let pods = scene.pods().list(&ListParams::default().labels(&format!("app={NAME}"))).await?;
        let ready = pods.iter().filter(|pod| scene::condition(pod, "Ready") == Some(true)).count();
        ensure!(ready == 3, "{ready} of 3 are");
        Ok(())
    })
    .await
}

/// Cuts the next one off at each cut of the fleet, but for those that come while one is still out, and says how long each
/// took from the crossing to being unready.
pub(super) async fn cut_too(scene: &Scene, mut cuts: watch::Receiver<usize>) -> Result<Vec<Duration>> {
    let mut seen = Vec::new();
    cuts.mark_unchanged();
    while cuts.changed().await.is_ok() {
        seen.push(cut_once(scene, &format!("{NAME}-{}", seen.len() % 3)).await?);
        cuts.mark_unchanged();
    }
    Ok(seen)
}

/// Cuts one off until it is unready, and waits until it is back.
async fn cut_once(scene: &Scene, pod: &str) -> Result<Duration> {
    let addresses = scene.primary_addresses().await?;
    let status = scene.pods().get(pod).await?.status.unwrap_or_default();
    let address = status.pod_ip.with_context(|| format!("{pod} has no address"))?;
    let (primary, direct) = (observe::tips(&addresses[0], LOOK), observe::tips(&address, LOOK));
    let endpoints = observe::endpoints(&scene.client, &scene.namespace, NAME);
    let cut = Cut::between(&scene.namespace, pod, &addresses)?;
    let at = Instant::now();
    let crossed = wait::until("the plain follower to lag", LEFT_WITHIN, async || {
        let stuck_at = direct.seen.last().context("not heard yet")?;
        primary.seen.first_since(at, |tip| *tip > stuck_at + MAX_LAG).context("it does not lag yet")
    })
    .await?;
    let unready = wait::until("the plain follower to be unready", LEFT_WITHIN, async || {
        let gone = endpoints.seen.first_since(crossed, |ready| !ready.iter().any(|one| one == pod));
        gone.with_context(|| format!("ready are {:?}", endpoints.seen.last()))
    })
    .await?;
    cut.heal()?;
    let healed = Instant::now();
    wait::until("the plain follower to be back", RETURNED_WITHIN, async || {
        let back = endpoints.seen.first_since(healed, |ready| ready.iter().any(|one| one == pod));
        back.with_context(|| format!("ready are {:?}", endpoints.seen.last()))
    })
    .await?;
    Ok(unready - crossed)
}
