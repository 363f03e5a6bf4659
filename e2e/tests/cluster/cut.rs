//! Followers cut off, and what happens to everybody else meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use tidemark_e2e::{
    fault, install, operators,
    scene::{SET, Scene},
    story::Watch,
    wait,
};

const MAX_LAG: u32 = 2;
const SOON: Duration = Duration::from_secs(60);
/// Long before a lease that nobody released runs out, which takes 15 s.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(8);

/// Another operator leads while a follower is out, because the first was killed or because its pod was deleted: nothing
/// changes meanwhile, nor then.
pub(crate) async fn leader_changes_during_lag(scene: Scene) -> Result<()> {
    let (watch, cut) = lagging(&scene).await?;
    let since = watch.routed_around().await?;
    let killed = operators::kill_leader(&scene.client).await?;
    let next = operators::taken_over(&scene.client, &killed).await?;
    judged_since(&scene, watch.primary.seen.last().unwrap_or_default()).await?;

    operators::all_ready(&scene.client).await?;
    let handover = Instant::now();
    let leader = operators::leader(&scene.client).await?;
    operators::pods(&scene.client).delete(&leader, &DeleteParams::default()).await?;
    operators::taken_over(&scene.client, &next).await?;
    let took = handover.elapsed();
    ensure!(took < HANDED_OVER_WITHIN, "the lease was released, but taken after {took:?} only");
    judged_since(&scene, watch.primary.seen.last().unwrap_or_default()).await?;
    nobody_moved(&watch, since)?;

    cut.heal()?;
    watch.returned(Instant::now()).await?;
    operators::all_ready(&scene.client).await
}

/// The lagging follower stayed out, both others in, and their readers noticed nothing.
fn nobody_moved(watch: &Watch, since: Instant) -> Result<()> {
    ensure!(
        watch.gate.seen.last().is_some_and(|gate| gate.open == Some(false)),
        "the lagging follower came in"
    );
    let all = watch.endpoints.seen.all();
    ensure!(all.iter().all(|(at, ready)| *at < since || ready.len() == 2), "the fresh ones left: {all:?}");
    let (failed, stale) = (watch.failed_reads(since), watch.stale_reads(since));
    ensure!(failed.is_empty(), "reads got no answer: {failed:?}");
    ensure!(stale.is_empty(), "reads were stale: {stale:?}");
    Ok(())
}

/// A follower begins to lag while no operator runs: the gate stands still, and falls once one runs again.
pub(crate) async fn lag_begins_without_operator(scene: Scene) -> Result<()> {
    let victim = format!("{SET}-1");
    let watch = Watch::begin(&scene, &victim, MAX_LAG).await?;
    let operators = scale_operator(&scene, 0).await?;
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
    scale_operator(&scene, operators).await?;
    watch.left(at, |_| ()).await?;
    let in_ = watch.endpoints.seen.last().unwrap_or_default();
    ensure!(in_.len() == 2, "the new operator took out the lagging follower alone: {in_:?} are in");
    cut.heal()?;
    watch.returned(Instant::now()).await?;
    Ok(())
}

/// The primary goes away: the chain stalls, which is a condition and takes nobody out.
pub(crate) async fn primary_gone(scene: Scene) -> Result<()> {
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
    scene.patch_fleet(json!({"spec": {"health": {"stallAfter": "60s"}}})).await?;
    scene.in_sync(SOON).await
}

async fn lagging(scene: &Scene) -> Result<(Watch, fault::Cut)> {
    let watch = Watch::begin(scene, &format!("{SET}-1"), MAX_LAG).await?;
    let (cut, at) = watch.cut()?;
    watch.left(at, |_| ()).await?;
    Ok((watch, cut))
}

/// Waits until the leader judges by a fleet tip above `tip`, so that it has judged since.
async fn judged_since(scene: &Scene, tip: u32) -> Result<()> {
    wait::until("the leader to have judged since", SOON, async || {
        let seen = operators::judged_tip(&scene.client, &scene.namespace, SET).await?;
        ensure!(seen > u64::from(tip), "it judges by {seen}, want above {tip}");
        Ok(())
    })
    .await
}

/// Sets how many operators run, and says how many did.
async fn scale_operator(scene: &Scene, replicas: i32) -> Result<i32> {
    let deployments: Api<Deployment> = Api::namespaced(scene.client.clone(), install::NAMESPACE);
    let before = deployments.get(install::RELEASE).await?.spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    deployments.patch(install::RELEASE, &PatchParams::default(), &patch).await?;
    wait::until("the operator to be scaled", SOON, async || {
        let running = operators::all(&scene.client).await?.len();
        ensure!(usize::try_from(replicas)? == running, "{running} run");
        Ok(())
    })
    .await?;
    Ok(before)
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
