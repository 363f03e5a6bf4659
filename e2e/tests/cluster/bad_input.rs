//! Bad input: each ends in a condition that names the object, the cause and the way out, and harms no healthy fleet.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidemark_e2e::{
    observe, programs,
    scene::{Primary, SET, Scene},
    wait,
};

const SOON: Duration = Duration::from_secs(120);
const OTHER_GENESIS: &str = "0x00000000000000000000000000000000000000000000000000000000000000ff";

/// Waits until a condition of a fleet has a status, and returns its message.
pub(crate) async fn condition(scene: &Scene, fleet: &str, kind: &str, status: &str) -> Result<String> {
    wait::until(&format!("{kind} to be {status}"), SOON, async || {
        let object = scene.fleet_named(fleet).await?;
        let conditions = object["status"]["conditions"].as_array().context("there are no conditions yet")?;
        let found = conditions
            .iter()
            .find(|c| c["type"] == kind)
            .with_context(|| format!("no {kind}: {conditions:?}"))?;
        ensure!(found["status"] == status, "{found}");
        Ok(found["message"].as_str().unwrap_or_default().to_owned())
    })
    .await
}

fn names(message: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(message.contains(part), "the message does not say `{part}`: {message}");
    }
    Ok(())
}

async fn fleet_with(scene: &Scene, patch: &Value) -> Result<()> {
    let primary = Primary::Native { body_size: "1KiB" };
    scene.start_primary(&primary, "500ms").await?;
    scene.apply_fleet_with(&primary, patch)
}

/// A primary that nobody answers for: its address and the error are named, and no replica is in.
pub(crate) async fn unreachable_primary(scene: Scene) -> Result<()> {
    let url = format!("http://nowhere.{}.svc.cluster.local:57291", scene.namespace);
    fleet_with(&scene, &json!({"spec": {"primary": {"url": url}}})).await?;
    let message = condition(&scene, SET, "ObservationDegraded", "True").await?;
    names(&message, &[&url])?;
    condition(&scene, SET, "Available", "False").await?;
    let right = format!("http://primary.{}.svc.cluster.local:57291", scene.namespace);
    scene.patch_fleet(json!({"spec": {"primary": {"url": right}}})).await?;
    scene.in_sync(SOON).await
}

/// A pinned genesis that the primary does not have: both values are named.
pub(crate) async fn wrong_genesis(scene: Scene) -> Result<()> {
    fleet_with(&scene, &json!({"spec": {"primary": {"genesis": OTHER_GENESIS}}})).await?;
    let message = condition(&scene, SET, "Degraded", "True").await?;
    names(&message, &[OTHER_GENESIS, "spec.primary.genesis"])?;
    let in_sync = scene.fleet().await?["status"]["inSyncReplicas"].as_u64();
    ensure!(in_sync == Some(0), "nobody is in sync with another chain: {in_sync:?}");
    Ok(())
}

/// An image that cannot be had: pod, container and cause are named; the right image mends it.
pub(crate) async fn image_never_starts(scene: Scene) -> Result<()> {
    let image = "registry.invalid/tidemark-follower:none";
    fleet_with(&scene, &json!({"spec": {"follower": {"image": image}}})).await?;
    let message = condition(&scene, SET, "Degraded", "True").await?;
    names(&message, &[&format!("{SET}-"), "follower", "Image"])?;
    scene.patch_fleet(json!({"spec": {"follower": {"image": scene.target.images.follower}}})).await?;
    scene.in_sync(SOON).await
}

/// Nonsense beside a healthy fleet is refused at the door with its field named, and touches nobody.
pub(crate) async fn nonsense_refused(scene: Scene) -> Result<()> {
    let endpoints = observe::endpoints(&scene.client, &scene.namespace, SET);
    for (patch, field) in [
        (json!({"spec": {"replicas": -1}}), "spec.replicas"),
        (json!({"spec": {"primary": {"url": "ftp://x"}}}), "spec.primary"),
        (json!({"spec": {"health": {"maxLagBlocks": "many"}}}), "spec.health.maxLagBlocks"),
        (json!({"spec": {"health": {"staleAfter": "1ms"}}}), "spec.health"),
        (json!({"spec": {"storage": {"size": "much"}}}), "spec.storage"),
        (json!({"spec": {"follower": {"image": ""}}}), "spec.follower.image"),
        (json!({"spec": {"service": {"type": "Magic"}}}), "spec.service.type"),
    ] {
        let patch = patch.to_string();
        let args =
            ["--namespace", &scene.namespace, "patch", "storereplicaset", SET, "--type=merge", "-p", &patch];
        let refused = programs::run(scene.target.kubectl()?.args(args));
        let message = refused.err().with_context(|| format!("{patch} was accepted"))?.to_string();
        names(&message, &[field])?;
    }
    scene.in_sync(SOON).await?;
    ensure!(endpoints.seen.all().iter().all(|(_, ready)| ready.len() == 3), "all three stayed in");
    Ok(())
}
