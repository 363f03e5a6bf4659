//! Pods and containers that come and go.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{PersistentVolumeClaim, Service, ServiceAccount},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde::de::DeserializeOwned;
use tidemark_e2e::{
    fault, observe, programs,
    scene::{Primary, SET, Scene},
    wait,
};

const SOON: Duration = Duration::from_secs(120);

/// A primary and a fleet of three behind it, in sync.
pub(crate) async fn start(scene: &Scene) -> Result<()> {
    let primary = Primary::Native { body_size: "1KiB" };
    scene.start_primary(&primary, "500ms").await?;
    scene.apply_fleet(&primary)?;
    scene.in_sync(SOON).await
}

/// The process of a follower is killed: its container restarts in the same pod, and its gate starts over.
pub(crate) async fn container_restarted(scene: Scene) -> Result<()> {
    let victim = format!("{SET}-2");
    let uid = scene.pods().get(&victim).await?.uid();
    let gate = observe::gate(&scene.client, &scene.namespace, &victim);
    wait::until("the gate to be seen open", SOON, async || {
        ensure!(gate.seen.last().is_some_and(|gate| gate.open == Some(true)), "{:?}", gate.seen.last());
        Ok(())
    })
    .await?;
    let before = gate.seen.last().and_then(|gate| gate.container);
    fault::kill_in_pod(&scene.namespace, &victim, "tidemark-follower")?;
    wait::until("the gate to be open for the new container", SOON, async || {
        let now = gate.seen.last().context("the pod is not seen")?;
        ensure!(now.open == Some(true) && now.container != before, "{now:?}, before {before:?}");
        Ok(())
    })
    .await?;
    let pod = scene.pods().get(&victim).await?;
    ensure!(pod.uid() == uid, "the pod itself was not replaced");
    let restarts =
        pod.status.and_then(|s| s.container_statuses).unwrap_or_default().pop().map(|c| c.restart_count);
    ensure!(restarts == Some(1), "the container was restarted once: {restarts:?}");
    scene.in_sync(SOON).await
}

/// A follower's pod is deleted: its successor is in sync again, on the same volume.
pub(crate) async fn pod_deleted(scene: Scene) -> Result<()> {
    let victim = format!("{SET}-0");
    let (uid, claim) = (scene.pods().get(&victim).await?.uid(), claims(&scene).await?);
    let endpoints = observe::endpoints(&scene.client, &scene.namespace, SET);
    scene.pods().delete(&victim, &DeleteParams::default()).await?;
    wait::until("another pod of that name", SOON, async || {
        ensure!(scene.pods().get(&victim).await?.uid() != uid, "it is still the old one");
        Ok(())
    })
    .await?;
    scene.in_sync(SOON).await?;
    ensure!(claims(&scene).await? == claim, "the volumes are the same");
    let others = |ready: &Vec<String>| [1, 2].iter().all(|n| ready.contains(&format!("{SET}-{n}")));
    ensure!(endpoints.seen.all().iter().all(|(_, ready)| others(ready)), "the others stayed in");
    Ok(())
}

async fn claims(scene: &Scene) -> Result<Vec<Option<String>>> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(scene.client.clone(), &scene.namespace);
    Ok(claims.list(&ListParams::default()).await?.iter().map(ResourceExt::uid).collect())
}

/// `kubectl scale` up, down, to nothing and back, and the fleet follows.
pub(crate) async fn scaled(scene: Scene) -> Result<()> {
    for replicas in ["4", "2", "0", "3"] {
        let scale =
            ["--namespace", &scene.namespace, "scale", "storereplicaset", SET, "--replicas", replicas];
        programs::run(scene.target.kubectl()?.args(scale))?;
        wait::until("the pods to be as many", SOON, async || {
            let pods = scene.followers().await?.len();
            ensure!(pods.to_string() == replicas, "there are {pods}");
            Ok(())
        })
        .await?;
        scene.in_sync(SOON).await?;
    }
    Ok(())
}

/// Deleting a fleet deletes what was made for it; volumes stay, as `retention: Retain` says.
pub(crate) async fn fleet_deleted(scene: Scene) -> Result<()> {
    start(&scene).await?;
    let delete = ["--namespace", &scene.namespace, "delete", "storereplicaset", SET];
    programs::run(scene.target.kubectl()?.args(delete))?;
    wait::until("everything of the fleet to be gone", SOON, async || {
        ensure!(scene.followers().await?.is_empty(), "pods are left");
        for left in [
            owned::<StatefulSet>(&scene).await?,
            owned::<Service>(&scene).await?,
            owned::<PodDisruptionBudget>(&scene).await?,
            owned::<ServiceAccount>(&scene).await?,
        ] {
            ensure!(left.is_empty(), "{left:?} are left");
        }
        Ok(())
    })
    .await?;
    // Three of the fleet and the primary's own.
    ensure!(claims(&scene).await?.len() == 4, "the volumes stay");
    Ok(())
}

/// The names of the objects of a kind that were made for the fleet.
async fn owned<K>(scene: &Scene) -> Result<Vec<String>>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
    K::DynamicType: Default,
{
    let objects: Api<K> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let labels = format!("app.kubernetes.io/instance={SET}");
    Ok(objects
        .list(&ListParams::default().labels(&labels))
        .await?
        .iter()
        .map(ResourceExt::name_any)
        .collect())
}
