//! Volumes that grow while their pods run on.

use anyhow::ensure;
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{PersistentVolumeClaim, Service},
    storage::v1::StorageClass,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    garbage::Garbage,
    world::{World, until},
};

/// A StorageClass that no provisioner serves.
async fn make_class(world: &World, expands: bool) -> String {
    let name = format!("{}-class", world.namespace);
    let class =
        json!({ "metadata": { "name": name }, "provisioner": "test", "allowVolumeExpansion": expands });
    let class: StorageClass = serde_json::from_value(class).unwrap();
    Api::all(world.client.clone()).create(&PostParams::default(), &class).await.unwrap();
    name
}

/// A claim as the StatefulSet's controller and a provisioner leave it.
async fn make_claim(world: &World, ordinal: u32) {
    let statefulset = world.statefulset().await;
    let template = statefulset.spec.unwrap().volume_claim_templates.unwrap().remove(0);
    let mut claim = PersistentVolumeClaim { status: None, ..template };
    claim.metadata.name = Some(format!("data-set-{ordinal}"));
    claim.spec.as_mut().unwrap().volume_name = Some(format!("{}-{ordinal}", world.namespace));
    let claims: Api<PersistentVolumeClaim> = world.api();
    claims.create(&PostParams::default(), &claim).await.unwrap();
    let bound = Patch::Merge(json!({ "status": { "phase": "Bound", "capacity": { "storage": "1Gi" } } }));
    claims.patch_status(&claim.name_any(), &PatchParams::default(), &bound).await.unwrap();
}

/// A world with a set of claims of 1Gi.
async fn world(name: &str, replicas: u32, expands: bool) -> World {
    let mut world = World::new(name).await;
    let class = make_class(&world, expands).await;
    let mut spec = world.spec();
    spec["replicas"] = json!(replicas);
    spec["storage"] = json!({ "size": "1Gi", "storageClassName": class });
    world.create(spec).await;
    for ordinal in 0..replicas {
        make_claim(&world, ordinal).await;
        let script = tidemark_e2e::scripted::Script { tip: Some(100), ..Default::default() };
        world.start_follower(ordinal, script).await;
    }
    for ordinal in 0..replicas {
        world.gate_is(ordinal, "True", "InSync").await;
    }
    world
}

async fn grow(world: &World) {
    world.change(json!({ "storage": { "size": "2Gi" } })).await;
}

async fn claimed(world: &World, ordinal: u32) -> String {
    let claim: PersistentVolumeClaim = world.api().get(&format!("data-set-{ordinal}")).await.unwrap();
    claim.spec.unwrap().resources.unwrap().requests.unwrap()["storage"].0.clone()
}

fn template_size(statefulset: &StatefulSet) -> String {
    let claim = &statefulset.spec.as_ref().unwrap().volume_claim_templates.as_ref().unwrap()[0];
    claim.spec.as_ref().unwrap().resources.as_ref().unwrap().requests.as_ref().unwrap()["storage"].0.clone()
}

async fn pods(world: &World) -> Vec<Option<String>> {
    let mut uids = Vec::new();
    for ordinal in 0..2 {
        uids.push(world.pod(ordinal).await.uid());
    }
    uids
}

