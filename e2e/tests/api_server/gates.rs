//! Gates: who is let in, who is put out, and what is written for it.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use k8s_openapi::{
    api::{apps::v1::StatefulSet, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use serde_json::json;
use tidemark_e2e::scripted::Script;
use tidemark_operator::{api::StoreReplicaSet, names::GATE};

use crate::world::{World, reason_is, status_of, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_at_n_behind_stays_one_more_is_out_and_it_returns_at_n() {
    let world = World::with_fleet("boundary", 3, |_| {}).await;
    world.primary.say(|primary| primary.tip = Some(102));
    for ordinal in [0, 1] {
        world.follower(ordinal).say(|follower| follower.tip = Some(102));
    }
    world.follower(2).asked(8).await.unwrap();
    assert_eq!(world.gate(2).await.unwrap().status, "True", "two behind is in");
    world.primary.say(|primary| primary.tip = Some(103));
    world.gate_is(2, "False", "Lagging").await;
    world.follower(2).say(|follower| follower.tip = Some(101));
    world.gate_is(2, "True", "InSync").await;
    for ordinal in [0, 1] {
        assert_eq!(world.gate(ordinal).await.unwrap().status, "True", "{ordinal} never was out");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_restarted_starts_over() {
    let world = World::with_fleet("restart", 2, |_| {}).await;
    let down = status_of("follower", "containerd://first", json!({ "terminated": { "exitCode": 1 } }));
    world.write_status("set-1", json!({ "containerStatuses": [down] })).await;
    world.gate_is(1, "False", "NotRunning").await;
    world.follower(1).say(|follower| {
        follower.boot_id = "second".to_owned();
        follower.tip = None;
    });
    world.run_container("set-1", world.follower(1), "containerd://second").await;
    world.follower(1).asked(5).await.unwrap();
    assert_eq!(world.gate(1).await.unwrap().status, "False", "an empty store is not let in");
    world.follower(1).say(|follower| follower.tip = Some(100));
    world.gate_is(1, "True", "InSync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pod_of_an_old_name_starts_over_and_another_pods_answer_is_none() {
    let mut world = World::with_fleet("replaced", 2, |_| {}).await;
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    world.api::<Pod>().delete("set-1", &now).await.unwrap();
    until("the pod to be gone", async || {
        ensure!(world.api::<Pod>().get_opt("set-1").await?.is_none());
        Ok(())
    })
    .await;
    world.start_follower(1, Script { tip: Some(100), ..Script::default() }).await;
    world.gate_is(1, "True", "InSync").await;
    world.follower(1).say(|follower| follower.pod_uid = "some other pod".to_owned());
    world.gate_is(1, "False", "Unknown").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_one_is_held_however_far_it_is_behind() {
    let world = World::with_fleet("floor", 2, |_| {}).await;
    world.primary.say(|primary| primary.tip = Some(200));
    // Which one is held depends on whose answer arrives first.
    until("one to be held and the other to be out", async || {
        let mut gates = Vec::new();
        for ordinal in [0, 1] {
            let gate = world.gate(ordinal).await.context("a gate")?;
            gates.push((gate.status, gate.reason.unwrap_or_default()));
        }
        gates.sort();
        let expected = [("False", "Lagging"), ("True", "HeldByFloor")];
        let expected = expected.map(|(status, reason)| (status.to_owned(), reason.to_owned()));
        ensure!(gates == expected, "{gates:?}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_follower_is_out_until_it_is_fenced_no_more() {
    let world = World::with_fleet("fenced", 2, |_| {}).await;
    world.change(json!({ "fenced": ["set-1"] })).await;
    world.gate_is(1, "False", "Fenced").await;
    world.change(json!({ "fenced": [] })).await;
    world.gate_is(1, "True", "InSync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn observing_only_lets_a_laggard_stay_and_says_what_it_would_have_done() {
    let world = World::with_fleet("observe", 2, |spec| spec["health"]["mode"] = json!("Observe")).await;
    world.primary.say(|primary| primary.tip = Some(200));
    world.follower(0).say(|follower| follower.tip = Some(200));
    until("the verdict that would put it out", async || {
        let set: StoreReplicaSet = world.api().get("set").await?;
        let member = set.status.unwrap_or_default().members.into_iter().find(|member| member.name == "set-1");
        let member = member.context("no member yet")?;
        ensure!((member.verdict.as_str(), member.reason.as_str()) == ("Out", "Lagging"), "{member:?}");
        Ok(())
    })
    .await;
    assert_eq!(world.gate(1).await.unwrap().status, "True");
}

/// Everything of a pod's status that is not the gate.
async fn kubelets(world: &World, ordinal: u32) -> serde_json::Value {
    let mut status = world.pod(ordinal).await.status.unwrap();
    status
        .conditions
        .get_or_insert_default()
        .retain(|condition| condition.type_ != GATE && condition.type_ != "Ready");
    serde_json::to_value(status).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_a_gate_leaves_kubelets_conditions_alone() {
    let world = World::with_fleet("kubelets", 2, |_| {}).await;
    let kubelets_own = json!([
        { "type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" },
        { "type": "Initialized", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z" },
        { "type": "ContainersReady", "status": "True", "lastTransitionTime": "2026-01-01T00:00:02Z" },
    ]);
    let patch = kube::api::Patch::Strategic(json!({ "status": { "conditions": kubelets_own } }));
    let _: Pod = world.api().patch_status("set-1", &Default::default(), &patch).await.unwrap();
    let before = kubelets(&world, 1).await;
    world.follower(0).say(|follower| follower.tip = Some(200));
    world.primary.say(|primary| primary.tip = Some(200));
    world.gate_is(1, "False", "Lagging").await;
    world.follower(1).say(|follower| follower.tip = Some(200));
    world.gate_is(1, "True", "InSync").await;
    assert_eq!(kubelets(&world, 1).await, before);
}

/// The version of every object the operator may write.
async fn versions(world: &World) -> BTreeMap<String, String> {
    let pods = world.api::<Pod>().list(&ListParams::default()).await.unwrap().items;
    let sets = world.api::<StoreReplicaSet>().list(&ListParams::default()).await.unwrap().items;
    let statefulsets = world.api::<StatefulSet>().list(&ListParams::default()).await.unwrap().items;
    let pods = pods.iter().map(|pod| (pod.name_any(), pod.resource_version().unwrap()));
    let sets = sets.iter().map(|set| ("set".to_owned(), set.resource_version().unwrap()));
    let statefulsets =
        statefulsets.iter().map(|one| ("statefulset".to_owned(), one.resource_version().unwrap()));
    pods.chain(sets).chain(statefulsets).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_while_nobody_crosses_a_threshold() {
    let world = World::with_fleet("quiet", 3, |_| {}).await;
    until("the status to count everybody in", async || {
        let set: StoreReplicaSet = world.api().get("set").await?;
        let status = set.status.unwrap_or_default();
        ensure!((status.in_sync_replicas, status.ready_replicas) == (3, 3), "{status:?}");
        Ok(())
    })
    .await;
    world.follower(0).asked(5).await.unwrap();
    let before = versions(&world).await;
    for tip in 101..111 {
        world.primary.say(|primary| primary.tip = Some(tip));
        for follower in world.followers.values() {
            follower.say(|follower| follower.tip = Some(tip));
        }
        world.follower(0).asked(2).await.unwrap();
    }
    assert_eq!(versions(&world).await, before);
}

async fn opened_at(world: &World, ordinal: u32) -> (String, Option<Time>) {
    let gate = world.gate(ordinal).await.unwrap();
    (gate.status, gate.last_transition_time)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_restarts_keeps_the_gates_it_finds_and_goes_on_judging() {
    let mut world = World::with_fleet("takeover", 3, |_| {}).await;
    world.primary.say(|primary| primary.tip = Some(110));
    world.follower(0).say(|follower| follower.tip = Some(110));
    world.follower(1).say(|follower| follower.tip = Some(110));
    world.gate_is(2, "False", "Lagging").await;
    world.operator = None;
    let before = [opened_at(&world, 0).await, opened_at(&world, 1).await, opened_at(&world, 2).await];
    world.start_operator();
    world.follower(2).asked(10).await.unwrap();
    assert_eq!([opened_at(&world, 0).await, opened_at(&world, 1).await, opened_at(&world, 2).await], before);
    world.follower(2).say(|follower| follower.tip = Some(110));
    world.gate_is(2, "True", "InSync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_somebody_else_opened_is_closed_again() {
    let world = World::with_fleet("level", 2, |_| {}).await;
    world.primary.say(|primary| primary.tip = Some(110));
    world.follower(0).say(|follower| follower.tip = Some(110));
    world.gate_is(1, "False", "Lagging").await;
    let version = world.pod(1).await.resource_version().unwrap();
    let opened = json!({ "type": GATE, "status": "True", "reason": "ByHand" });
    let patch = kube::api::Patch::Strategic(json!({ "status": { "conditions": [opened] } }));
    let _: Pod = world.api().patch_status("set-1", &Default::default(), &patch).await.unwrap();
    world.gate_is(1, "False", "Lagging").await;
    assert_ne!(world.pod(1).await.resource_version().unwrap(), version);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_follower_costs_only_itself() {
    let world = World::with_fleet("hanging", 3, |_| {}).await;
    world.follower(2).say(|follower| follower.delay = std::time::Duration::from_secs(3600));
    world.gate_is(2, "False", "Unknown").await;
    world.primary.say(|primary| primary.tip = Some(110));
    world.follower(0).say(|follower| follower.tip = Some(110));
    world.gate_is(1, "False", "Lagging").await;
    assert_eq!(world.gate(0).await.unwrap().status, "True");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_lies_about_a_high_tip_puts_nobody_out() {
    let world = World::with_fleet("liar", 3, |_| {}).await;
    let before = [opened_at(&world, 1).await, opened_at(&world, 2).await];
    world.follower(0).say(|liar| liar.tip = Some(u32::MAX));
    reason_is(&world, 0, "Unconfirmed").await;
    world.follower(1).asked(10).await.unwrap();
    world.primary.say(|primary| primary.failing = Some("gone fishing".to_owned()));
    world.condition_is("ObservationDegraded", "True", "PrimarySilent").await;
    world.follower(1).asked(10).await.unwrap();
    assert_eq!([opened_at(&world, 1).await, opened_at(&world, 2).await], before);
    world.primary.say(|primary| primary.failing = None);
    world.follower(0).say(|liar| liar.tip = Some(100));
    reason_is(&world, 0, "InSync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_with_other_blocks_at_the_same_height_is_out_however_fresh_it_is() {
    let world = World::with_fleet("fork", 3, |_| {}).await;
    let before = [opened_at(&world, 0).await, opened_at(&world, 1).await];
    world.follower(2).say(|fork| fork.forked_from = Some(90));
    world.gate_is(2, "False", "Diverged").await;
    let message = world.condition_is("Degraded", "True", "MembersDiverged").await;
    assert!(message.contains("set-2") && message.contains("100"), "{message}");
    assert_eq!([opened_at(&world, 0).await, opened_at(&world, 1).await], before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_knows_rpc_api_alone_is_asked_for_its_status() {
    let mut world = World::new("rpc-status").await;
    world.primary.say(|primary| primary.speaks_tidemark = false);
    world.create(world.spec()).await;
    for ordinal in 0..3 {
        world.start_follower(ordinal, Script { tip: Some(100), ..Script::default() }).await;
    }
    for ordinal in 0..3 {
        world.gate_is(ordinal, "True", "InSync").await;
    }
    world.condition_is("ObservationDegraded", "False", "Observed").await;
    world.primary.say(|primary| primary.tip = Some(103));
    world.follower(0).say(|follower| follower.tip = Some(103));
    world.gate_is(2, "False", "Lagging").await;
}
