//! A node is drained while a follower on it lags.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;
use tidemark_e2e::{
    operators, programs,
    scene::{Primary, SET, Scene},
    story::Watch,
    wait,
};

const MAX_LAG: u32 = 2;
const FLOOR: usize = 2;
const SOON: Duration = Duration::from_secs(120);

/// The drain ends, though the lagging pod has spent the budget of disruptions; the others stay until it is replaced.
pub(crate) async fn with_a_lagging_pod(scene: Scene) -> Result<()> {
    let primary = Primary::Native { body_size: "1KiB" };
    scene.start_primary(&primary, "500ms").await?;
    // Pods whose volume is on a node cannot leave it.
    let spec = json!({"storage": {"size": null, "emptyDir": {}}, "health": {"minServing": FLOOR}});
    scene.apply_fleet_with(&primary, &json!({ "spec": spec }))?;
    scene.in_sync(SOON).await?;
    let (node, victim) = away_from_the_primary(&scene).await?;
    let uid = scene.pods().get(&victim).await?.uid();
    let watch = Watch::begin(&scene, &victim, MAX_LAG).await?;
    let (cut, at) = watch.cut()?;
    watch.left(at, |_| ()).await?;

    let begun = Instant::now();
    let (drained, fewest) = operators::fewest_ready_during(&scene.client, drain(&scene, &node)).await;
    programs::run(scene.target.kubectl()?.args(["uncordon", &node]))?;
    drained.with_context(|| format!("{node} cannot be drained"))?;
    ensure!(fewest > 0, "for a moment no operator was ready");
    drop(cut);
    ensure!(scene.pods().get(&victim).await?.uid() != uid, "the lagging pod was evicted");
    scene.in_sync(SOON).await?;
    operators::all_ready(&scene.client).await?;
    let served = watch.endpoints.seen.all();
    let fewest = served.iter().filter(|(at, _)| *at >= begun).map(|(_, ready)| ready.len()).min();
    ensure!(fewest.is_none_or(|fewest| fewest >= FLOOR), "fewer than {FLOOR} were served: {served:?}");
    let failed = watch.failed_reads(begun);
    ensure!(failed.is_empty(), "reads got no answer: {failed:?}");
    Ok(())
}

/// The node without the primary, whose volume cannot leave it, and a follower there.
async fn away_from_the_primary(scene: &Scene) -> Result<(String, String)> {
    let node_of = |pod: &Pod| pod.spec.clone().unwrap_or_default().node_name.unwrap_or_default();
    let primary = node_of(&scene.pods().get("primary-0").await?);
    let nodes: Api<Node> = Api::all(scene.client.clone());
    let nodes = nodes.list(&ListParams::default()).await?;
    let node = nodes.iter().map(ResourceExt::name_any).find(|node| *node != primary);
    let node = node.context("there is one node only")?;
    let followers = ListParams::default().labels(&format!("app.kubernetes.io/instance={SET}"));
    let followers = scene.pods().list(&followers).await?;
    let victim = followers.iter().find(|pod| node_of(pod) == node);
    Ok((node, victim.context("no follower runs away from the primary")?.name_any()))
}

/// As an administrator would.
async fn drain(scene: &Scene, node: &str) -> Result<()> {
    let mut drain = scene.target.kubectl()?;
    drain.args(["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=90s"]);
    tokio::task::spawn_blocking(move || programs::run(&mut drain)).await??;
    // The evicted are deleted by now; those who wait for their successors look at the fleet.
    wait::until("the node's followers to be gone", SOON, async || {
        let selector = format!("app.kubernetes.io/instance={SET}");
        let there = ListParams::default().labels(&selector).fields(&format!("spec.nodeName={node}"));
        let there = scene.pods().list(&there).await?.items.len();
        ensure!(there == 0, "{there} are there");
        Ok(())
    })
    .await
}
