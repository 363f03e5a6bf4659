//! Disks that fail under a running follower.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tempfile::TempDir;
use tidemark_follower::{
    format::Native,
    replica::{Identity, Replica},
    size::ByteSize,
    state::State,
    sync::{Engine, EngineOptions, OnFork, SyncMode, Trouble},
    upstream::GrpcConnector,
};
use tidemark_store::{
    BlockHash, BlockNumber, BlockStore, Checked, DiskStore, HashedBlock, Metadata, StoreError, Tips,
};
use tokio::task::JoinHandle;

use crate::{
    harness::eventually,
    scripted::{Script, Scripted},
};

#[derive(Default)]
struct Faults {
    full: AtomicBool,
    sync: AtomicBool,
    /// A sync does not return.
    held: AtomicBool,
}

/// A real store whose disk fails on command.
struct FailingStore {
    store: DiskStore,
    faults: Arc<Faults>,
}

impl BlockStore for FailingStore {
    fn metadata(&self) -> Option<Metadata> {
        self.store.metadata()
    }

    fn initialise(&self, metadata: Metadata) -> Result<(), StoreError> {
        self.store.initialise(metadata)
    }

    fn apply_hashed(&self, first: BlockNumber, blocks: &[HashedBlock<'_>]) -> Result<(), StoreError> {
        if self.faults.full.load(Relaxed) {
            return Err(StoreError::DiskFull { path: "blocks.log".into() });
        }
        self.store.apply_hashed(first, blocks)
    }

    fn put_proof(&self, number: BlockNumber, proof: &[u8]) -> Result<(), StoreError> {
        self.store.put_proof(number, proof)
    }

    fn sync(&self) -> Result<Tips, StoreError> {
        while self.faults.held.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.faults.sync.load(Relaxed) {
            let source = std::io::Error::other("the disk is gone");
            return Err(StoreError::SyncFailed { path: "blocks.log".into(), source });
        }
        self.store.sync()
    }

    fn tips(&self) -> Tips {
        self.store.tips()
    }

    fn block(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.block(number)
    }

    fn proof(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.proof(number)
    }

    fn has_proof(&self, number: BlockNumber) -> bool {
        self.store.has_proof(number)
    }

    fn hash_at(&self, number: BlockNumber) -> Option<BlockHash> {
        self.store.hash_at(number)
    }

    fn damaged(&self) -> Vec<BlockNumber> {
        self.store.damaged()
    }

    fn poison(&self) -> Option<StoreError> {
        self.store.poison()
    }

    fn repair(&self, number: BlockNumber, bytes: &[u8]) -> Result<Tips, StoreError> {
        self.store.repair(number, bytes)
    }

    fn scrub(&self, from: BlockNumber, max_bytes: u64) -> Result<Checked, StoreError> {
        self.store.scrub(from, max_bytes)
    }

    fn truncate(&self, last: BlockNumber) -> Result<Tips, StoreError> {
        self.store.truncate(last)
    }
}

struct Rig {
    upstream: Scripted,
    replica: Arc<Replica>,
    faults: Arc<Faults>,
    engine: JoinHandle<Trouble>,
    _dir: TempDir,
}

/// A follower that polls and holds blocks 0 to 3.
async fn synced() -> Rig {
    let rig = rig(Script::native(3), SyncMode::Poll, Faults::default()).await;
    reaches(&rig, 3).await;
    rig
}

async fn rig(script: Script, mode: SyncMode, faults: Faults) -> Rig {
    let dir = TempDir::new().unwrap();
    let upstream = Scripted::start(script).await;
    let faults = Arc::new(faults);
    let store = FailingStore { store: DiskStore::open(dir.path()).unwrap(), faults: Arc::clone(&faults) };
    let identity = Identity { pod_uid: String::new(), boot_id: String::new() };
    let replica = Arc::new(Replica::new(Box::new(store), Box::new(Native), identity, State::Syncing));
    let poll_interval = Duration::from_millis(20);
    let options = EngineOptions {
        mode,
        poll_interval,
        requests_per_second: 10_000,
        genesis: None,
        on_fork: OnFork::Halt,
        max_block: 64 << 20,
    };
    let connector = GrpcConnector::new(&upstream.url().parse().unwrap(), ByteSize(1 << 20));
    let engine = tokio::spawn(Engine::new(Arc::clone(&replica), [connector], &options).run());
    Rig { upstream, replica, faults, engine, _dir: dir }
}

async fn reaches(rig: &Rig, tip: u32) {
    let reached = async || (rig.replica.published() >= Some(tip.into())).then_some(());
    eventually("the tip is reached", reached).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_applying_until_there_is_space() {
    let rig = synced().await;
    rig.faults.full.store(true, Relaxed);
    rig.upstream.change(|script| script.extend(6, b"body"));
    let full = async || (rig.replica.state() == State::DiskFull).then_some(());
    eventually("the state is DiskFull", full).await;
    assert_eq!(rig.replica.published(), Some(3.into()));
    assert!(rig.replica.block(3.into()).await.unwrap().is_some(), "what is held is served");
    rig.upstream.change(|script| script.calls.clear());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let calls = rig.upstream.read(|script| script.calls.clone());
    assert!(calls.is_empty(), "nothing is asked for that could not be written: {calls:?}");
    rig.faults.full.store(false, Relaxed);
    reaches(&rig, 6).await;
    let syncing = async || (rig.replica.state() == State::Syncing).then_some(());
    eventually("the state is Syncing", syncing).await;
    rig.engine.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_publishes_nothing_and_ends_the_engine() {
    let rig = synced().await;
    rig.faults.sync.store(true, Relaxed);
    rig.upstream.change(|script| script.extend(6, b"body"));
    let trouble = rig.engine.await.expect("no panic");
    assert!(trouble.is_fatal(), "{trouble}");
    assert_eq!(rig.replica.published(), Some(3.into()));
}

/// Bytes fetched once nothing more has come for a while.
async fn fetched_at_rest(rig: &Rig) -> u64 {
    let mut before = None;
    loop {
        let now = Some(rig.replica.metrics.bytes_fetched.get());
        if let Some(now) = now.filter(|now| before == Some(*now) && *now > 0) {
            return now;
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_received_while_the_disk_syncs_but_not_without_end() {
    const LAST: u32 = 2000;
    for mode in [SyncMode::Poll, SyncMode::Subscribe] {
        let script = Script::native(LAST);
        let size = script.blocks[&1].len() as u64;
        let faults = Faults { held: true.into(), ..Faults::default() };
        let rig = rig(script, mode, faults).await;
        let held = fetched_at_rest(&rig).await / size;
        assert_eq!(rig.replica.published(), None, "nothing is visible before its sync");
        assert!((65..=4 * 64).contains(&held), "{mode:?}: {held} blocks in memory");
        rig.faults.held.store(false, Relaxed);
        reaches(&rig, LAST).await;
        let metrics = &rig.replica.metrics;
        let fetched = metrics.bytes_fetched.get() - metrics.bytes_redundant.get();
        assert_eq!(fetched, u64::from(LAST + 1) * size, "{mode:?}: each block is fetched once");
        rig.engine.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_the_disk_cannot_follow_is_cancelled_and_resumed_where_it_was() {
    const LAST: u32 = 2000;
    let faults = Faults { held: true.into(), ..Faults::default() };
    let rig = rig(Script::native(LAST), SyncMode::Subscribe, faults).await;
    fetched_at_rest(&rig).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(rig.upstream.calls("BlockSubscription"), 1, "it is not asked while there is no room");
    rig.faults.held.store(false, Relaxed);
    reaches(&rig, LAST).await;
    let from = rig.upstream.read(|script| script.from["blocks"].clone());
    assert!(from.len() >= 2 && (64..512).contains(&from[1]), "{from:?}");
    assert_eq!(rig.upstream.calls("Status"), 1, "all over one connection");
    rig.engine.abort();
}
