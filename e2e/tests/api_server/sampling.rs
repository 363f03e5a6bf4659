//! Sampling: whatever one follower does costs only itself, and images that speak `rpc.Api` alone.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tidemark_e2e::scripted::{Manners, Script};
use tidemark_operator::api::StoreReplicaSet;

use crate::world::{World, status_of, until};

/// How far apart blocks of one store are read for their hashes.
const HASHES_EVERY: Duration = Duration::from_secs(30);
/// The reason of a follower that is not heard any more.
const SILENT: &str = "Unknown";

/// Has the last of three followers misbehave, and the chain go on: the other two are judged as if nothing was.
async fn costs_only_itself(name: &str, reason: &str, misbehave: impl Fn(&mut Script)) -> World {
    let world = World::with_fleet(name, 3, |_| {}).await;
    world.follower(2).say(&misbehave);
    let status = if reason == SILENT { "False" } else { "True" };
    world.gate_is(2, status, reason).await;
    for tip in [103, 106] {
        world.primary.say(|primary| primary.tip = Some(tip));
        world.follower(0).say(|follower| follower.tip = Some(tip));
        world.gate_is(1, "False", "Lagging").await;
        world.follower(1).say(|follower| follower.tip = Some(tip));
        world.gate_is(1, "True", "InSync").await;
        assert_eq!(world.gate(0).await.unwrap().status, "True", "it was never behind");
    }
    assert_eq!(world.gate(2).await.unwrap().status, status, "nothing changed for the one that misbehaves");
    world
}

