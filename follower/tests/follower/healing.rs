//! Blocks that a disk spoils under a running follower: found, refused, fetched again, put back.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tidemark_follower::{cli::FollowArgs, size::ByteSize, sync::SyncMode};
use tidemark_wire::{blockchain::BlockRequest, v1::ReplicaState};
use tonic::{Code, Status, codegen::Bytes};

use crate::{
    harness::{
        Running, api, block, check_same, check_same_blocks, eventually, follow, in_state, page, produce_in,
        proven, published, tips,
    },
    scripted::{Script, Scripted},
};

const LAST: u32 = 20;
const SPOILT: u32 = 7;

/// An upstream whose blocks are all different, with proofs.
async fn upstream() -> Scripted {
    let mut script = Script::native(LAST);
    script.proofs =
        (1..=LAST).map(|number| (number, Bytes::from(format!("proof number {number}")))).collect();
    Scripted::start(script).await
}

/// Files that are small enough to be searched, and no memory that answers for them.
fn small(args: &mut FollowArgs, mode: SyncMode) {
    args.sync = mode;
    args.serve.volume_size = Some(ByteSize(512 << 20));
    args.serve.limits.block_cache = ByteSize(0);
}

/// Flips a bit in the middle of these bytes, wherever they are in the directory.
pub(crate) fn spoil(dir: &Path, bytes: &[u8]) {
    let spoilt: usize = files(dir).iter().map(|path| spoil_file(path, bytes)).sum();
    assert!(spoilt > 0, "the bytes are on disk");
}

