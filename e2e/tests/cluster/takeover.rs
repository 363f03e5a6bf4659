//! An operator of another version takes over a running fleet.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tidemark_e2e::{
    install,
    scene::{Primary, SET, Scene},
    wait,
};

const SOON: Duration = Duration::from_secs(180);
const RECORD: &str = "tidemark.dev/recorded-template";

/// A fleet made by an operator with other probes and environment is taken over and scaled from three to four: the first
/// three pods stay.
pub(crate) async fn by_another_version(scene: Scene) -> Result<()> {
    let primary = Primary::Native { body_size: "1KiB" };
    scene.start_primary(&primary, "500ms").await?;
    let played = taken_over(&scene, &primary).await;
    // The next story needs an operator, however this one ended.
    let restored = scale_operator(&scene, Some(operators(&scene).await?.max(1))).await;
    played.and(restored)
}

async fn taken_over(scene: &Scene, primary: &Primary) -> Result<()> {
    scene.apply_fleet_with(primary, &json!({ "spec": { "replicas": 3 } }))?;
    scene.in_sync(SOON).await?;
    let operators = operators(scene).await?;
    scale_operator(scene, Some(0)).await?;
    apply_as_another_operator(scene).await?;
    // Pods of the other operator's template, which its own rollout would have made.
    for ordinal in 0..3 {
        remake(scene, &format!("{SET}-{ordinal}")).await?;
    }
    let before = scene.uids().await?;
    scale_operator(scene, Some(operators)).await?;
    scene.in_sync(SOON).await?;
    scene.patch_fleet(json!({ "spec": { "replicas": 4 } })).await?;
    wait::until("the fourth replica", SOON, async || {
        ensure!(scene.followers().await?.len() == 4, "not yet");
        Ok(())
    })
    .await?;
    scene.in_sync(SOON).await?;
    let after = scene.uids().await?;
    for (pod, uid) in &before {
        ensure!(after.get(pod) == Some(uid), "{pod} was replaced");
    }
    Ok(())
}

fn deployments(scene: &Scene) -> Api<Deployment> {
    Api::namespaced(scene.client.clone(), install::NAMESPACE)
}

pub(crate) async fn operators(scene: &Scene) -> Result<i32> {
    let found = deployments(scene).get(install::RELEASE).await?;
    Ok(found.spec.and_then(|spec| spec.replicas).unwrap_or(1))
}

pub(crate) async fn scale_operator(scene: &Scene, replicas: Option<i32>) -> Result<()> {
    let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
    deployments(scene).patch(install::RELEASE, &PatchParams::default(), &patch).await?;
    wait::until("the operator to be as many", SOON, async || {
        let status = deployments(scene).get(install::RELEASE).await?.status.unwrap_or_default();
        let ready = status.ready_replicas.unwrap_or(0);
        ensure!(Some(ready) == replicas && status.replicas.unwrap_or(0) == ready, "{ready} are ready");
        Ok(())
    })
    .await
}

/// Changes a template as an operator would have rendered it whose probes and environment are others.
fn render_otherwise(template: &mut Value) -> Result<()> {
    let container = &mut template["spec"]["containers"][0];
    container["livenessProbe"]["periodSeconds"] = json!(77);
    let env = container["env"].as_array_mut().context("the container has no environment")?;
    env.push(json!({ "name": "OF_AN_EARLIER_VERSION", "value": "yes" }));
    Ok(())
}

/// Leaves the StatefulSet, live template and record, as the other operator applied it.
async fn apply_as_another_operator(scene: &Scene) -> Result<()> {
    let statefulsets: Api<StatefulSet> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let found = serde_json::to_value(statefulsets.get(SET).await?)?;
    let metadata = &found["metadata"];
    let record = metadata["annotations"][RECORD].as_str().context("the StatefulSet has no record")?;
    let mut record: Value = serde_json::from_str(record)?;
    render_otherwise(&mut record["template"])?;
    let mut spec = found["spec"].clone();
    spec["template"] = record["template"].clone();
    let applied = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {
            "name": SET, "labels": metadata["labels"], "ownerReferences": metadata["ownerReferences"],
            "annotations": { RECORD: record.to_string() },
        },
        "spec": spec,
    });
    let params = PatchParams::apply("tidemark-operator").force();
    statefulsets.patch(SET, &params, &Patch::Apply(applied)).await?;
    Ok(())
}

/// Deletes a pod and waits for the one that takes its place.
async fn remake(scene: &Scene, pod: &str) -> Result<()> {
    let before = scene.pods().get(pod).await?.uid();
    scene.pods().delete(pod, &Default::default()).await?;
    wait::until("a pod of the other template", SOON, async || {
        let found = scene.pods().get(pod).await?;
        let spec = found.spec.as_ref().context("no spec")?;
        let of_other = spec.containers[0].env.iter().flatten().any(|env| env.name == "OF_AN_EARLIER_VERSION");
        ensure!(found.uid() != before && of_other, "not yet");
        let address = found.status.and_then(|status| status.pod_ip);
        ensure!(address.is_some(), "it has no address yet");
        Ok(())
    })
    .await
}
