//! Each rule at its boundary: one below, at it, one above.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde_json::{Value, json};
use tidemark_operator::api::StoreReplicaSet;

use crate::{
    witness::Witness,
    world::{World, reason_is, until},
};

fn tips(world: &World, primary: u32, followers: &[u32]) {
    world.primary.say(|script| script.tip = Some(primary));
    for (ordinal, tip) in (0..).zip(followers) {
        world.follower(ordinal).say(|script| script.tip = Some(*tip));
    }
}

/// Waits until these many gates are open, and sees that it stays at that.
async fn open_settle_at(world: &World, witness: &Witness, expected: usize) {
    until(&format!("{expected} gates to be open"), async || {
        ensure!(witness.open() == expected, "{} are open", witness.open());
        Ok(())
    })
    .await;
    let moves = witness.moves().await.len();
    for follower in world.followers.values() {
        if follower.times_asked() > 0 {
            follower.asked(5).await.unwrap();
        }
    }
    assert_eq!(witness.moves().await.len(), moves, "{:?}", witness.moves().await);
}

fn health(change: Value) -> impl FnOnce(&mut Value) {
    move |spec| {
        for (field, value) in change.as_object().unwrap() {
            spec["health"][field] = value.clone();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn max_lag_blocks() {
    let world = World::with_fleet("max-lag", 4, health(json!({ "maxLagBlocks": 5 }))).await;
    let witness = Witness::start(world.client.clone(), "max-lag").await;
    tips(&world, 206, &[206, 202, 201, 200]);
    world.gate_is(3, "False", "Lagging").await;
    open_settle_at(&world, &witness, 3).await;
    assert_eq!(witness.moves_of("set-1").await, [true], "4 behind, with 5 allowed");
    assert_eq!(witness.moves_of("set-2").await, [true], "5 behind, with 5 allowed");
    assert_eq!(witness.moves_of("set-3").await, [true, false], "6 behind, with 5 allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn readmit_lag_blocks() {
    let change = health(json!({ "maxLagBlocks": 9, "readmitLagBlocks": 3 }));
    let world = World::with_fleet("readmit-lag", 4, change).await;
    tips(&world, 200, &[200, 100, 100, 100]);
    for ordinal in [1, 2, 3] {
        world.gate_is(ordinal, "False", "Lagging").await;
    }
    tips(&world, 200, &[200, 198, 197, 196]);
    for ordinal in [1, 2] {
        world.gate_is(ordinal, "True", "InSync").await;
    }
    reason_is(&world, 3, "CatchingUp").await;
    world.follower(3).asked(10).await.unwrap();
    assert_eq!(world.gate(3).await.unwrap().status, "False", "4 behind, with 3 to return");
}

#[tokio::test(flavor = "multi_thread")]
async fn readmit_after() {
    let change = health(json!({ "readmitAfter": 4, "pollInterval": "400ms", "staleAfter": "20s" }));
    let world = World::with_fleet("readmit-after", 2, change).await;
    tips(&world, 200, &[200, 100]);
    world.gate_is(1, "False", "Lagging").await;
    let witness = Witness::start(world.client.clone(), "readmit-after").await;
    let good_samples = async |samples| {
        world.follower(1).say(|follower| (follower.tip, follower.failing) = (Some(100), None));
        world.follower(1).asked(2).await.unwrap();
        world.follower(1).say(|follower| follower.tip = Some(200));
        world.follower(1).asked(samples).await.unwrap();
        world.follower(1).say(|follower| follower.failing = Some("no more".to_owned()));
    };
    good_samples(3).await;
    world.follower(1).asked(4).await.unwrap();
    assert_eq!(witness.moves_of("set-1").await, [false; 0], "3 good samples in a row, with 4 asked for");
    good_samples(4).await;
    world.gate_is(1, "True", "InSync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hard_max_lag_blocks() {
    let world = World::with_fleet("hard-max-lag", 1, health(json!({ "hardMaxLagBlocks": 20 }))).await;
    let witness = Witness::start(world.client.clone(), "hard-max-lag").await;
    tips(&world, 119, &[100]);
    reason_is(&world, 0, "HeldByFloor").await;
    tips(&world, 120, &[100]);
    world.follower(0).asked(5).await.unwrap();
    assert_eq!(witness.moves().await, [("set-0".to_owned(), true)], "19 and 20 behind, with 20 allowed");
    tips(&world, 121, &[100]);
    world.gate_is(0, "False", "Lagging").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn min_serving() {
    let world = World::with_fleet("min-serving", 4, health(json!({ "minServing": 2 }))).await;
    let witness = Witness::start(world.client.clone(), "min-serving").await;
    tips(&world, 200, &[103, 102, 101, 100]);
    open_settle_at(&world, &witness, 2).await;
    world.change(json!({ "health": { "minServing": 3 } })).await;
    open_settle_at(&world, &witness, 3).await;
    world.change(json!({ "health": { "minServing": 1 } })).await;
    open_settle_at(&world, &witness, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_after() {
    let change = health(json!({ "pollInterval": "500ms", "staleAfter": "3s" }));
    let world = World::with_fleet("stale-after", 2, change).await;
    let witness = Witness::start(world.client.clone(), "stale-after").await;
    let silent = |silent: bool| {
        let failing = silent.then(|| "says nothing".to_owned());
        world.follower(1).say(|follower| follower.failing = failing);
    };
    silent(true);
    world.follower(1).asked(3).await.unwrap();
    silent(false);
    world.follower(1).asked(2).await.unwrap();
    let start = Instant::now();
    silent(true);
    world.gate_is(1, "False", "Unknown").await;
    let lasted = start.elapsed();
    open_settle_at(&world, &witness, 1).await;
    assert!(lasted > Duration::from_secs(2), "out after {lasted:?}, although its sample was fresh");
    assert_eq!(
        witness.moves_of("set-1").await,
        [true, false],
        "a silence of less took it out, with 3 s allowed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stall_after() {
    let world = World::with_fleet("stall-after", 1, health(json!({ "stallAfter": "5s" }))).await;
    let begun = Instant::now();
    let mut tip = 100;
    while begun.elapsed() < Duration::from_secs(7) {
        tip += 1;
        tips(&world, tip, &[tip]);
        world.follower(0).asked(3).await.unwrap();
        assert_eq!(world.condition("ChainStalled").await.unwrap().status, "False", "a block in less, {tip}");
    }
    let start = Instant::now();
    tips(&world, tip + 1, &[tip + 1]);
    world.condition_is("ChainStalled", "True", "NoNewBlocks").await;
    let lasted = start.elapsed();
    assert!(lasted >= Duration::from_secs(5), "stalled after {lasted:?}, with 5 s allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn forget_after() {
    let world = World::with_fleet("forget-after", 3, health(json!({ "forgetAfter": "4s" }))).await;
    tips(&world, 200, &[200, 100, 100]);
    for ordinal in [1, 2] {
        world.gate_is(ordinal, "False", "Lagging").await;
    }
    world.follower(2).say(|follower| follower.upstream_tip = Some(100));
    world.primary.asked(2).await.unwrap();
    let start = Instant::now();
    world.primary.say(|primary| primary.failing = Some("says nothing".to_owned()));
    world.follower(0).say(|follower| follower.failing = Some("says nothing".to_owned()));
    reason_is(&world, 1, "BelowExitMark").await;
    for ordinal in [1, 2] {
        world.gate_is(ordinal, "True", "InSync").await;
    }
    let lasted = start.elapsed();
    assert!(lasted > Duration::from_secs(4), "back after {lasted:?}, with the mark to be kept for 4 s");
}

/// How many of so many leave when none answers.
async fn leave_in_silence(name: &str, replicas: u32) -> usize {
    let world = World::with_fleet(name, replicas, |_| {}).await;
    let witness = Witness::start(world.client.clone(), name).await;
    for follower in world.followers.values() {
        follower.say(|follower| follower.failing = Some("says nothing".to_owned()));
    }
    world.condition_is("ObservationDegraded", "True", "MembersSilent").await;
    let reasons = until("all to be judged silent", async || {
        let set: StoreReplicaSet = world.api().get("set").await?;
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for member in set.status.unwrap_or_default().members {
            *reasons.entry(member.reason).or_default() += 1;
        }
        let silent = reasons.get("Unknown").unwrap_or(&0) + reasons.get("HeldUnknown").unwrap_or(&0);
        ensure!(silent == usize::try_from(replicas)?, "{reasons:?}");
        Ok(reasons)
    })
    .await;
    let out = reasons.get("Unknown").copied().unwrap_or(0);
    open_settle_at(&world, &witness, usize::try_from(replicas).unwrap() - out).await;
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_budget_of_five_is_one() {
    assert_eq!(leave_in_silence("silence-5", 5).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_budget_of_six_and_seven_is_two() {
    let (six, seven) = tokio::join!(leave_in_silence("silence-6", 6), leave_in_silence("silence-7", 7));
    assert_eq!((six, seven), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_budget_is_at_least_one() {
    assert_eq!(leave_in_silence("silence-2", 2).await, 1);
}

/// One that claims `above` blocks more than anybody else counts against one that is a block behind, or does not.
#[tokio::test(flavor = "multi_thread")]
async fn confirmation() {
    let world = World::with_fleet("confirmation", 3, |_| {}).await;
    let witness = Witness::start(world.client.clone(), "confirmation").await;
    tips(&world, 100, &[101, 100, 99]);
    world.follower(0).asked(5).await.unwrap();
    reason_is(&world, 0, "InSync").await;
    tips(&world, 100, &[103, 100, 99]);
    reason_is(&world, 0, "Unconfirmed").await;
    world.follower(2).asked(5).await.unwrap();
    assert_eq!(
        witness.moves_of("set-2").await,
        [true],
        "nobody confirms a tip 3 above the next, with 2 allowed"
    );
    tips(&world, 100, &[102, 100, 99]);
    world.gate_is(2, "False", "Lagging").await;
    assert_eq!(witness.moves_of("set-1").await, [true], "2 behind the highest that counts, with 2 allowed");
}