/// Waits until a StatefulSet of the larger size stands and nothing is left to be done.
async fn grown(world: &World) -> StatefulSet {
    until("the StatefulSet to be made anew", async || {
        let found: StatefulSet = world.api().get("set").await?;
        ensure!(found.metadata.deletion_timestamp.is_none() && template_size(&found) == "2Gi", "not yet");
        let peers: Service = world.api().get("set-peers").await?;
        ensure!(!peers.annotations().contains_key("tidemark.dev/making-anew"), "it is still remembered");
        Ok(found)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_grow_and_no_pod_is_touched() {
    let world = world("grow", 2, true).await;
    let _garbage = Garbage::start(world.client.clone(), &world.namespace);
    let (before, uids) = (world.statefulset().await, pods(&world).await);
    grow(&world).await;
    let after = grown(&world).await;
    assert_ne!(after.uid(), before.uid(), "claim templates cannot be changed");
    assert_eq!(after.spec.unwrap().template, before.spec.unwrap().template);
    assert_eq!(pods(&world).await, uids);
    for ordinal in 0..2 {
        assert_eq!(claimed(&world, ordinal).await, "2Gi");
        assert_eq!(world.gate(ordinal).await.unwrap().status, "True");
    }
    world.condition_is("Accepted", "True", "Accepted").await;
}

/// The template as an operator with other built-ins recorded it, so that a new rendering would show.
async fn record_as_another_operator_would(world: &World) {
    let key = "tidemark.dev/recorded-template";
    let statefulset = world.statefulset().await;
    let mut record: Value = serde_json::from_str(&statefulset.annotations()[key]).unwrap();
    record["template"]["spec"]["terminationGracePeriodSeconds"] = json!(77);
    let change = json!({
        "metadata": { "annotations": { key: record.to_string() } },
        "spec": { "template": { "spec": { "terminationGracePeriodSeconds": 77 } } },
    });
    let params =
        PatchParams { field_manager: Some("tidemark-operator".to_owned()), ..PatchParams::default() };
    let _: StatefulSet = world.api().patch("set", &params, &Patch::Merge(change)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_dies_while_volumes_grow_is_taken_up_by_the_next_with_the_same_template() {
    let mut world = world("resume", 2, true).await;
    world.operator = None;
    record_as_another_operator_would(&world).await;
    world.start_operator();
    let uids = pods(&world).await;
    grow(&world).await;
    // Nobody collects garbage yet, so the old StatefulSet stays until the operator is dead.
    until("the old StatefulSet to be on its way out", async || {
        ensure!(world.statefulset().await.metadata.deletion_timestamp.is_some(), "not yet");
        Ok(())
    })
    .await;
    world.operator = None;
    let _garbage = Garbage::start(world.client.clone(), &world.namespace);
    until("the old StatefulSet to be gone", async || {
        ensure!(world.api::<StatefulSet>().get_opt("set").await?.is_none(), "not yet");
        Ok(())
    })
    .await;
    // A claim that the old one's controller made at the last moment.
    let small = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    let claims: Api<PersistentVolumeClaim> = world.api();
    let mut late = claims.get("data-set-1").await.unwrap();
    claims.patch("data-set-1", &PatchParams::default(), &small).await.unwrap();
    claims.delete("data-set-1", &DeleteParams::default()).await.unwrap();
    (late.metadata.resource_version, late.metadata.uid) = (None, None);
    let requests = late.spec.as_mut().unwrap().resources.as_mut().unwrap().requests.as_mut().unwrap();
    requests.insert("storage".to_owned(), Quantity("1Gi".to_owned()));
    claims.create(&PostParams::default(), &late).await.unwrap();
    let bound = Patch::Merge(json!({ "status": { "phase": "Bound", "capacity": { "storage": "1Gi" } } }));
    claims.patch_status("data-set-1", &PatchParams::default(), &bound).await.unwrap();
    world.start_operator();
    let after = grown(&world).await;
    let template = after.spec.unwrap().template;
    assert_eq!(template.spec.unwrap().termination_grace_period_seconds, Some(77), "the record was not lost");
    assert_eq!((claimed(&world, 0).await, claimed(&world, 1).await), ("2Gi".to_owned(), "2Gi".to_owned()));
    assert_eq!(pods(&world).await, uids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_does_not_expand_is_reported_and_all_else_is_followed() {
    let world = world("rigid", 2, false).await;
    let before = world.statefulset().await;
    grow(&world).await;
    let message = world.condition_is("Degraded", "True", "VolumeNotExpandable").await;
    assert!(message.contains("not enlarged to 2Gi") && message.contains("storageclass"), "{message}");
    world.change(json!({ "replicas": 3 })).await;
    until("the replicas to be followed", async || {
        let found = world.statefulset().await;
        ensure!(found.spec.as_ref().unwrap().replicas == Some(3), "not yet");
        ensure!(found.uid() == before.uid() && template_size(&found) == "1Gi", "it was made anew");
        Ok(())
    })
    .await;
    world.condition_is("Accepted", "True", "Accepted").await;
    assert_eq!(claimed(&world, 0).await, "1Gi");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statefulset_of_another_service_name_is_made_anew_around_its_pods() {
    let mut world = World::with_fleet("frozen", 2, |_| {}).await;
    let _garbage = Garbage::start(world.client.clone(), &world.namespace);
    world.operator = None;
    // As an earlier version would have made it.
    let mut old = world.statefulset().await;
    world.api::<StatefulSet>().delete("set", &DeleteParams::orphan()).await.unwrap();
    until("it to be gone", async || {
        ensure!(world.api::<StatefulSet>().get_opt("set").await?.is_none(), "not yet");
        Ok(())
    })
    .await;
    old.metadata.resource_version = None;
    old.metadata.uid = None;
    old.metadata.managed_fields = None;
    old.spec.as_mut().unwrap().service_name = Some("another".to_owned());
    let old = world.api::<StatefulSet>().create(&PostParams::default(), &old).await.unwrap();
    let uids = pods(&world).await;
    world.start_operator();
    until("the StatefulSet to be made anew", async || {
        let found: StatefulSet = world.api().get("set").await?;
        ensure!(found.uid() != old.uid(), "not yet");
        ensure!(found.spec.unwrap().service_name.as_deref() == Some("set-peers"), "the wrong name");
        Ok(())
    })
    .await;
    assert_eq!(pods(&world).await, uids);
    world.condition_is("Accepted", "True", "Accepted").await;
}
