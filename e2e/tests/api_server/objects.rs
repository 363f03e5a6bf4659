//! The objects of a set: made, kept, and never taken from somebody else.

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Service, ServiceAccount},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tidemark_operator::{api::StoreReplicaSet, names::GATE};

use crate::world::{World, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_set_becomes_its_objects_with_the_gate_in_the_template() {
    let world = World::new("objects").await;
    world.create(world.spec()).await;
    let spec = world.statefulset().await.spec.unwrap();
    let pod = spec.template.spec.unwrap();
    assert_eq!(pod.readiness_gates.unwrap()[0].condition_type, GATE);
    assert_eq!(spec.pod_management_policy.as_deref(), Some("Parallel"));
    let read: Service = world.api().get("set").await.unwrap();
    let peers: Service = world.api().get("set-peers").await.unwrap();
    assert_eq!(read.spec.unwrap().publish_not_ready_addresses, None, "the gate works through it");
    assert_eq!(peers.spec.unwrap().publish_not_ready_addresses, Some(true));
    let budget: PodDisruptionBudget = world.api().get("set").await.unwrap();
    assert_eq!(budget.spec.unwrap().unhealthy_pod_eviction_policy.as_deref(), Some("AlwaysAllow"));
    let account: ServiceAccount = world.api().get("set").await.unwrap();
    assert_eq!(account.automount_service_account_token, Some(false));
    let owner = &account.owner_references()[0];
    assert_eq!((owner.kind.as_str(), owner.controller), ("StoreReplicaSet", Some(true)));
}

async fn patch_statefulset(world: &World, change: Value) {
    let _: StatefulSet =
        world.api().patch("set", &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changed_by_hand_is_put_back() {
    let world = World::new("drift").await;
    world.create(world.spec()).await;
    world.statefulset().await;
    let strays = json!({ "spec": { "replicas": 7, "template": { "spec": { "readinessGates": null } } } });
    patch_statefulset(&world, strays).await;
    until("the StatefulSet as it was", async || {
        let spec = world.api::<StatefulSet>().get("set").await?.spec.context("a spec")?;
        let gates = spec.template.spec.context("a pod")?.readiness_gates.unwrap_or_default();
        ensure!(
            spec.replicas == Some(3) && gates.len() == 1,
            "{:?} replicas, gates {gates:?}",
            spec.replicas
        );
        Ok(())
    })
    .await;
    world.api::<Service>().delete("set", &Default::default()).await.unwrap();
    until("the Service to be made again", async || Ok(world.api::<Service>().get("set").await?)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_somebody_else_is_left_alone_and_named() {
    let world = World::new("conflict").await;
    let foreign = json!({ "metadata": { "name": "set" }, "spec": { "ports": [{ "port": 80 }] } });
    let foreign: Service = serde_json::from_value(foreign).unwrap();
    let foreign = world.api::<Service>().create(&PostParams::default(), &foreign).await.unwrap();
    world.create(world.spec()).await;
    let message = world.condition_is("Accepted", "False", "NameConflict").await;
    assert!(message.contains("Service set exists and does not belong to this StoreReplicaSet"), "{message}");
    world.condition_is("Stalled", "True", "NameConflict").await;
    world.condition_is("Ready", "False", "NameConflict").await;
    let now: Service = world.api().get("set").await.unwrap();
    assert_eq!(now.resource_version(), foreign.resource_version());
    assert!(world.api::<StatefulSet>().get_opt("set").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_restarts_changes_no_object() {
    let mut world = World::with_fleet("unchanged", 1, |_| {}).await;
    let before = world.statefulset().await.resource_version();
    world.operator = None;
    world.start_operator();
    world.follower(0).asked(10).await.unwrap();
    world.change(json!({ "health": { "maxLagBlocks": 5 } })).await;
    until("the change to be observed", async || {
        let set: StoreReplicaSet = world.api().get("set").await?;
        ensure!(set.status.and_then(|status| status.observed_generation) == set.metadata.generation);
        Ok(())
    })
    .await;
    assert_eq!(world.statefulset().await.resource_version(), before);
}

/// The accounts of as many sets as this, which are made by hand.
const MANY: u32 = 1_100;

async fn make_accounts(world: &World) {
    let accounts = stream::iter(0..MANY).map(|at| async move {
        let account = json!({ "metadata": {
            "name": format!("a-{at}"),
            "labels": { "app.kubernetes.io/managed-by": "tidemark-operator" },
            "ownerReferences": [{
                "apiVersion": "tidemark.dev/v1alpha1", "kind": "StoreReplicaSet", "name": format!("a-{at}"), "uid": "u",
            }],
        } });
        let account: ServiceAccount = serde_json::from_value(account)?;
        world.api().create(&PostParams::default(), &account).await?;
        anyhow::Ok(())
    });
    accounts.buffer_unordered(32).try_collect::<()>().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_starts_among_more_objects_than_any_queue_has_room_for() {
    let mut world = World::new("many").await;
    world.operator = None;
    make_accounts(&world).await;
    world.start_operator();
    world.create(world.spec()).await;
    world.statefulset().await;
}
