//! A primary whose volume is lost, and the fleet that has its chain.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tidemark_e2e::{
    observe::{self, Observer},
    rpc,
    scene::{Primary, Scene},
    wait,
};
use tidemark_wire::v1::ReplicaState;

const SOON: Duration = Duration::from_secs(120);
const INTERVAL: &str = "500ms";
const LOOK: Duration = Duration::from_millis(20);
/// Blocks that are made before the volume is lost.
const SOME: u32 = 20;

/// Blocks by number.
type Blocks = BTreeMap<u32, Vec<u8>>;

/// The primary's pod and claim are deleted, it is brought up again from its fleet, and the chain goes on: every block is
/// what it was, on every store, and no follower was ever at odds with it.
pub(crate) async fn from_its_fleet(scene: Scene) -> Result<()> {
    let primary = Primary::Native { body_size: "1KiB" };
    scene.start_primary(&primary, INTERVAL).await?;
    scene.apply_fleet(&primary)?;
    scene.in_sync(SOON).await?;
    let followers = scene.followers().await?;
    reached(followers.values(), SOME).await?;
    scene.erase_primary().await?;
    let (tip, before) = highest(followers.values()).await?;
    let watched: Vec<_> = followers.values().map(|address| observe::states(address, LOOK)).collect();

    scene.restore_primary(&primary, INTERVAL).await?;
    let [restored, _] = scene.primary_addresses().await?;
    let stores: Vec<String> = followers.into_values().chain([restored]).collect();
    reached(stores.iter(), tip + 5).await?;
    for store in &stores {
        let now = blocks(store, tip).await?;
        ensure!(now == before, "{store} has other blocks than the fleet had before");
    }
    scene.in_sync(SOON).await?;
    watched.iter().try_for_each(never_at_odds)?;
    let fleet = scene.fleet().await?;
    let degraded = |kind: &str| {
        fleet["status"]["conditions"].as_array().is_some_and(|conditions| {
            conditions.iter().any(|condition| condition["type"] == kind && condition["status"] == "True")
        })
    };
    ensure!(!degraded("Degraded"), "the fleet is degraded: {}", fleet["status"]);
    Ok(())
}

/// Waits until each store has published that block.
async fn reached(stores: impl Iterator<Item = &String> + Clone, tip: u32) -> Result<()> {
    wait::until(&format!("block {tip} on every store"), SOON, async || {
        for store in stores.clone() {
            let published = rpc::published_tip(rpc::connect(store).await?).await?;
            ensure!(published >= tip, "{store} is at {published}");
        }
        Ok(())
    })
    .await
}

/// The highest tip of the fleet, and every block up to it.
async fn highest(stores: impl Iterator<Item = &String>) -> Result<(u32, Blocks)> {
    let mut highest: Option<(u32, &String)> = None;
    for store in stores {
        let tip = rpc::published_tip(rpc::connect(store).await?).await?;
        highest = highest.max(Some((tip, store)));
    }
    let (tip, store) = highest.context("there is no follower")?;
    Ok((tip, blocks(store, tip).await?))
}

async fn blocks(store: &str, tip: u32) -> Result<Blocks> {
    let channel = rpc::connect(store).await?;
    let mut blocks = Blocks::new();
    for number in 0..=tip {
        let (block, _) = rpc::block(channel.clone(), number).await?;
        blocks.insert(number, block.with_context(|| format!("{store} has no block {number}"))?);
    }
    Ok(blocks)
}

fn never_at_odds(states: &Observer<ReplicaState>) -> Result<()> {
    let seen = states.seen.all();
    ensure!(!seen.is_empty(), "a follower was not seen at all");
    let odds = [ReplicaState::Diverged, ReplicaState::WrongGenesis, ReplicaState::InvalidBlock];
    match seen.iter().find(|(_, state)| odds.contains(state)) {
        Some((_, state)) => anyhow::bail!("a follower was {state:?}"),
        None => Ok(()),
    }
}
