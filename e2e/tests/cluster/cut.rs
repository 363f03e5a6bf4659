//! Followers cut off, and what happens to everybody else meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use tidemark_e2e::{
    demo, fault, install,
    scene::{Primary, SET, Scene},
    story::Watch,
    wait,
};

const MAX_LAG: u32 = 2;
const SOON: Duration = Duration::from_secs(60);

/// The demo's story, every promise asserted.
pub(crate) async fn leaves_and_returns(scene: Scene) -> Result<()> {
    let outcome = demo::play(&scene, |_| ()).await?;
    demo::check(&outcome)?;
    let moments = outcome.moments;
    ensure!(outcome.compared > 3, "blocks of all followers were compared: {}", outcome.compared);
    ensure!(moments.crossed > moments.cut && moments.gate_false > moments.crossed, "{moments:?}");
    ensure!(outcome.returned_after < Duration::from_secs(30), "returned after {:?}", outcome.returned_after);
    Ok(())
}

/// The operator dies, by SIGKILL, while a follower is out: nothing changes until it is back, nor then.
pub(crate) async fn operator_killed_during_lag(scene: Scene) -> Result<()> {
    let (watch, cut) = lagging(&scene).await?;
    let killed = Instant::now();
    kill_operator(&scene).await?;
    operator_ready_again(&scene).await?;
    judged_since(&scene, watch.primary.seen.last().unwrap_or_default()).await?;
    ensure!(
        watch.gate.seen.last().is_some_and(|gate| gate.open == Some(false)),
        "the lagging follower stayed out"
    );
    let others_in =
        watch.endpoints.seen.all().into_iter().filter(|(at, _)| *at >= killed).all(|(_, in_)| in_.len() == 2);
    ensure!(others_in, "both fresh followers stayed in: {:?}", watch.endpoints.seen.all());
    ensure!(watch.failed_reads(killed).is_empty(), "no read failed: {:?}", watch.failed_reads(killed));
    ensure!(watch.stale_reads(killed).is_empty(), "no read was stale: {:?}", watch.stale_reads(killed));
    cut.heal()?;
    watch.returned(Instant::now()).await?;
    Ok(())
}

/// A follower begins to lag while no operator runs: the gate stands still, and falls once one runs again.
pub(crate) async fn lag_begins_without_operator(scene: Scene) -> Result<()> {
    start(&scene).await?;
    let victim = format!("{SET}-1");
    let watch = Watch::begin(&scene, &victim, MAX_LAG).await?;
    scale_operator(&scene, 0).await?;
    let (cut, at) = watch.cut()?;
    wait::until("the follower to be far behind", SOON, async || {
        ensure!(watch.lag() > Some(MAX_LAG * 4), "lag is {:?}", watch.lag());
        Ok(())
    })
    .await?;
    ensure!(
        watch.gate.seen.last().is_some_and(|gate| gate.open == Some(true)),
        "without an operator gates stand still"
    );
    scale_operator(&scene, 1).await?;
    watch.left(at, |_| ()).await?;
    let in_ = watch.endpoints.seen.last().unwrap_or_default();
    ensure!(in_.len() == 2, "the new operator took out the lagging follower alone: {in_:?} are in");
    cut.heal()?;
    watch.returned(Instant::now()).await?;
    Ok(())
}

/// The primary goes away: the chain stalls, which is a condition and takes nobody out.
pub(crate) async fn primary_gone(scene: Scene) -> Result<()> {
    start(&scene).await?;
    let watch = Watch::begin(&scene, &format!("{SET}-0"), MAX_LAG).await?;
    scene.patch_fleet(json!({"spec": {"health": {"stallAfter": "5s"}}})).await?;
    let gone = Instant::now();
    scale_primary(&scene, 0).await?;
    condition(&scene, "ChainStalled", "True").await?;
    condition(&scene, "ObservationDegraded", "True").await?;
    let all_in =
        watch.endpoints.seen.all().into_iter().filter(|(at, _)| *at >= gone).all(|(_, in_)| in_.len() == 3);
    ensure!(all_in, "all three stayed in: {:?}", watch.endpoints.seen.all());
    scale_primary(&scene, 1).await?;
    condition(&scene, "ChainStalled", "False").await?;
    condition(&scene, "ObservationDegraded", "False").await?;
    scene.in_sync(SOON).await
}

async fn start(scene: &Scene) -> Result<()> {
    let primary = Primary::Native { body_size: "1KiB" };
    scene.start_primary(&primary, "500ms").await?;
    scene.apply_fleet(&primary)?;
    scene.in_sync(SOON * 2).await
}

async fn lagging(scene: &Scene) -> Result<(Watch, fault::Cut)> {
    start(scene).await?;
    let watch = Watch::begin(scene, &format!("{SET}-1"), MAX_LAG).await?;
    let (cut, at) = watch.cut()?;
    watch.left(at, |_| ()).await?;
    Ok((watch, cut))
}

async fn operator_pod(scene: &Scene) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), install::NAMESPACE);
    let pods = pods.list(&ListParams::default().labels("app.kubernetes.io/name=tidemark-operator")).await?;
    pods.items.into_iter().next().context("no operator pod")
}

async fn kill_operator(scene: &Scene) -> Result<()> {
    let pod = operator_pod(scene).await?.name_any();
    fault::kill_in_pod(install::NAMESPACE, &pod, "tidemark-operator")
}

/// Waits until kubelet has restarted the operator's container and it is ready again.
async fn operator_ready_again(scene: &Scene) -> Result<()> {
    wait::until("the operator to run again", SOON, async || {
        let status = operator_pod(scene).await?.status.unwrap_or_default();
        let container = status.container_statuses.unwrap_or_default().pop().context("no container status")?;
        ensure!(container.ready && container.restart_count > 0, "{container:?}");
        Ok(())
    })
    .await
}

/// Waits until the operator has published a fleet tip above `tip`, so that it has judged since.
async fn judged_since(scene: &Scene, tip: u32) -> Result<()> {
    wait::until("a fleet tip published since", SOON, async || {
        let seen = scene.fleet().await?["status"]["fleetTip"].as_u64();
        ensure!(seen > Some(u64::from(tip)), "fleetTip is {seen:?}, want above {tip}");
        Ok(())
    })
    .await
}

async fn scale_operator(scene: &Scene, replicas: u32) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(scene.client.clone(), install::NAMESPACE);
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    deployments.patch(install::RELEASE, &PatchParams::default(), &patch).await?;
    wait::until("the operator to be scaled", SOON, async || {
        let running = operator_pod(scene).await.is_ok();
        ensure!(running == (replicas > 0), "an operator pod is there: {running}");
        Ok(())
    })
    .await
}

async fn scale_primary(scene: &Scene, replicas: u32) -> Result<()> {
    let sets: Api<k8s_openapi::api::apps::v1::StatefulSet> =
        Api::namespaced(scene.client.clone(), &scene.namespace);
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    sets.patch("primary", &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn condition(scene: &Scene, kind: &str, status: &str) -> Result<()> {
    crate::bad_input::condition(scene, SET, kind, status).await?;
    Ok(())
}
