//! A primary whose volume is gone comes back from its followers or from an export file, and contradicts nobody.

use std::{
    collections::BTreeSet,
    fs::File,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use tempfile::TempDir;
use tidemark_follower::{
    cli::{FollowArgs, FormatName, ProduceArgs},
    node,
    restore::RestoreSource,
    sync::SyncMode,
};
use tidemark_store::{
    Commitment, Metadata,
    archive::{Head, Writer},
};
use tidemark_wire::{blockchain::MaybeBlock, v1::ReplicaState};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    harness::{
        REAL_CHAIN, Running, api, block, check_same_blocks, follow, in_state, produce, produce_args,
        produce_in, proven, published, tips,
    },
    scripted::{Script, Scripted},
};

fn source(text: &str) -> RestoreSource {
    text.parse().unwrap()
}

/// Every block and proof up to `tip`.
async fn everything(rpc: SocketAddr, tip: u32) -> Vec<MaybeBlock> {
    let mut client = api(rpc).await;
    let mut all = Vec::new();
    for number in 0..=tip {
        all.push(block(&mut client, number).await);
    }
    all
}

/// Notes every state that a follower is seen in.
struct Watch {
    seen: Arc<Mutex<BTreeSet<&'static str>>>,
    task: JoinHandle<()>,
}

impl Watch {
    fn start(rpc: SocketAddr) -> Self {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let into = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let state = tips(rpc).await.state().as_str_name();
                into.lock().unwrap().insert(state);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self { seen, task }
    }

    fn check_no_contradiction(self) {
        self.task.abort();
        let seen = self.seen.lock().unwrap();
        for state in [ReplicaState::Diverged, ReplicaState::WrongGenesis, ReplicaState::InvalidBlock] {
            assert!(!seen.contains(state.as_str_name()), "{seen:?}");
        }
    }
}

