//! A falling reference re-admits nobody, in whatever way the only fresh replica is lost; and its own tip brings one back.

use anyhow::ensure;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use tidemark_e2e::scripted::Script;

use crate::{
    witness::Witness,
    world::{World, reason_is, status_of, until},
};

/// The height the fleet was known to have.
const MARK: u32 = 200;

/// `set-0` alone is fresh; the others are out, and no floor holds them; then the primary falls silent.
async fn only_one_is_fresh(name: &str) -> (World, Witness) {
    let world = World::with_fleet(name, 3, |spec| spec["health"]["minServing"] = json!(0)).await;
    world.primary.say(|primary| primary.tip = Some(MARK));
    world.follower(0).say(|follower| follower.tip = Some(MARK));
    for ordinal in [1, 2] {
        world.gate_is(ordinal, "False", "Lagging").await;
    }
    let witness = Witness::start(world.client.clone(), name).await;
    until("the witness to see the one that is in", async || {
        ensure!(witness.open() == 1, "{}", witness.open());
        Ok(())
    })
    .await;
    world.primary.say(|primary| primary.failing = Some("gone fishing".to_owned()));
    (world, witness)
}

/// Those that lag see each other alone, and the height of one upstream: one is let in at the mark, and not before.
async fn nobody_returns_below_the_mark(world: &World, witness: &Witness) {
    let best_is_at = |tip| {
        world.follower(1).say(|follower| follower.tip = Some(tip));
        world.follower(2).say(|follower| follower.upstream_tip = Some(tip));
    };
    best_is_at(100);
    world.gate_is(1, "False", "BelowExitMark").await;
    world.gate_is(2, "False", "BelowExitMark").await;
    world.follower(1).asked(15).await.unwrap();
    best_is_at(MARK - 3);
    world.follower(1).asked(5).await.unwrap();
    for pod in ["set-1", "set-2"] {
        assert_eq!(witness.moves_of(pod).await, [false; 0], "{pod} was let in against a reference that fell");
    }
    best_is_at(MARK - 2);
    world.gate_is(1, "True", "InSync").await;
    assert_eq!(witness.moves_of("set-2").await, [false; 0]);
}

async fn delete(world: &World, pod: &str) {
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    world.api::<Pod>().delete(pod, &now).await.unwrap();
    is_gone(world, pod).await;
}

/// Whether `set-0` stays for a while when it is deleted, as one that shuts down does.
async fn lingering(world: &World, lingers: bool) {
    let finalizers: &[&str] = if lingers { &["tidemark.dev/test"] } else { &[] };
    let patch = Patch::Merge(json!({ "metadata": { "finalizers": finalizers } }));
    let _: Pod = world.api().patch("set-0", &PatchParams::default(), &patch).await.unwrap();
}

async fn is_gone(world: &World, pod: &str) {
    until("the pod to be gone", async || {
        ensure!(world.api::<Pod>().get_opt(pod).await?.is_none());
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_fresh_replica_is_restarted() {
    let (world, witness) = only_one_is_fresh("fresh-restarted").await;
    let down = status_of("follower", "containerd://first", json!({ "terminated": { "exitCode": 1 } }));
    world.write_status("set-0", json!({ "containerStatuses": [down] })).await;
    world.gate_is(0, "False", "NotRunning").await;
    world.follower(0).say(|follower| (follower.boot_id, follower.tip) = ("second".to_owned(), Some(3)));
    world.run_container("set-0", world.follower(0), "containerd://second").await;
    nobody_returns_below_the_mark(&world, &witness).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_fresh_replica_is_deleted() {
    let (world, witness) = only_one_is_fresh("fresh-deleted").await;
    delete(&world, "set-0").await;
    nobody_returns_below_the_mark(&world, &witness).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_fresh_replica_is_cut_off() {
    let (world, witness) = only_one_is_fresh("fresh-cut-off").await;
    world.follower(0).say(|follower| follower.failing = Some("cut off".to_owned()));
    nobody_returns_below_the_mark(&world, &witness).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_fresh_replica_is_rolled() {
    let (mut world, witness) = only_one_is_fresh("fresh-rolled").await;
    lingering(&world, true).await;
    world.api::<Pod>().delete("set-0", &DeleteParams::default()).await.unwrap();
    reason_is(&world, 0, "Terminating").await;
    lingering(&world, false).await;
    is_gone(&world, "set-0").await;
    let behind = Script { tip: Some(150), boot_id: "second".to_owned(), ..Script::default() };
    world.start_follower(0, behind).await;
    nobody_returns_below_the_mark(&world, &witness).await;
    assert_eq!(witness.moves_of("set-0").await, [true], "the new one is behind too");
    world.follower(0).say(|follower| (follower.tip, follower.upstream_tip) = (Some(MARK), Some(MARK)));
    world.gate_is(0, "True", "InSync").await;
}
