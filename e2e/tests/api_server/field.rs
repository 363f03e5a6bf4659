//! The defect classes seen in the field, by number and name, each where the API server has its part in it.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{core::v1::Pod, policy::v1::PodDisruptionBudget};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, EvictParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tidemark_e2e::{
    apiserver::ApiServer,
    proxy::{Proxy, Weather},
    scripted::Script,
};
use tidemark_operator::{api::StoreReplicaSet, names::GATE};

use crate::{
    chart,
    limited::start_process,
    witness::Witness,
    world::{World, pod_of, reason_is, status_of, until},
};

const SILENT: &str = "gone fishing";

fn silence(world: &World, ordinals: &[u32]) {
    for ordinal in ordinals {
        world.follower(*ordinal).say(|follower| follower.failing = Some(SILENT.to_owned()));
    }
}

fn all_at(world: &World, tip: u32) {
    world.primary.say(|primary| primary.tip = Some(tip));
    world.followers.values().for_each(|follower| follower.say(|follower| follower.tip = Some(tip)));
}

/// A fleet of three whose `set-2` is out, and one who has seen that.
async fn lagging(name: &str, change: impl FnOnce(&mut Value)) -> (World, Witness) {
    let (world, witness) = in_sync(name, change).await;
    world.primary.say(|primary| primary.tip = Some(200));
    for ordinal in [0, 1] {
        world.follower(ordinal).say(|follower| follower.tip = Some(200));
    }
    world.gate_is(2, "False", "Lagging").await;
    open_is(&witness, 2).await;
    (world, witness)
}

async fn open_is(witness: &Witness, expected: usize) {
    until(&format!("{expected} gates to be open"), async || {
        ensure!(witness.open() == expected, "{} are open", witness.open());
        Ok(())
    })
    .await;
}

/// A fleet of three, all in, and one who has seen that.
async fn in_sync(name: &str, change: impl FnOnce(&mut Value)) -> (World, Witness) {
    let world = World::with_fleet(name, 3, change).await;
    let witness = Witness::start(world.client.clone(), name).await;
    open_is(&witness, 3).await;
    (world, witness)
}

