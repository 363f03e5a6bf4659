//! Volumes that grow while their pods run on.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::PersistentVolumeClaim, storage::v1::StorageClass};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, ObjectMeta},
};
use serde_json::json;
use tidemark_e2e::{
    observe,
    scene::{Primary, SET, Scene},
    wait,
};

const SOON: Duration = Duration::from_secs(120);

/// The claims of a running fleet are enlarged, and no pod restarts. The local provisioner resizes nothing, so only what the
/// claims ask for changes.
pub(crate) async fn grown(scene: Scene) -> Result<()> {
    let classes: Api<StorageClass> = Api::all(scene.client.clone());
    let class = expandable(&classes, &scene.namespace).await?;
    let played = grown_in(&scene, &class).await;
    // A class belongs to no namespace, so nobody else removes it.
    let removed = classes.delete(&class, &DeleteParams::default()).await.context("the StorageClass stays");
    played.and(removed.map(drop))
}

/// The default StorageClass under another name, whose volumes may grow.
async fn expandable(classes: &Api<StorageClass>, namespace: &str) -> Result<String> {
    let all = classes.list(&ListParams::default()).await?;
    let is_default = |class: &&StorageClass| {
        class
            .annotations()
            .get("storageclass.kubernetes.io/is-default-class")
            .is_some_and(|value| value == "true")
    };
    let default = all.iter().find(is_default).context("the cluster has no default StorageClass")?;
    let name = format!("{namespace}-expandable");
    let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
    let class = StorageClass { metadata, allow_volume_expansion: Some(true), ..default.clone() };
    if classes.get_opt(&name).await?.is_none() {
        classes.create(&Default::default(), &class).await?;
    }
    Ok(name)
}

async fn grown_in(scene: &Scene, class: &str) -> Result<()> {
    let primary = Primary::Native { body_size: "1KiB" };
    scene.start_primary(&primary, "500ms").await?;
    let storage = json!({ "size": "1Gi", "storageClassName": class });
    scene.apply_fleet_with(&primary, &json!({ "spec": { "storage": storage } }))?;
    scene.in_sync(SOON).await?;
    let statefulsets: Api<StatefulSet> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let (before, uids) = (statefulsets.get(SET).await?.uid(), scene.uids().await?);
    let endpoints = observe::endpoints(&scene.client, &scene.namespace, SET);
    scene.patch_fleet(json!({ "spec": { "storage": { "size": "2Gi" } } })).await?;
    wait::until("the StatefulSet to be made anew", SOON, async || {
        let found = statefulsets.get(SET).await?;
        let ready = found.status.as_ref().and_then(|status| status.ready_replicas);
        ensure!(found.uid() != before && ready == Some(3), "ready: {ready:?}");
        Ok(())
    })
    .await?;
    let sizes = claim_sizes(scene).await?;
    ensure!(sizes.len() == 3 && sizes.values().all(|size| size == "2Gi"), "the claims ask for {sizes:?}");
    scene.in_sync(SOON).await?;
    ensure!(scene.uids().await? == uids, "no pod was replaced");
    let seen = endpoints.seen.all();
    ensure!(seen.iter().all(|(_, ready)| ready.len() == 3), "no endpoint was lost: {seen:?}");
    let pods = scene
        .pods()
        .list(&ListParams::default().labels(&format!("app.kubernetes.io/instance={SET}")))
        .await?;
    let statuses = pods.iter().filter_map(|pod| pod.status.as_ref()?.container_statuses.as_ref()).flatten();
    ensure!(statuses.map(|status| status.restart_count).sum::<i32>() == 0, "no container restarted");
    Ok(())
}

async fn claim_sizes(scene: &Scene) -> Result<BTreeMap<String, String>> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let claims =
        claims.list(&ListParams::default().labels(&format!("app.kubernetes.io/instance={SET}"))).await?;
    let size = |claim: PersistentVolumeClaim| {
        let name = claim.name_any();
        let requests = claim.spec?.resources?.requests?;
        Some((name, requests.get("storage")?.0.clone()))
    };
    Ok(claims.into_iter().filter_map(size).collect())
}
