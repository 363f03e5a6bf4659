//! Clusters without an operator: what a person does meanwhile, and how a fleet leaves Tidemark for good.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{Namespace, Pod, Service},
};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tidemark_e2e::scene::condition;
use tidemark_e2e::scripted::Script;
use tidemark_operator::api::StoreReplicaSet;

use crate::{
    garbage::Garbage,
    page::{commands, run},
    world::{World, until},
};

/// A Deployment of the operator's name that was scaled to nothing.
async fn operator_gone(world: &World) -> Api<Deployment> {
    let namespace: Namespace =
        serde_json::from_value(json!({ "metadata": { "name": "tidemark-system" } })).unwrap();
    Api::all(world.client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    let deployment = json!({
        "metadata": { "name": "tidemark" },
        "spec": {
            "replicas": 0, "selector": { "matchLabels": { "a": "b" } },
            "template": {
                "metadata": { "labels": { "a": "b" } },
                "spec": { "containers": [{ "name": "operator", "image": "operator" }] },
            },
        },
    });
    let deployment: Deployment = serde_json::from_value(deployment).unwrap();
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), "tidemark-system");
    deployments.create(&PostParams::default(), &deployment).await.unwrap();
    deployments
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_for_a_cluster_whose_operator_is_gone_works_as_it_stands() {
    let mut world = World::with_fleet("by-hand", 3, |_| {}).await;
    let deployments = operator_gone(&world).await;
    world.operator = None;
    let blocks = commands("When the operator is gone");
    let [look, open, close, restore] = blocks[..] else { panic!("other blocks than expected: {blocks:?}") };
    let seen = run(look, "by-hand", "").await;
    let row = seen.lines().find(|line| line.starts_with("set-1")).context("a row").unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["set-1", "True", "True", "InSync"]);

    // One falls behind and is taken out; the one that takes its place is let in.
    world.primary.say(|primary| primary.tip = Some(200));
    world.follower(0).say(|follower| follower.tip = Some(200));
    run(close, "by-hand", "set-1").await;
    world.gate_is(1, "False", "ByHand").await;
    world.api::<Pod>().delete("set-1", &Default::default()).await.unwrap();
    world.start_follower(1, Script { tip: Some(200), ..Script::default() }).await;
    assert_eq!(world.gate(1).await, None, "nobody opens the gate of a new pod");
    run(open, "by-hand", "set-1").await;
    world.gate_is(1, "True", "ByHand").await;
    let conditions = world.pod(1).await.status.unwrap().conditions.unwrap();
    assert_eq!(conditions.iter().filter(|condition| condition.type_ == "tidemark.dev/in-sync").count(), 1);

    // A laggard is let in by mistake; the operator that returns judges it like any other.
    run(open, "by-hand", "set-2").await;
    run(restore, "by-hand", "").await;
    assert!(deployments.get("tidemark").await.unwrap().spec.unwrap().replicas > Some(0));
    world.start_operator();
    world.gate_is(2, "False", "Lagging").await;
    world.gate_is(1, "True", "InSync").await;
    world.gate_is(0, "True", "InSync").await;
}

/// Lets the dependents of a set go that is deleted as an orphan, as the garbage collector would.
async fn orphan_dependents(world: &World) {
    let sets: Api<StoreReplicaSet> = world.api();
    until("the set to be on its way out", async || {
        ensure!(sets.get("set").await?.metadata.deletion_timestamp.is_some(), "not yet");
        Ok(())
    })
    .await;
    let nobody = Patch::Merge(json!({ "metadata": { "ownerReferences": null } }));
    let params = PatchParams::default();
    let _: StatefulSet = world.api().patch("set", &params, &nobody).await.unwrap();
    for name in ["set", "set-peers"] {
        let _: Service = world.api().patch(name, &params, &nobody).await.unwrap();
    }
    let done = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    sets.patch("set", &params, &done).await.unwrap();
}

async fn ready(world: &World) -> BTreeMap<String, bool> {
    let pods: Api<Pod> = world.api();
    let is_ready = |pod: &Pod| condition(pod, "Ready") == Some(true);
    let pods = pods.list(&Default::default()).await.unwrap();
    pods.iter().map(|pod| (pod.name_any(), is_ready(pod))).collect()
}

async fn all_ready(world: &World) {
    until("every replica to be Ready", async || {
        let ready = ready(world).await;
        ensure!(ready.len() == 3 && ready.values().all(|ready| *ready), "{ready:?}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_leaves_tidemark_and_serves_all_the_way() {
    let mut world = World::with_fleet("leaving", 3, |_| {}).await;
    let _garbage = Garbage::start(world.client.clone(), &world.namespace);
    all_ready(&world).await;
    let blocks = commands("Leaving Tidemark");
    let [give_up, change, wait] = blocks[..] else { panic!("other blocks than expected: {blocks:?}") };
    assert!(wait.starts_with("kubectl rollout status statefulset/$SET"), "{wait}");
    let (_, ()) = tokio::join!(run(give_up, "leaving", ""), orphan_dependents(&world));
    until("the operator to forget the set", async || {
        ensure!(world.live("").await["fleets"] == json!([]), "it is still judged");
        Ok(())
    })
    .await;
    // Nobody judges any more: one that falls behind stays in.
    world.primary.say(|primary| primary.tip = Some(200));
    run(change, "leaving", "").await;
    let spec = world.statefulset().await.spec.unwrap();
    assert_eq!(spec.template.spec.unwrap().readiness_gates, None);
    assert_eq!(spec.update_strategy.unwrap().type_.as_deref(), Some("RollingUpdate"));
    // What the StatefulSet's controller does then, with an operator that still runs.
    for ordinal in [2, 1, 0] {
        all_ready(&world).await;
        let name = format!("set-{ordinal}");
        world.api::<Pod>().delete(&name, &Default::default()).await.unwrap();
        world.start_follower(ordinal, Script { tip: Some(100), ..Script::default() }).await;
        assert_eq!(world.gate(ordinal).await.map(|gate| gate.status), None, "nobody writes gates");
    }
    all_ready(&world).await;
    let spec = world.statefulset().await.spec.unwrap();
    assert_eq!(spec.template.spec.unwrap().readiness_gates, None, "nobody puts it back");
    assert!(world.api::<Service>().get("set").await.unwrap().owner_references().is_empty());
}