#[tokio::test(flavor = "multi_thread")]
async fn class_01_an_unknown_lag_is_not_zero() {
    let mut world = World::new("class-01").await;
    let witness = Witness::start(world.client.clone(), "class-01").await;
    world.create(world.spec()).await;
    let silent = Script { tip: Some(100), failing: Some(SILENT.to_owned()), ..Script::default() };
    world.start_follower(0, silent).await;
    world.follower(0).asked(8).await.unwrap();
    world.gate_is(0, "False", "AwaitingFirstSample").await;
    let set: StoreReplicaSet = world.api().get("set").await.unwrap();
    let members = set.status.unwrap_or_default().members;
    assert!(members.iter().all(|member| member.lag.is_none() && member.verdict == "Out"), "{members:?}");
    assert_eq!(witness.moves().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn class_02_a_timed_out_check_readmits_nobody() {
    let (world, witness) = lagging("class-02", |_| {}).await;
    for follower in world.followers.values() {
        follower.say(|follower| follower.delay = Duration::from_secs(3600));
    }
    reason_is(&world, 2, "Unknown").await;
    world.condition_is("ObservationDegraded", "True", "MembersSilent").await;
    for _ in 0..10 {
        world.primary.asked(1).await.unwrap();
        assert_eq!(witness.moves_of("set-2").await, [true, false], "an answer that never came let it in");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn class_03_lag_is_not_a_replicas_own_view() {
    let (world, _) = in_sync("class-03", |_| {}).await;
    world.follower(2).say(|cut_off| cut_off.upstream_tip = Some(100));
    world.primary.say(|primary| primary.tip = Some(200));
    for ordinal in [0, 1] {
        world.follower(ordinal).say(|follower| follower.tip = Some(200));
    }
    world.gate_is(2, "False", "Lagging").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn class_04_one_rogue_high_tip_evicts_nobody() {
    let (world, witness) = in_sync("class-04", |_| {}).await;
    let before = witness.moves().await;
    world.follower(0).say(|rogue| rogue.tip = Some(u32::MAX));
    reason_is(&world, 0, "Unconfirmed").await;
    world.follower(1).asked(8).await.unwrap();
    world.primary.say(|primary| primary.failing = Some(SILENT.to_owned()));
    world.condition_is("ObservationDegraded", "True", "PrimarySilent").await;
    world.follower(1).asked(8).await.unwrap();
    assert_eq!(witness.moves().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn class_05_a_bogus_maximum_is_not_kept() {
    let (world, witness) = in_sync("class-05", |_| {}).await;
    world.primary.say(|primary| primary.tip = Some(9_000_000));
    open_is(&witness, 1).await;
    world.primary.say(|primary| primary.tip = Some(100));
    for ordinal in 0..3 {
        world.gate_is(ordinal, "True", "InSync").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn class_06_when_all_lag_not_all_are_unrouted() {
    let (world, witness) = in_sync("class-06", |_| {}).await;
    world.primary.say(|primary| primary.tip = Some(200));
    open_is(&witness, 1).await;
    for _ in 0..10 {
        world.follower(0).asked(1).await.unwrap();
        assert_eq!(witness.open(), 1, "{:?}", witness.moves().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn class_07_a_stall_is_not_lag() {
    let (world, witness) = in_sync("class-07", |spec| spec["health"]["stallAfter"] = json!("2s")).await;
    let before = witness.moves().await;
    world.condition_is("ChainStalled", "True", "NoNewBlocks").await;
    world.follower(0).asked(8).await.unwrap();
    assert_eq!(witness.moves().await, before);
    all_at(&world, 101);
    world.condition_is("ChainStalled", "False", "BlocksArrive").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn class_08_neither_a_lost_operator_nor_one_that_sees_nothing_flips_the_fleet() {
    let (mut world, witness) = in_sync("class-08", |_| {}).await;
    world.operator = None;
    let before = witness.moves().await;
    world.primary.say(|primary| primary.failing = Some(SILENT.to_owned()));
    silence(&world, &[0, 1, 2]);
    world.start_operator();
    world.condition_is("ObservationDegraded", "True", "MembersSilent").await;
    world.follower(0).asked(10).await.unwrap();
    let left = witness.moves().await.len() - before.len();
    assert!(left <= 1 && witness.open() >= 2, "{:?}", witness.moves().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn class_09_a_gate_that_is_absent_is_written_closed() {
    let world = World::new("class-09").await;
    let witness = Witness::start(world.client.clone(), "class-09").await;
    world.create(world.spec()).await;
    let statefulset = world.statefulset().await;
    let pod: Pod = world.api().create(&PostParams::default(), &pod_of(&statefulset, 0)).await.unwrap();
    assert_eq!(pod.spec.unwrap().readiness_gates.unwrap()[0].condition_type, GATE);
    world.gate_is(0, "False", "NotRunning").await;
    assert_eq!(witness.moves().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn class_10_the_gate_falls_when_the_container_restarts() {
    let (world, witness) = in_sync("class-10", |_| {}).await;
    world.follower(1).say(|follower| {
        follower.boot_id = "second".to_owned();
        follower.failing = Some("still opening its store".to_owned());
    });
    world.run_container("set-1", world.follower(1), "containerd://second").await;
    world.gate_is(1, "False", "AwaitingFirstSample").await;
    world.follower(1).asked(8).await.unwrap();
    assert_eq!(witness.moves_of("set-1").await, [true, false]);
    world.follower(1).say(|follower| follower.failing = None);
    world.gate_is(1, "True", "InSync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn class_11_one_that_is_out_is_checked_again() {
    let (world, _) = lagging("class-11", |_| {}).await;
    world.follower(2).asked(8).await.unwrap();
    world.follower(2).say(|follower| follower.tip = Some(200));
    world.gate_is(2, "True", "InSync").await;
}

/// The conditions of a pod that a manager's entries name as its own.
fn conditions_of(pod: &Pod, manager: &str) -> BTreeSet<String> {
    let entries = pod.metadata.managed_fields.iter().flatten();
    let entries = entries.filter(|entry| entry.manager.as_deref() == Some(manager));
    let fields = entries.filter_map(|entry| entry.fields_v1.as_ref());
    let conditions = fields.filter_map(|fields| fields.0["f:status"]["f:conditions"].as_object());
    let keys = conditions.flat_map(|conditions| conditions.keys());
    let types = keys.filter_map(|key| key.strip_prefix("k:")).map(|key| {
        let key: Value = serde_json::from_str(key).unwrap();
        key["type"].as_str().unwrap().to_owned()
    });
    types.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn class_12_kubelets_conditions_outlive_every_write_of_a_gate() {
    let (world, _) = in_sync("class-12", |_| {}).await;
    let kubelets = ["PodScheduled", "Initialized", "ContainersReady"];
    let own = kubelets.map(|type_| json!({ "type": type_, "status": "True", "reason": "Kubelet" }));
    let patch = Patch::Strategic(json!({ "status": { "conditions": own } }));
    let kubelet = PatchParams { field_manager: Some("kubelet".to_owned()), ..PatchParams::default() };
    let _: Pod = world.api().patch_status("set-2", &kubelet, &patch).await.unwrap();
    all_at(&world, 200);
    world.follower(2).say(|follower| follower.tip = Some(100));
    world.gate_is(2, "False", "Lagging").await;
    world.follower(2).say(|follower| follower.tip = Some(200));
    world.gate_is(2, "True", "InSync").await;
    let pod = world.pod(2).await;
    assert_eq!(conditions_of(&pod, "kubelet"), kubelets.map(str::to_owned).into());
    let conditions = pod.status.unwrap().conditions.unwrap();
    let kept = |type_: &&str| {
        conditions.iter().any(|one| one.type_ == *type_ && one.reason.as_deref() == Some("Kubelet"))
    };
    assert!(kubelets.iter().all(kept), "{conditions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn class_13_ready_is_never_written() {
    let (world, _) = lagging("class-13", |_| {}).await;
    for ordinal in 0..3 {
        let pod = world.pod(ordinal).await;
        assert_eq!(conditions_of(&pod, "tidemark-operator"), [GATE.to_owned()].into());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn class_14_a_long_exclusion_delays_no_readmission() {
    let (world, _) = lagging("class-14", |_| {}).await;
    silence(&world, &[2]);
    world.follower(2).asked(25).await.unwrap();
    world.follower(2).say(|follower| (follower.tip, follower.failing) = (Some(200), None));
    let before = world.follower(2).times_asked();
    world.gate_is(2, "True", "InSync").await;
    let asked = world.follower(2).times_asked() - before;
    assert!(asked <= 15, "it took {asked} samples, where 2 suffice");
}

#[tokio::test(flavor = "multi_thread")]
async fn class_14_a_gate_that_could_not_be_written_is_written_soon_after_it_can_be() {
    let mut world = World::without_operator(ApiServer::shared().client().unwrap(), "class-14-writes").await;
    let proxy = Proxy::start(ApiServer::shared().config()).await.unwrap();
    world.start_operator_through(proxy.config().unwrap().try_into().unwrap());
    world.create_fleet(2, |_| {}).await;
    let gates = |parts: &http::request::Parts| {
        parts.method == http::Method::PATCH && parts.uri.path().contains("/pods/")
    };
    let refusal = Some((http::StatusCode::INTERNAL_SERVER_ERROR, gates as fn(&_) -> bool));
    proxy.set(Weather { refusal, ..Weather::default() });
    world.primary.say(|primary| primary.tip = Some(200));
    world.follower(0).say(|follower| follower.tip = Some(200));
    until("several attempts to be refused", async || {
        let refused = proxy.answered(|_, _, status| status.is_server_error());
        ensure!(refused >= 6, "{refused}");
        Ok(())
    })
    .await;
    assert_eq!(world.gate(1).await.unwrap().status, "True", "no write came through");
    proxy.set(Weather::default());
    world.gate_is(1, "False", "Lagging").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn class_15_the_packaged_chart_permits_all_the_operator_does() {
    let mut world = World::without_operator(ApiServer::shared().client().unwrap(), "class-15").await;
    let installed = chart::install(&world.client, "class-15").await;
    let mut as_account = ApiServer::shared().config();
    as_account
        .headers
        .push((http::HeaderName::from_static("impersonate-user"), installed.user.parse().unwrap()));
    let proxy = Proxy::start(as_account).await.unwrap();
    let _operator =
        start_process(&proxy, "class-15", &[("TIDEMARK_OPERATOR_LEASE_NAME", installed.lease.into())]);
    world.create_fleet(2, |_| {}).await;
    world.primary.say(|primary| primary.tip = Some(200));
    world.follower(0).say(|follower| follower.tip = Some(200));
    world.gate_is(1, "False", "Lagging").await;
    reason_is(&world, 1, "Lagging").await;
    world.change(json!({ "disruptionBudget": { "create": false } })).await;
    until("the budget to be deleted", async || {
        ensure!(world.api::<PodDisruptionBudget>().get_opt("set").await?.is_none());
        Ok(())
    })
    .await;
    let forbidden = proxy.answered(|_, _, status| status == http::StatusCode::FORBIDDEN);
    assert_eq!(forbidden, 0, "the chart's role lacks something");
}

#[tokio::test(flavor = "multi_thread")]
async fn class_16_not_off_by_one_at_n() {
    let (world, witness) = in_sync("class-16", |spec| spec["health"]["maxLagBlocks"] = json!(0)).await;
    all_at(&world, 101);
    world.follower(2).asked(8).await.unwrap();
    assert_eq!(witness.moves().await.len(), 3, "nobody is behind");
    world.follower(2).say(|follower| follower.tip = Some(100));
    world.gate_is(2, "False", "Lagging").await;
    world.follower(2).say(|follower| follower.tip = Some(101));
    world.gate_is(2, "True", "InSync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn class_17_rollout_rebuild_and_lag_share_one_budget() {
    let (world, witness) = lagging("class-17", |spec| {
        // A busy machine must not make one look silent, which would be another way out.
        (spec["health"]["minServing"], spec["health"]["staleAfter"]) = (json!(2), json!("20s"));
    })
    .await;
    let before = witness.moves().await;
    let uids = async || {
        let pods = world.api::<Pod>().list(&Default::default()).await.unwrap().items;
        let serving = pods.into_iter().filter(|pod| pod.name_any() != "set-2");
        serving.map(|pod| (pod.uid().unwrap(), pod.metadata.deletion_timestamp)).collect::<Vec<_>>()
    };
    let serving = uids().await;
    let rebuild = Patch::Merge(json!({ "metadata": { "annotations": { "tidemark.dev/rebuild": "true" } } }));
    let _: Pod = world.api().patch("set-1", &PatchParams::default(), &rebuild).await.unwrap();
    world.follower(0).asked(10).await.unwrap();
    assert_eq!(witness.moves().await, before, "a rebuild took what the lag had spent");
    world.change(json!({ "follower": { "image": "tidemark.local/tidemark-follower:next" } })).await;
    until("the new template", async || {
        let spec = world.statefulset().await.spec.context("a spec")?.template.spec.context("a pod")?;
        let image = spec.containers[0].image.clone().unwrap_or_default();
        ensure!(image.ends_with(":next"), "{image}");
        Ok(())
    })
    .await;
    world.follower(0).asked(10).await.unwrap();
    assert_eq!(uids().await, serving, "one that serves was given up while another was out");
    assert_eq!(witness.moves().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn class_18_what_is_read_is_not_changed() {
    let (world, _) = lagging("class-18", |_| {}).await;
    world.condition_is("Accepted", "True", "Accepted").await;
    let set: StoreReplicaSet = world.api().get("set").await.unwrap();
    assert_eq!(set.metadata.generation, Some(1), "nobody but its owner changes a spec");
    let entries = set.metadata.managed_fields.iter().flatten();
    let own = entries.filter(|entry| entry.manager.as_deref() == Some("tidemark-operator"));
    let fields: BTreeSet<String> = own
        .filter_map(|entry| entry.fields_v1.as_ref())
        .flat_map(|fields| fields.0.as_object().unwrap().keys().cloned().collect::<Vec<_>>())
        .collect();
    assert_eq!(fields, ["f:status".to_owned()].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn class_19_nobody_serves_before_its_first_sample() {
    let mut world = World::with_fleet("class-19", 2, |_| {}).await;
    let witness = Witness::start(world.client.clone(), "class-19").await;
    world.change(json!({ "replicas": 3 })).await;
    let silent = Script { tip: Some(100), failing: Some("opening".to_owned()), ..Script::default() };
    world.start_follower(2, silent).await;
    world.gate_is(2, "False", "AwaitingFirstSample").await;
    world.follower(2).asked(8).await.unwrap();
    assert_eq!(witness.moves_of("set-2").await, [false; 0]);
    world.follower(2).say(|follower| follower.failing = None);
    world.gate_is(2, "True", "InSync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn class_20_a_change_of_leader_resets_no_gate() {
    let (mut world, witness) = lagging("class-20", |_| {}).await;
    let before = witness.moves().await;
    for _ in 0..3 {
        world.operator = None;
        world.start_operator();
        world.follower(2).asked(4).await.unwrap();
    }
    assert_eq!(witness.moves().await, before);
    world.follower(2).say(|follower| follower.tip = Some(200));
    world.gate_is(2, "True", "InSync").await;
}

/// Writes what the disruption controller writes when no pod may go.
async fn allow_no_disruption(world: &World) {
    let budget = until("the budget", async || Ok(world.api::<PodDisruptionBudget>().get("set").await?)).await;
    let status = json!({ "status": {
        "observedGeneration": budget.metadata.generation, "disruptionsAllowed": 0, "currentHealthy": 1,
        "desiredHealthy": 2, "expectedPods": 3,
    } });
    let budgets = world.api::<PodDisruptionBudget>();
    budgets.patch_status("set", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn class_21_a_lagging_pod_blocks_no_drain() {
    let (world, _) = lagging("class-21", |_| {}).await;
    until("the laggard to be unready", async || {
        let conditions = world.pod(2).await.status.unwrap().conditions.unwrap_or_default();
        ensure!(conditions.iter().any(|one| one.type_ == "Ready" && one.status == "False"), "{conditions:?}");
        Ok(())
    })
    .await;
    allow_no_disruption(&world).await;
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    let evict = EvictParams { delete_options: Some(now), ..EvictParams::default() };
    // Which is not to try again what is refused.
    let mut config = ApiServer::shared().config();
    config.default_retry = false;
    let pods: Api<Pod> = Api::namespaced(Client::try_from(config).unwrap(), &world.namespace);
    let refused = pods.evict("set-0", &evict).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 429), "{refused}");
    pods.evict("set-2", &evict).await.unwrap();
    until("the laggard to be gone", async || {
        ensure!(world.api::<Pod>().get_opt("set-2").await?.is_none());
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn class_22_a_tip_that_goes_backwards_is_lag() {
    let (world, witness) = in_sync("class-22", |_| {}).await;
    world.primary.say(|primary| primary.failing = Some(SILENT.to_owned()));
    world.follower(2).say(|crashed| {
        crashed.tip = Some(90);
        crashed.boot_id = "second".to_owned();
    });
    let down = status_of(
        "follower",
        "containerd://second",
        json!({ "running": { "startedAt": "2026-01-01T00:00:01Z" } }),
    );
    world.write_status("set-2", json!({ "containerStatuses": [down] })).await;
    until("it to be out for its lag", async || {
        let gate = world.gate(2).await.context("a gate")?;
        ensure!(gate.status == "False" && gate.message.unwrap_or_default().contains("10 blocks behind"));
        Ok(())
    })
    .await;
    world.follower(2).asked(8).await.unwrap();
    assert_eq!(witness.moves_of("set-2").await, [true, false]);
    assert_eq!(witness.open(), 2);
}
