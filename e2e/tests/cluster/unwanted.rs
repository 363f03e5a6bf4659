//! Objects that a fleet wants no longer.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{Api, Resource, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tidemark_e2e::{
    scene::{SET, Scene},
    wait,
};

const SOON: Duration = Duration::from_secs(60);
/// Objects that an earlier version of the operator made for the same fleet.
const FORMER: &str = "of-an-earlier-version";

/// What the spec no longer asks for goes and returns with it, what no version makes any more goes, and the fleet stands.
pub(crate) async fn deleted(scene: Scene) -> Result<()> {
    let owner = owner(&scene).await?;
    let account = json!({"metadata": {"name": FORMER, "ownerReferences": [owner]}});
    create::<ServiceAccount>(&scene, account).await?;
    let service = json!({
        "metadata": {"name": FORMER, "ownerReferences": [owner]}, "spec": {"ports": [{"port": 80}]},
    });
    create::<Service>(&scene, service).await?;
    create_budget_and_policy(&scene, false).await?;
    stands::<ServiceAccount>(&scene, FORMER, false).await?;
    stands::<Service>(&scene, FORMER, false).await?;
    stands::<PodDisruptionBudget>(&scene, SET, false).await?;
    stands::<NetworkPolicy>(&scene, SET, false).await?;
    create_budget_and_policy(&scene, true).await?;
    stands::<PodDisruptionBudget>(&scene, SET, true).await?;
    stands::<NetworkPolicy>(&scene, SET, true).await?;
    scene.in_sync(SOON).await
}

async fn owner(scene: &Scene) -> Result<Value> {
    let fleet = scene.fleet().await?;
    let uid = fleet["metadata"]["uid"].as_str().context("the fleet has no UID")?;
    Ok(json!({
        "apiVersion": "tidemark.dev/v1alpha1", "kind": "StoreReplicaSet", "name": SET, "uid": uid, "controller": true,
    }))
}

async fn create_budget_and_policy(scene: &Scene, create: bool) -> Result<()> {
    let create = json!({"create": create});
    scene.patch_fleet(json!({"spec": {"disruptionBudget": create, "networkPolicy": create}})).await
}

fn api<K>(scene: &Scene) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    Api::namespaced(scene.client.clone(), &scene.namespace)
}

async fn create<K>(scene: &Scene, mut object: Value) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    object["metadata"]["labels"] = json!(tidemark_operator::names::labels(SET));
    api::<K>(scene).create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    Ok(())
}

/// Waits until an object is there, or is not.
async fn stands<K>(scene: &Scene, name: &str, wanted: bool) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    wait::until("what is wanted to stand and nothing else", SOON, async || {
        let found = api::<K>(scene).get_opt(name).await?.is_some();
        ensure!(found == wanted, "{} {name}: it stands: {found}, want {wanted}", K::kind(&()));
        Ok(())
    })
    .await
}
