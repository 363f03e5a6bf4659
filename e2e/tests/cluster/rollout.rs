//! New templates and rebuilt replicas, with the endpoints watched from outside.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use tidemark_e2e::{
    observe::{self, Observer, ReadyPods},
    scene::{Primary, SET, Scene},
    story::Watch,
    wait,
};

const MAX_LAG: u32 = 2;
const SOON: Duration = Duration::from_secs(180);
/// Below this no rollout may go while the fleet can serve.
const FLOOR: usize = 2;

async fn start(scene: &Scene) -> Result<()> {
    let primary = Primary::Native { body_size: "1KiB" };
    scene.start_primary(&primary, "500ms").await?;
    scene.apply_fleet_with(&primary, &json!({"spec": {"health": {"minServing": FLOOR}}}))?;
    scene.in_sync(SOON).await
}

/// An annotation of the template is enough for another template.
async fn new_template(scene: &Scene, of: &str) -> Result<()> {
    scene.patch_fleet(json!({"spec": {"podTemplate": {"metadata": {"annotations": {"story": of}}}}})).await
}

async fn pods(scene: &Scene) -> Result<Vec<Pod>> {
    let selector = format!("app.kubernetes.io/instance={SET}");
    Ok(scene.pods().list(&ListParams::default().labels(&selector)).await?.items)
}

async fn all_run(scene: &Scene, template: &str) -> Result<()> {
    wait::until("every replica to run the new template", SOON, async || {
        let pods = pods(scene).await?;
        let old: Vec<_> = pods
            .iter()
            .filter(|pod| pod.annotations().get("story").is_none_or(|story| story != template))
            .map(kube::ResourceExt::name_any)
            .collect();
        ensure!(pods.len() == 3 && old.is_empty(), "{} pods, of another template: {old:?}", pods.len());
        Ok(())
    })
    .await?;
    scene.in_sync(SOON).await
}

/// The fewest endpoints that were seen from `start` on.
fn fewest(endpoints: &Observer<ReadyPods>, start: Instant) -> usize {
    let seen = endpoints.seen.all();
    seen.iter().filter(|(at, _)| *at >= start).map(|(_, ready)| ready.len()).min().unwrap_or(0)
}

/// A follower lags while a new template comes: it is replaced first, and nobody is taken out before two others serve.
pub(crate) async fn during_lag(scene: Scene) -> Result<()> {
    start(&scene).await?;
    let watch = Watch::begin(&scene, &format!("{SET}-1"), MAX_LAG).await?;
    let (cut, at) = watch.cut()?;
    watch.left(at, |_| ()).await?;
    let before = pods(&scene).await?;
    let begun = watch.routed_around().await?;
    new_template(&scene, "during-lag").await?;
    wait::until("the lagging replica to be replaced", SOON, async || {
        let now = pods(&scene).await?;
        let changed: Vec<_> =
            now.iter().filter(|pod| !before.iter().any(|old| old.uid() == pod.uid())).collect();
        ensure!(!changed.is_empty(), "nobody was replaced yet");
        ensure!(changed[0].name_any() == watch.victim, "{} was replaced first", changed[0].name_any());
        Ok(())
    })
    .await?;
    // Its successor has another address, which nothing cuts off.
    drop(cut);
    all_run(&scene, "during-lag").await?;
    let fewest = fewest(&watch.endpoints, begun);
    ensure!(fewest >= FLOOR, "only {fewest} served: {:?}", watch.endpoints.seen.all());
    ensure!(watch.stale_reads(begun).is_empty(), "no read was stale: {:?}", watch.stale_reads(begun));
    Ok(())
}

/// Nobody runs, and a template comes with which everybody can: all are made anew at once.
pub(crate) async fn of_a_broken_fleet(scene: Scene) -> Result<()> {
    let primary = Primary::Native { body_size: "1KiB" };
    scene.start_primary(&primary, "500ms").await?;
    scene.apply_fleet_with(&primary, &json!({"spec": {"follower": {"args": ["--no-such-flag"]}}}))?;
    crate::bad_input::condition(&scene, SET, "Progressing", "False").await?;
    scene.patch_fleet(json!({"spec": {"follower": {"args": ["--poll-interval=100ms"]}}})).await?;
    scene.in_sync(SOON).await
}

/// A template with which a follower runs and never comes to follow: one replica is lost to it, and no other.
pub(crate) async fn of_a_bad_template(scene: Scene) -> Result<()> {
    start(&scene).await?;
    scene.patch_fleet(json!({"spec": {"rollout": {"progressDeadline": "20s"}}})).await?;
    let endpoints = observe::endpoints(&scene.client, &scene.namespace, SET);
    let begun = Instant::now();
    scene.patch_fleet(json!({"spec": {"follower": {"args": ["--no-such-flag"]}}})).await?;
    let stalled = async || {
        let fleet = scene.fleet().await?;
        let conditions = fleet["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found =
            conditions.iter().find(|condition| condition["type"] == "Progressing").context("none")?.clone();
        ensure!(found["reason"] == "RolloutStalled", "{found}");
        Ok(())
    };
    wait::until("the rollout to be stalled", SOON, stalled).await?;
    let good = endpoints.seen.last().unwrap_or_default();
    ensure!(good.len() == FLOOR, "two still serve: {good:?}");
    scene.patch_fleet(json!({"spec": {"follower": {"args": ["--poll-interval=100ms"]}}})).await?;
    scene.in_sync(SOON).await?;
    let fewest = fewest(&endpoints, begun);
    ensure!(fewest >= FLOOR, "only {fewest} served: {:?}", endpoints.seen.all());
    Ok(())
}

/// One replica gets a new pod on a new volume; the others keep theirs.
pub(crate) async fn rebuilt(scene: Scene) -> Result<()> {
    start(&scene).await?;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let victim = format!("{SET}-1");
    let claim = async |ordinal: u32| anyhow::Ok(claims.get(&format!("data-{SET}-{ordinal}")).await?.uid());
    let before = [claim(0).await?, claim(1).await?, claim(2).await?];
    let pod = scene.pods().get(&victim).await?.uid();
    let endpoints = observe::endpoints(&scene.client, &scene.namespace, SET);
    let begun = Instant::now();
    let asked = Patch::Merge(json!({"metadata": {"annotations": {"tidemark.dev/rebuild": ""}}}));
    scene.pods().patch(&victim, &PatchParams::default(), &asked).await?;
    wait::until("another volume", SOON, async || {
        let now = claim(1).await?;
        ensure!(now != before[1], "it is still the old one");
        Ok(())
    })
    .await?;
    scene.in_sync(SOON).await?;
    ensure!(scene.pods().get(&victim).await?.uid() != pod, "another pod");
    ensure!(
        [claim(0).await?, claim(2).await?] == [before[0].clone(), before[2].clone()],
        "the others' volumes"
    );
    let fewest = fewest(&endpoints, begun);
    ensure!(fewest >= FLOOR, "only {fewest} served: {:?}", endpoints.seen.all());
    Ok(())
}
