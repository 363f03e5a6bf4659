//! Rollouts, scaling and rebuilding: one at a time, and never at the price of the floor.

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{PersistentVolumeClaim, Pod},
};
use kube::{
    ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tidemark_e2e::scene::condition;
use tidemark_operator::{
    api::StoreReplicaSet,
    names::{GATE, REBUILD},
};

use crate::{
    controller::Controller,
    recorder::Recorder,
    world::{WITHIN, World, until, until_within},
};

pub(crate) const GOOD: &str = "tidemark.local/follower:good";

/// A world whose pods come and go, with all of these replicas in sync.
pub(crate) async fn fleet(name: &str, replicas: u32, change: impl FnOnce(&mut Value)) -> (World, Controller) {
    let world = World::new(name).await;
    let controller = Controller::start(world.client.clone(), name);
    let mut spec = world.spec();
    spec["replicas"] = json!(replicas);
    spec["follower"]["image"] = json!("tidemark.local/follower:first");
    // A busy machine must not make one look silent, which would be another way out.
    spec["health"]["staleAfter"] = json!("8s");
    change(&mut spec);
    world.create(spec).await;
    all_run(&world, replicas, "first").await;
    until("the operator to have seen all of them Ready", async || {
        let status = world.api::<StoreReplicaSet>().get("set").await?.status.unwrap_or_default();
        ensure!(status.ready_replicas == replicas, "{} are", status.ready_replicas);
        Ok(())
    })
    .await;
    (world, controller)
}

pub(crate) async fn image(world: &World, image: &str) {
    world.change(json!({ "follower": { "image": image } })).await;
}

fn is_true(pod: &Pod, type_: &str) -> bool {
    condition(pod, type_) == Some(true)
}

/// Waits until there are as many pods, all with this image and all Ready.
pub(crate) async fn all_run(world: &World, replicas: u32, image: &str) {
    // They are made anew one after the other, each of which may take a busy machine ten seconds.
    until_within(&format!("{replicas} replicas of {image} to serve"), WITHIN * 2, async || {
        let pods = world.api::<Pod>().list(&ListParams::default()).await?.items;
        let seen: Vec<_> =
            pods.iter().map(|pod| (pod.name_any(), images(pod), is_true(pod, "Ready"))).collect();
        let done = seen.iter().filter(|(_, of, ready)| of.ends_with(image) && *ready).count();
        let all = (seen.len(), done) == (replicas as usize, replicas as usize);
        let status = if all { None } else { world.api::<StoreReplicaSet>().get("set").await?.status };
        ensure!(all, "{seen:?}, and the status is {}", json!(status));
        Ok(())
    })
    .await;
}

fn images(pod: &Pod) -> String {
    pod.spec.as_ref().and_then(|spec| spec.containers[0].image.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_template_reaches_one_pod_after_the_other_from_the_highest_on() {
    let (world, _controller) = fleet("rollout", 3, |spec| spec["health"]["minServing"] = json!(3)).await;
    let recorder = Recorder::start(world.client.clone(), "rollout").await;
    image(&world, GOOD).await;
    all_run(&world, 3, "good").await;
    world.condition_is("Progressing", "True", "RolledOut").await;
    let record = recorder.record().await;
    assert_eq!(record.deleted, ["set-2", "set-1", "set-0"]);
    assert_eq!((record.fewest, record.ready_when_deleted), (2, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_replica_is_replaced_too() {
    let (world, _controller) = fleet("rollout-one", 1, |_| {}).await;
    image(&world, GOOD).await;
    all_run(&world, 1, "good").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_waits_for_one_that_lags_where_the_floor_needs_both() {
    let (world, controller) = fleet("rollout-lag", 3, |spec| spec["health"]["minServing"] = json!(2)).await;
    controller.say("set-0", |script| script.failing = Some("gone fishing".to_owned()));
    world.gate_is(0, "False", "Unknown").await;
    let recorder = Recorder::start(world.client.clone(), "rollout-lag").await;
    image(&world, GOOD).await;
    all_run(&world, 3, "good").await;
    let record = recorder.record().await;
    assert_eq!(record.deleted, ["set-0", "set-2", "set-1"], "the one that is out first");
    assert_eq!((record.fewest, record.ready_when_deleted), (2, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_falls_behind_during_a_rollout_stops_it_at_the_floor() {
    let (world, controller) = fleet("rollout-stop", 3, |spec| spec["health"]["minServing"] = json!(2)).await;
    controller.tip(110);
    controller.say("set-0", |script| script.tip = Some(100));
    world.primary.say(|primary| primary.tip = Some(110));
    world.gate_is(0, "False", "Lagging").await;
    let recorder = Recorder::start(world.client.clone(), "rollout-stop").await;
    image(&world, "tidemark.local/follower:behind").await;
    world.condition_is("Progressing", "True", "RollingOut").await;
    world.gate_is(0, "False", "Lagging").await;
    until("the laggard to run the new template", async || {
        let pod: Pod = world.api().get("set-0").await?;
        ensure!(images(&pod).ends_with("behind"));
        Ok(())
    })
    .await;
    image(&world, GOOD).await;
    all_run(&world, 3, "good").await;
    let record = recorder.record().await;
    assert_eq!(record.deleted, ["set-0", "set-0", "set-2", "set-1"]);
    assert_eq!((record.fewest, record.ready_when_deleted), (2, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_template_costs_one_good_pod_and_stalls_until_a_newer_one_comes() {
    let (world, _controller) =
        fleet("rollout-bad", 3, |spec| spec["rollout"] = json!({ "progressDeadline": "3s" })).await;
    let recorder = Recorder::start(world.client.clone(), "rollout-bad").await;
    world.primary.say(|primary| primary.tip = Some(102));
    image(&world, "tidemark.local/follower:behind").await;
    let message = world.condition_is("Progressing", "False", "RolloutStalled").await;
    assert!(message.contains("set-2 has not been in sync"), "{message}");
    assert_eq!(recorder.record().await.deleted, ["set-2"]);
    image(&world, GOOD).await;
    all_run(&world, 3, "good").await;
    let record = recorder.record().await;
    assert_eq!(record.deleted, ["set-2", "set-2", "set-1", "set-0"]);
    assert_eq!((record.fewest, record.ready_when_deleted), (2, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_cannot_run_is_cured_at_once_by_a_template_that_can() {
    let world = World::new("rollout-broken").await;
    let _controller = Controller::start(world.client.clone(), "rollout-broken");
    let mut spec = world.spec();
    spec["follower"]["image"] = json!("tidemark.local/follower:crash");
    world.create(spec).await;
    world.condition_is("Progressing", "False", "FollowerNotStarting").await;
    image(&world, GOOD).await;
    all_run(&world, 3, "good").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_starts_in_the_middle_of_a_rollout_goes_on_with_it() {
    let (mut world, _controller) = fleet("rollout-leader", 3, |_| {}).await;
    let recorder = Recorder::start(world.client.clone(), "rollout-leader").await;
    image(&world, GOOD).await;
    until("the rollout to have begun", async || {
        let first = world.api::<Pod>().get_opt("set-2").await?;
        ensure!(first.is_none_or(|pod| !is_true(&pod, GATE)), "set-2 is in");
        Ok(())
    })
    .await;
    world.operator = None;
    world.start_operator();
    all_run(&world, 3, "good").await;
    let record = recorder.record().await;
    assert!(record.deleted.ends_with(&["set-1".to_owned(), "set-0".to_owned()]), "{record:?}");
    assert_eq!((record.fewest, record.ready_when_deleted), (2, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_shrink_one_by_one_to_nothing_and_grow_again() {
    let (world, _controller) = fleet("scaled", 3, |_| {}).await;
    let recorder = Recorder::start(world.client.clone(), "scaled").await;
    world.change(json!({ "replicas": 1 })).await;
    all_run(&world, 1, "first").await;
    let record = recorder.record().await;
    assert_eq!(record.deleted, ["set-2", "set-1"]);
    assert_eq!((record.fewest, record.ready_when_deleted), (1, vec![]));
    world.change(json!({ "replicas": 0 })).await;
    all_run(&world, 0, "first").await;
    assert_eq!(recorder.record().await.ready_when_deleted, [""; 0]);
    world.condition_is("Ready", "True", "EnoughReplicasServe").await;
    world.change(json!({ "replicas": 3 })).await;
    all_run(&world, 3, "first").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_scaled_below_its_floor_and_not_below_what_serves() {
    let (world, controller) = fleet("scaled-low", 3, |spec| spec["health"]["minServing"] = json!(3)).await;
    let recorder = Recorder::start(world.client.clone(), "scaled-low").await;
    world.change(json!({ "replicas": 2 })).await;
    all_run(&world, 2, "first").await;
    world.change(json!({ "health": { "minServing": 1 } })).await;
    controller.tip(110);
    controller.say("set-0", |script| script.tip = Some(100));
    world.primary.say(|primary| primary.tip = Some(110));
    world.gate_is(0, "False", "Lagging").await;
    world.change(json!({ "replicas": 1 })).await;
    until("the wait to be told", async || {
        let message = world.condition_is("Progressing", "True", "RollingOut").await;
        ensure!(message.contains("waiting until set-1 is out"), "{message}");
        Ok(())
    })
    .await;
    assert!(is_true(&world.pod(1).await, GATE));
    controller.tip(110);
    all_run(&world, 1, "first").await;
    let record = recorder.record().await;
    assert_eq!(record.deleted, ["set-2", "set-1"]);
    assert_eq!((record.fewest, record.ready_when_deleted), (1, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_scales_the_statefulset_by_hand_is_undone_with_care() {
    let (world, _controller) = fleet("scaled-by-hand", 2, |_| {}).await;
    let more = Patch::Merge(json!({ "spec": { "replicas": 4 } }));
    let _: StatefulSet = world.api().patch("set", &PatchParams::default(), &more).await.unwrap();
    until("the StatefulSet as it was", async || {
        let spec = world.api::<StatefulSet>().get("set").await?.spec.context("a spec")?;
        ensure!(spec.replicas == Some(2), "{:?}", spec.replicas);
        Ok(())
    })
    .await;
    all_run(&world, 2, "first").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statefulset_that_replaces_pods_by_itself_is_made_to_leave_that() {
    let world = World::new("strategy").await;
    world.create(world.spec()).await;
    world.statefulset().await;
    let rolling = Patch::Merge(json!({ "spec": { "updateStrategy": { "type": "RollingUpdate" } } }));
    let _: StatefulSet = world.api().patch("set", &PatchParams::default(), &rolling).await.unwrap();
    until("the strategy to be OnDelete", async || {
        let spec = world.statefulset().await.spec.context("a spec")?;
        let strategy = spec.update_strategy.context("a strategy")?;
        ensure!(strategy.type_.as_deref() == Some("OnDelete"), "{strategy:?}");
        Ok(())
    })
    .await;
}

async fn claim(world: &World, ordinal: u32) -> String {
    let claim: PersistentVolumeClaim = world.api().get(&format!("data-set-{ordinal}")).await.unwrap();
    claim.uid().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_to_be_rebuilt_gets_a_new_pod_on_a_new_volume_and_the_others_keep_theirs() {
    let (world, _controller) = fleet("rebuild", 3, |spec| spec["storage"] = json!({ "size": "1Gi" })).await;
    let before = [claim(&world, 0).await, claim(&world, 1).await, claim(&world, 2).await];
    let pod = world.pod(1).await.uid();
    let recorder = Recorder::start(world.client.clone(), "rebuild").await;
    let asked = Patch::Merge(json!({ "metadata": { "annotations": { REBUILD: "" } } }));
    let _: Pod = world.api().patch("set-1", &PatchParams::default(), &asked).await.unwrap();
    until("another volume", async || {
        let claim: PersistentVolumeClaim = world.api().get("data-set-1").await?;
        ensure!(claim.uid() != Some(before[1].clone()), "{:?}", claim.metadata);
        Ok(())
    })
    .await;
    all_run(&world, 3, "first").await;
    assert_ne!(world.pod(1).await.uid(), pod);
    assert_eq!((claim(&world, 0).await, claim(&world, 2).await), (before[0].clone(), before[2].clone()));
    let record = recorder.record().await;
    assert_eq!((record.deleted, record.fewest), (vec!["set-1".to_owned()], 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_replica_is_replaced_and_stays_out() {
    let (world, _controller) = fleet("rollout-fenced", 3, |_| {}).await;
    world.change(json!({ "fenced": ["set-1"] })).await;
    world.gate_is(1, "False", "Fenced").await;
    image(&world, GOOD).await;
    until("all to run the new template", async || {
        let pods = world.api::<Pod>().list(&ListParams::default()).await?.items;
        let seen: Vec<_> = pods.iter().map(|pod| (images(pod), is_true(pod, "Ready"))).collect();
        ensure!(seen.len() == 3 && seen.iter().all(|(image, _)| image.ends_with("good")), "{seen:?}");
        Ok(())
    })
    .await;
    world.gate_is(0, "True", "InSync").await;
    world.gate_is(2, "True", "InSync").await;
    world.gate_is(1, "False", "Fenced").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_observed_is_drained_before_it_is_replaced() {
    let (world, _controller) =
        fleet("rollout-observe", 2, |spec| spec["health"]["mode"] = json!("Observe")).await;
    let recorder = Recorder::start(world.client.clone(), "rollout-observe").await;
    image(&world, GOOD).await;
    all_run(&world, 2, "good").await;
    let record = recorder.record().await;
    assert_eq!(record.deleted, ["set-1", "set-0"]);
    assert_eq!((record.fewest, record.ready_when_deleted), (1, vec![]));
}