/// Erases the volume of a primary that two followers follow, one over the other, and restores it at the same address.
async fn check_restores(mode: SyncMode, replay: bool) {
    let change = |args: &mut ProduceArgs| {
        args.replay = replay.then(|| REAL_CHAIN.into());
    };
    let primary = produce(change).await;
    let opaque = |args: &mut FollowArgs| {
        args.sync = mode;
        if replay {
            args.format = FormatName::Opaque;
        }
    };
    let one = follow(&[&primary.url()], opaque).await;
    let two = follow(&[&one.url()], opaque).await;
    proven(two.rpc, 12).await;
    let (address, genesis) = (primary.rpc, tips(primary.rpc).await.genesis);
    drop(primary.stop().await);
    let watches = [Watch::start(one.rpc), Watch::start(two.rpc)];
    let tip = tips(one.rpc).await.published_tip.unwrap();
    let before = everything(one.rpc, tip).await;

    let restored = produce(|args| {
        change(args);
        args.serve.listen = address;
        args.restore_from = vec![source(&two.url()), source(&one.url())];
    })
    .await;
    published(restored.rpc, tip + 3).await;
    published(two.rpc, tip + 3).await;
    for store in [&restored, &one, &two] {
        proven(store.rpc, tip).await;
        let after = everything(store.rpc, tip).await;
        for (number, (before, after)) in before.iter().zip(&after).enumerate() {
            assert_eq!(before.block, after.block, "block {number}");
            assert!(before.proof.is_none() || before.proof == after.proof, "proof {number}");
        }
    }
    assert_eq!(tips(restored.rpc).await.genesis, genesis);
    in_state(restored.rpc, ReplicaState::Producing).await;
    for follower in [&one, &two] {
        in_state(follower.rpc, ReplicaState::Syncing).await;
    }
    watches.into_iter().for_each(Watch::check_no_contradiction);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_primary_is_restored_from_its_subscribed_followers() {
    check_restores(SyncMode::Auto, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_primary_is_restored_from_its_polling_followers() {
    check_restores(SyncMode::Poll, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_replay_of_a_recorded_chain_goes_on_where_its_followers_are() {
    check_restores(SyncMode::Auto, true).await;
}

async fn restoring(dir: TempDir, sources: &[RestoreSource]) -> Running {
    produce_in(dir, |args| args.restore_from = sources.to_vec()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_highest_tip_wins_and_the_first_block_made_follows_it() {
    let (low, high) = (Scripted::start(Script::native(5)).await, Scripted::start(Script::native(9)).await);
    let sources = [source(&low.url()), source(&high.url())];
    let restored = restoring(TempDir::new().unwrap(), &sources).await;
    published(restored.rpc, 11).await;
    let held = everything(restored.rpc, 11).await;
    let expected = Script::native(9);
    for (number, held) in held.iter().enumerate().take(10) {
        assert_eq!(
            held.block.as_ref(),
            expected.blocks.get(&u32::try_from(number).unwrap()),
            "block {number}"
        );
    }
    let blocks: Vec<_> = held.iter().map(|held| held.block.clone().unwrap()).collect();
    assert_eq!(
        blocks[10][8..40],
        *tidemark_store::BlockHash::of(&blocks[9]).as_bytes(),
        "the first block made names the last one copied"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_block_is_made_while_a_source_is_silent_or_a_copy_unfinished() {
    let upstream = Scripted::start(Script::native(9)).await;
    upstream.change(|script| script.frozen_from = Some(5));
    let silent = [source(&upstream.url()), source("http://127.0.0.1:1")];
    let waiting = restoring(TempDir::new().unwrap(), &silent).await;
    in_state(waiting.rpc, ReplicaState::UpstreamUnreachable).await;
    assert_eq!(tips(waiting.rpc).await.published_tip, None);

    let sources = [source(&upstream.url())];
    let begun = restoring(waiting.stop().await, &sources).await;
    let copied = published(begun.rpc, 4).await;
    assert_eq!(copied.published_tip, Some(4));
    let dir = begun.stop().await;
    let refused = node::produce(produce_args(dir.path())).await.err().expect("refused").to_string();
    assert!(refused.contains("--restore-from again"), "{refused}");

    upstream.change(|script| script.frozen_from = None);
    let restored = restoring(dir, &sources).await;
    published(restored.rpc, 10).await;
    let held = everything(restored.rpc, 9).await;
    let expected = Script::native(9);
    assert!(held.iter().map(|held| held.block.as_ref()).eq(expected.blocks.values().map(Some)));
    let dir = restored.stop().await;
    drop(upstream);
    let again = restoring(dir, &sources).await;
    published(again.rpc, 12).await;
}

/// What ends a node that cannot restore; it is gone, with all that held its directory.
fn refusal(dir: &Path, sources: Vec<RestoreSource>) -> String {
    let args = ProduceArgs { restore_from: sources, ..produce_args(dir) };
    let process = std::thread::spawn(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let ended =
            runtime.block_on(async { node::produce(args).await?.run(CancellationToken::new()).await });
        runtime.shutdown_timeout(Duration::from_secs(10));
        ended
    });
    process.join().unwrap().expect_err("refused").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_that_contradict_each_other_are_refused_by_name() {
    let mut fork = Script::native(3);
    fork.extend(5, b"another body");
    let (fork, chain) = (Scripted::start(fork).await, Scripted::start(Script::native(9)).await);
    let dir = TempDir::new().unwrap();
    let said = refusal(dir.path(), vec![source(&fork.url()), source(&chain.url())]);
    assert!(said.contains(&fork.url()) && said.contains("block 5"), "{said}");
}

/// An export file of the chain of `script`.
fn export(script: &Script, path: &Path) {
    let chain = Metadata::new("native", Commitment::from_bytes(script.genesis));
    let head = Head { chain, first: 0.into(), last: Some(script.tip.into()) };
    let mut writer = Writer::begin(File::create(path).unwrap(), &head).unwrap();
    for (number, block) in &script.blocks {
        writer.block((*number).into(), block).unwrap();
        if let Some(proof) = script.proofs.get(number) {
            writer.proof((*number).into(), proof).unwrap();
        }
    }
    writer.finish().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_file_restores_a_primary_and_an_altered_one_does_not() {
    let files = TempDir::new().unwrap();
    let path = files.path().join("chain.tm");
    let mut script = Script::native(150);
    script.proofs.insert(3, tonic::codegen::Bytes::new());
    export(&script, &path);
    let bytes = std::fs::read(&path).unwrap();
    let mut altered = bytes.clone();
    altered[bytes.len() - 100] ^= 1;
    std::fs::write(&path, altered).unwrap();

    let dir = TempDir::new().unwrap();
    let said = refusal(dir.path(), vec![RestoreSource::File(path.clone())]);
    assert!(said.contains("altered at byte"), "{said}");

    std::fs::write(&path, bytes).unwrap();
    let restored = restoring(dir, &[RestoreSource::File(path)]).await;
    published(restored.rpc, 152).await;
    let held = everything(restored.rpc, 150).await;
    assert!(held.iter().map(|held| held.block.as_ref()).eq(script.blocks.values().map(Some)));
    assert_eq!(held[3].proof.as_deref(), Some(&b""[..]), "the proof of the file is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_block_is_made_while_another_primary_lives() {
    let primary = produce(|_| {}).await;
    let follower = follow(&[&primary.url()], |args| args.sync = SyncMode::Auto).await;
    published(follower.rpc, 5).await;
    let restoring = produce(|args| {
        args.block_interval = Duration::from_secs(1);
        args.restore_from = vec![source(&follower.url())];
    })
    .await;
    let copied = published(restoring.rpc, 5).await.published_tip.unwrap();
    let again = published(restoring.rpc, copied + 20).await;
    assert_eq!(again.state(), ReplicaState::Syncing);
    check_same_blocks(primary.rpc, restoring.rpc, again.published_tip.unwrap()).await;
}