fn spoil_file(path: &Path, bytes: &[u8]) -> usize {
    // The store replaces some of its files by renaming.
    let Ok(held) = fs::read(path) else { return 0 };
    let Ok(file) = fs::OpenOptions::new().write(true).open(path) else { return 0 };
    let places = held.windows(bytes.len()).enumerate().filter(|(_, window)| *window == bytes);
    let middle = bytes.len() / 2;
    places.map(|(at, _)| file.write_all_at(&[bytes[middle] ^ 1], (at + middle) as u64).unwrap()).count()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

async fn refusal(follower: &Running, number: u32) -> Option<Status> {
    let request = BlockRequest { block_num: number, include_proof: None };
    api(follower.rpc).await.get_block_by_number(request).await.err()
}

async fn check_heals(mode: SyncMode) {
    let upstream = upstream().await;
    let follower = follow(&[&upstream.url()], |args| small(args, mode)).await;
    proven(follower.rpc, LAST).await;
    let spoilt = upstream.read(|script| script.blocks[&SPOILT].clone());
    upstream.change(|script| drop(script.blocks.remove(&SPOILT)));
    spoil(follower.data_dir(), &spoilt);

    let refused = refusal(&follower, SPOILT).await.expect("refused");
    assert_eq!(refused.code(), Code::Unavailable);
    let said = format!("block {SPOILT} is damaged here");
    assert!(refused.message().contains(&said), "{refused}");
    let healing = in_state(follower.rpc, ReplicaState::Healing).await;
    assert_eq!(healing.published_tip, Some(SPOILT - 1));
    assert!(healing.state_detail.contains("from block 7 on"), "{}", healing.state_detail);
    assert!(block(&mut api(follower.rpc).await, SPOILT + 1).await.block.is_some(), "others are served");

    upstream.change(|script| script.extend_behind(LAST + 5, b"body"));
    let applied = async || (tips(follower.rpc).await.applied_tip >= Some(LAST + 5)).then_some(());
    eventually("following goes on", applied).await;
    assert_eq!(tips(follower.rpc).await.published_tip, Some(SPOILT - 1));

    upstream.change(|script| drop(script.blocks.insert(SPOILT, spoilt)));
    let healed = published(follower.rpc, LAST + 5).await;
    assert_eq!(healed.published_tip, Some(LAST + 5));
    in_state(follower.rpc, ReplicaState::Syncing).await;
    check_same_blocks(upstream.rpc, follower.rpc, LAST + 5).await;
    let counted = async || {
        let metrics = page(follower.admin, "/metrics").await;
        metrics.contains("tidemark_follower_healed_blocks_total 1").then_some(())
    };
    eventually("it is counted", counted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_a_read_finds_damaged_is_healed_while_polling() {
    check_heals(SyncMode::Poll).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_a_read_finds_damaged_is_healed_while_subscribed() {
    check_heals(SyncMode::Subscribe).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_no_upstream_can_read_keeps_no_other_from_being_healed() {
    let upstream = upstream().await;
    let follower = follow(&[&upstream.url()], |args| small(args, SyncMode::Subscribe)).await;
    proven(follower.rpc, LAST).await;
    upstream.change(|script| script.unreadable = vec![SPOILT]);
    for number in [SPOILT, SPOILT + 2] {
        spoil(follower.data_dir(), &upstream.read(|script| script.blocks[&number].clone()));
        refusal(&follower, number).await.expect("refused");
    }
    let served = async || refusal(&follower, SPOILT + 2).await.is_none().then_some(());
    eventually("the other is healed", served).await;
    refusal(&follower, SPOILT).await.expect("still refused");
    upstream.change(|script| script.unreadable.clear());
    published(follower.rpc, LAST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_never_heal_a_block() {
    let (wrong, right) = (upstream().await, upstream().await);
    let follower = follow(&[&wrong.url()], |args| small(args, SyncMode::Poll)).await;
    proven(follower.rpc, LAST).await;
    let spoilt = wrong.read(|script| script.blocks[&SPOILT].clone());
    wrong.change(|script| drop(script.blocks.insert(SPOILT, Bytes::from_static(b"something else"))));
    spoil(follower.data_dir(), &spoilt);
    refusal(&follower, SPOILT).await.expect("refused");
    let asked = async || (wrong.calls("Status") > 2).then_some(());
    eventually("the upstream was asked", asked).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(in_state(follower.rpc, ReplicaState::Healing).await.published_tip, Some(SPOILT - 1));
    let (dir, urls) = (follower.stop().await, [wrong.url(), right.url()]);
    let follower = crate::harness::follow_in(dir, &[&urls[0], &urls[1]], |_| {}).await;
    published(follower.rpc, LAST).await;
    check_same_blocks(right.rpc, follower.rpc, LAST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_proof_is_never_taken_from_another_chain() {
    let (wrong, right) = (upstream().await, upstream().await);
    let follower = follow(&[&wrong.url(), &right.url()], |args| small(args, SyncMode::Poll)).await;
    proven(follower.rpc, LAST).await;
    let ours = right.read(|script| script.proofs[&SPOILT].clone());
    wrong.change(|script| {
        script.blocks.insert(SPOILT, Bytes::from_static(b"something else"));
        script.proofs.insert(SPOILT, Bytes::from_static(b"the proof of something else"));
    });
    spoil(follower.data_dir(), &ours);
    let request = BlockRequest { block_num: SPOILT, include_proof: Some(true) };
    let read = async || api(follower.rpc).await.get_block_by_number(request).await.ok()?.into_inner().proof;
    assert_eq!(read().await, None, "the damage is met");
    assert_eq!(eventually("the proof is read again", read).await, ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scrubber_finds_what_nobody_reads() {
    let upstream = upstream().await;
    let scrubbing = |args: &mut FollowArgs| {
        small(args, SyncMode::Subscribe);
        args.serve.scrub.scrub_interval = Duration::from_millis(50);
    };
    let follower = follow(&[&upstream.url()], scrubbing).await;
    proven(follower.rpc, LAST).await;
    let proof = upstream.read(|script| script.proofs[&9].clone());
    let spoilt = upstream.read(|script| script.blocks[&SPOILT].clone());
    spoil(follower.data_dir(), &spoilt);
    spoil(follower.data_dir(), &proof);
    let healed = async || {
        let metrics = page(follower.admin, "/metrics").await;
        metrics.contains("tidemark_follower_healed_blocks_total 1").then_some(metrics)
    };
    let metrics = eventually("the block is healed", healed).await;
    assert!(!metrics.contains("tidemark_follower_scrubbed_bytes_total 0\n"), "{metrics}");
    let sound = async || Some(tips(follower.rpc).await).filter(|tips| tips.proven_tip == Some(LAST));
    eventually("every proof is held again", sound).await;
    published(follower.rpc, LAST).await;
    check_same(upstream.rpc, follower.rpc, LAST).await;
}

/// It has no upstream that could heal it; what it makes follows the last block it holds all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_goes_on_above_a_damaged_block_and_starts_again_with_it() {
    let start = async |dir: TempDir| {
        produce_in(dir, |args| {
            args.serve.volume_size = Some(ByteSize(512 << 20));
            args.serve.limits.block_cache = ByteSize(0);
        })
        .await
    };
    let primary = start(TempDir::new().unwrap()).await;
    published(primary.rpc, 10).await;
    let spoilt = block(&mut api(primary.rpc).await, SPOILT).await.block.expect("held");
    spoil(primary.data_dir(), &spoilt);
    eventually("the damage is met", async || refusal(&primary, SPOILT).await).await;
    let primary = start(primary.stop().await).await;
    let found = tips(primary.rpc).await;
    assert_eq!(found.published_tip, Some(SPOILT - 1));
    let rises =
        async || (tips(primary.rpc).await.applied_tip > found.applied_tip.map(|n| n + 5)).then_some(());
    eventually("blocks are made above it", rises).await;
}
