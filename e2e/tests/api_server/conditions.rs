//! Conditions: bad input and bad weather, each naming the object, the cause and the way out.

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{apps::v1::StatefulSet, events::v1::Event};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams, Patch, PostParams},
};
use serde_json::json;
use tidemark_e2e::scripted::Script;
use tidemark_operator::api::StoreReplicaSet;

use crate::world::{World, set, status_of, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_primary_is_named_with_its_error_and_takes_nobody_out() {
    let world = World::with_fleet("unreachable", 2, |_| {}).await;
    world.primary.say(|primary| primary.failing = Some("gone fishing".to_owned()));
    let message = world.condition_is("ObservationDegraded", "True", "PrimarySilent").await;
    assert!(message.contains(&world.primary.url()) && message.contains("gone fishing"), "{message}");
    for ordinal in [0, 1] {
        assert_eq!(world.gate(ordinal).await.unwrap().status, "True");
    }
    world.primary.say(|primary| primary.failing = None);
    world.condition_is("ObservationDegraded", "False", "Observed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_never_answered_is_named_too() {
    let world = World::new("nobody").await;
    let mut spec = world.spec();
    spec["primary"]["url"] = json!("http://127.57.255.1:57291");
    world.create(spec).await;
    let message = world.condition_is("ObservationDegraded", "True", "PrimarySilent").await;
    assert!(message.contains("http://127.57.255.1:57291") && message.contains("refused"), "{message}");
    world.condition_is("Accepted", "True", "Accepted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_genesis_is_named_with_both_values() {
    let world = World::with_fleet("genesis", 3, |_| {}).await;
    world.follower(2).say(|follower| follower.genesis = 7);
    world.gate_is(2, "False", "WrongGenesis").await;
    let message = world.condition_is("Degraded", "True", "WrongGenesis").await;
    assert!(message.contains("0x01000000") && message.contains("0x07000000"), "{message}");
    assert!(message.contains("set-2"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_of_another_chain_than_the_pinned_one_is_named_with_both_values() {
    let mut world = World::new("pinned").await;
    let mut spec = world.spec();
    spec["primary"]["genesis"] = json!(format!("0x{:0>64}", "9"));
    spec["replicas"] = json!(1);
    world.create(spec).await;
    world.start_follower(0, Script { tip: Some(100), ..Script::default() }).await;
    let message = world.condition_is("Degraded", "True", "PrimaryWrongGenesis").await;
    assert!(message.contains("0x01000000") && message.contains("0x00000000"), "{message}");
    assert_ne!(world.gate(0).await.map(|gate| gate.status).as_deref(), Some("True"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_never_starts_is_named_with_pod_container_and_kubelets_reason() {
    let world = World::with_fleet("image", 2, |_| {}).await;
    let waiting = json!({ "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } });
    world.write_status("set-1", json!({ "containerStatuses": [status_of("follower", "", waiting)] })).await;
    let message = world.condition_is("Progressing", "False", "FollowerNotStarting").await;
    assert_eq!(message, "pod set-1: container follower: ImagePullBackOff: no such image");
    world.condition_is("Degraded", "True", "FollowerNotStarting").await;
    world.condition_is("Ready", "False", "FollowerNotStarting").await;
    world.gate_is(1, "False", "NotRunning").await;
    assert_eq!(world.gate(0).await.unwrap().status, "True", "the healthy one is not touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loopback_primary_is_refused_unless_the_operator_is_told_otherwise() {
    let mut world = World::new("loopback").await;
    world.operator = None;
    world.start_strict_operator();
    world.create(world.spec()).await;
    let message = world.condition_is("Accepted", "False", "PrimaryRefused").await;
    let refused = format!("spec.primary.url {} is a loopback or link-local address", world.primary.url());
    assert!(message.starts_with(&refused), "{message}");
    world.condition_is("Stalled", "True", "PrimaryRefused").await;
    assert!(world.api::<StatefulSet>().get_opt("set").await.unwrap().is_none());
    world.operator = None;
    world.start_operator();
    world.condition_is("Accepted", "True", "Accepted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_at_a_port_that_does_not_exist_is_refused() {
    let world = World::new("refused").await;
    let mut spec = world.spec();
    spec["primary"]["url"] = json!("http://primary:70000");
    world.create(spec).await;
    let message = world.condition_is("Accepted", "False", "PrimaryRefused").await;
    assert!(message.starts_with("spec.primary.url http://primary:70000 is no URL"), "{message}");
    world.condition_is("Stalled", "True", "PrimaryRefused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_to_make_is_told_in_its_words_and_the_set_recovers() {
    let world = World::new("impossible").await;
    let mut spec = world.spec();
    spec["podTemplate"] = json!({ "spec": { "activeDeadlineSeconds": 60 } });
    world.create(spec).await;
    let message = world.condition_is("Accepted", "False", "ObjectRefused").await;
    assert!(
        message.contains("StatefulSet set is refused") && message.contains("activeDeadlineSeconds"),
        "{message}"
    );
    world.change(json!({ "podTemplate": null })).await;
    world.condition_is("Accepted", "True", "Accepted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_the_story() {
    let world = World::with_fleet("story", 3, |_| {}).await;
    world.primary.say(|primary| primary.tip = Some(120));
    for ordinal in [0, 1] {
        world.follower(ordinal).say(|follower| follower.tip = Some(120));
    }
    world.gate_is(2, "False", "Lagging").await;
    let status = until("the status to tell of the laggard", async || {
        let set: StoreReplicaSet = world.api().get("set").await?;
        let status = set.status.unwrap_or_default();
        ensure!(status.in_sync_replicas == 2 && status.ready_replicas == 2, "{status:?}");
        Ok(status)
    })
    .await;
    assert_eq!((status.replicas, status.members.len()), (3, 3));
    let laggard = &status.members[2];
    assert_eq!(
        (laggard.name.as_str(), laggard.verdict.as_str(), laggard.reason.as_str()),
        ("set-2", "Out", "Lagging")
    );
    assert!(
        status.genesis.is_some_and(|genesis| genesis.starts_with("0x01")),
        "the first genesis seen is pinned"
    );
    assert_eq!(status.observed_generation, Some(1));
    world.condition_is("Available", "True", "EnoughReplicasServe").await;
}

/// Gives a set a status that its definition allows and no operator can read.
async fn make_unreadable(world: &World, name: &str) {
    let beyond = Patch::Merge(json!({ "status": { "fleetTip": 5_000_000_000_u64 } }));
    let kind = ApiResource::erase::<StoreReplicaSet>(&());
    let sets: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.namespace, &kind);
    sets.patch_status(name, &Default::default(), &beyond).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_cannot_be_read_stalls_no_other_and_is_named() {
    let mut world = World::new("unreadable").await;
    world.operator = None;
    world.api().create(&PostParams::default(), &set("bad", world.spec())).await.unwrap();
    make_unreadable(&world, "bad").await;
    world.start_operator();
    world.create(world.spec()).await;
    world.start_follower(0, Script { tip: Some(100), ..Script::default() }).await;
    world.gate_is(0, "True", "InSync").await;
    let event = until("an event that names the field", async || {
        let events = world.api::<Event>().list(&ListParams::default()).await?.items;
        events.into_iter().find(|event| event.reason.as_deref() == Some("Unreadable")).context("no event yet")
    })
    .await;
    assert_eq!(event.regarding.and_then(|set| set.name).as_deref(), Some("bad"));
    assert!(event.note.is_some_and(|note| note.contains("5000000000")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_can_be_read_no_more_is_judged_on() {
    let world = World::with_fleet("no-more", 2, |_| {}).await;
    make_unreadable(&world, "set").await;
    world.primary.say(|primary| primary.tip = Some(200));
    world.follower(0).say(|follower| follower.tip = Some(200));
    world.gate_is(1, "False", "Lagging").await;
}