/// The same, and it returns once it behaves.
async fn costs_only_itself_and_passes(name: &str, misbehave: impl Fn(&mut Script)) {
    let world = costs_only_itself(name, SILENT, misbehave).await;
    world.follower(2).say(|follower| {
        let pod_uid = follower.pod_uid.clone();
        *follower = Script { tip: Some(106), pod_uid, ..Script::default() };
    });
    world.gate_is(2, "True", "InSync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_costs_only_itself() {
    costs_only_itself_and_passes("hangs", |script| script.manners = Manners::Hangs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_babbles_costs_only_itself() {
    costs_only_itself_and_passes("babbles", |script| script.manners = Manners::Babbles).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_resets_connections_costs_only_itself() {
    costs_only_itself_and_passes("resets", |script| script.manners = Manners::Resets).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_drips_costs_only_itself() {
    costs_only_itself_and_passes("drips", |script| script.manners = Manners::Drips).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_without_a_genesis_costs_only_itself() {
    costs_only_itself_and_passes("no-genesis", |script| script.hides_genesis = true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_another_pod_costs_only_itself() {
    let world = costs_only_itself("other-pod", SILENT, |script| script.pod_uid = "another".to_owned()).await;
    let uid = world.pod(2).await.metadata.uid.unwrap();
    world.follower(2).say(|follower| (follower.pod_uid, follower.tip) = (uid, Some(106)));
    world.gate_is(2, "True", "InSync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_claims_the_highest_of_all_numbers_costs_only_itself() {
    costs_only_itself("highest", "Unconfirmed", |script| script.tip = Some(u32::MAX)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_end_cost_only_their_follower_and_are_not_read() {
    const LENGTH: u64 = 8 << 20;
    let world = World::with_fleet("oversized", 2, |_| {}).await;
    let (asked, written) = (world.follower(1).times_asked(), world.follower(1).written());
    world.follower(1).say(|follower| follower.chatter = usize::try_from(LENGTH).unwrap());
    world.gate_is(1, "False", SILENT).await;
    world.primary.say(|primary| primary.tip = Some(103));
    world.follower(0).say(|follower| follower.tip = Some(103));
    world.follower(1).asked(10).await.unwrap();
    let asked = world.follower(1).times_asked() - asked;
    let each = (world.follower(1).written() - written) / asked;
    assert!(each < LENGTH / 16, "{each} bytes of each answer were taken");
    world.gate_is(0, "True", "InSync").await;
    world.follower(1).say(|follower| (follower.chatter, follower.tip) = (0, Some(103)));
    world.gate_is(1, "True", "InSync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn field_10_a_process_that_restarted_unseen_starts_over() {
    let slowly = |spec: &mut Value| spec["health"]["readmitAfter"] = json!(10);
    let world = World::with_fleet("unseen-restart", 2, slowly).await;
    // The API server goes on showing the container that ran before.
    world.follower(1).say(|follower| follower.boot_id = "second".to_owned());
    world.gate_is(1, "False", "CatchingUp").await;
    world.gate_is(1, "True", "InSync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_ended_for_good_is_neither_asked_nor_counted() {
    let world = World::with_fleet("evicted", 3, |_| {}).await;
    let status = json!({ "phase": "Failed", "reason": "Evicted" });
    world.write_status("set-2", status).await;
    until("two members to be left", async || {
        let set: StoreReplicaSet = world.api().get("set").await?;
        let members = set.status.unwrap_or_default().members;
        ensure!(members.len() == 2, "{members:?}");
        Ok(())
    })
    .await;
    let asked = world.follower(2).times_asked();
    world.follower(0).asked(5).await.unwrap();
    assert!(world.follower(2).times_asked() <= asked + 1, "one request may have been under way");
}

/// A script of an image that speaks `rpc.Api` alone.
fn plain(tip: u32) -> Script {
    Script { tip: Some(tip), speaks_tidemark: false, ..Script::default() }
}

/// A set of protocol rpc-status with followers of these scripts.
async fn plain_fleet(name: &str, scripts: &[Script], change: impl FnOnce(&mut Value)) -> World {
    let mut world = World::new(name).await;
    let mut spec = world.spec();
    spec["replicas"] = json!(scripts.len());
    spec["follower"]["protocol"] = json!("rpc-status");
    change(&mut spec);
    world.create(spec).await;
    for (ordinal, script) in (0..).zip(scripts) {
        world.start_follower(ordinal, script.clone()).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_speak_rpc_api_alone_are_judged_by_their_status() {
    let secretive = Script { hides_genesis: true, ..plain(100) };
    let world = plain_fleet("plain", &[plain(100), plain(100), secretive], |_| {}).await;
    world.gate_is(0, "True", "InSync").await;
    world.gate_is(1, "True", "InSync").await;
    world.gate_is(2, "False", "AwaitingFirstSample").await;
    world.follower(2).say(|follower| follower.hides_genesis = false);
    world.gate_is(2, "True", "InSync").await;
    world.primary.say(|primary| primary.tip = Some(103));
    world.follower(0).say(|follower| follower.tip = Some(103));
    world.gate_is(1, "False", "Lagging").await;
    // Its identity is what the API server shows of it.
    let down = status_of("follower", "containerd://first", json!({ "terminated": { "exitCode": 1 } }));
    world.write_status("set-0", json!({ "containerStatuses": [down] })).await;
    until("a held or closed gate", async || {
        let gate = world.gate(0).await.context("a gate")?;
        ensure!(gate.status == "False" && gate.reason.as_deref() == Some("NotRunning"), "{gate:?}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_among_images_that_answer_no_hash_is_found_in_their_blocks() {
    let began = Instant::now();
    let large = Script { padding: 3 << 20, ..plain(100) };
    let forked = Script { forked_from: Some(50), ..large.clone() };
    let mut world = World::new("plain-fork").await;
    world.primary.say(|primary| *primary = large.clone());
    let mut spec = world.spec();
    (spec["replicas"], spec["follower"]["protocol"]) = (json!(3), json!("rpc-status"));
    world.create(spec).await;
    for (ordinal, script) in [(0, &large), (1, &large), (2, &forked)] {
        world.start_follower(ordinal, script.clone()).await;
    }
    // Not every store has been read when blocks are first compared; they are again after half a minute.
    world.gate_is_within(HASHES_EVERY * 3, 2, "False", "Diverged").await;
    world.gate_is(0, "True", "InSync").await;
    world.follower(0).asked(20).await.unwrap();
    let most = 1 + began.elapsed().as_secs() / HASHES_EVERY.as_secs();
    for ordinal in 0..3 {
        let read = world.follower(ordinal).blocks_read();
        assert!((1..=most).contains(&read), "{read} blocks of {ordinal} were read");
    }
    assert!(world.primary.blocks_read() <= most, "the primary's blocks are as dear");
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_cannot_be_read_are_no_evidence() {
    let large = Script { padding: 65 << 20, ..plain(100) };
    let world = plain_fleet("plain-too-large", &[plain(100), plain(100), large], |_| {}).await;
    for ordinal in 0..3 {
        world.gate_is(ordinal, "True", "InSync").await;
    }
    until("the block to have been asked for", async || {
        ensure!(world.follower(2).blocks_read() > 0);
        Ok(())
    })
    .await;
    world.follower(2).asked(10).await.unwrap();
    assert_eq!(world.gate(2).await.unwrap().status, "True", "its samples go on beside it");
    assert!(world.follower(2).written() < 16 << 20, "most of the block was not taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_primary_the_fleet_is_all_there_is_and_says_so() {
    let world =
        plain_fleet("plain-alone", &[plain(90), plain(90)], |spec| spec["primary"]["observe"] = json!(false))
            .await;
    world.gate_is(0, "True", "InSync").await;
    world.gate_is(1, "True", "InSync").await;
    world.condition_is("ObservationDegraded", "True", "ReferenceIsFleetOnly").await;
    assert_eq!(world.primary.times_asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_speaks_something_else_is_named_with_the_way_out() {
    let mut world = World::new("foreign").await;
    let mut spec = world.spec();
    spec["replicas"] = json!(2);
    world.create(spec).await;
    world.start_follower(0, Script { tip: Some(100), ..Script::default() }).await;
    world.start_follower(1, plain(100)).await;
    let message = world.condition_is("Degraded", "True", "ProtocolUnsupported").await;
    assert!(message.starts_with("set-1 answer") && message.contains("rpc-status"), "{message}");
    world.gate_is(0, "True", "InSync").await;
    world.follower(1).say(|follower| follower.speaks_tidemark = true);
    world.condition_is("Degraded", "False", "AsExpected").await;
    world.gate_is(1, "True", "InSync").await;
}
