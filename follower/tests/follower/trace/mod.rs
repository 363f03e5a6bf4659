//! The real binary under strace: each block is written, the sync of its file has returned, and only then is it seen on
//! a socket; each new name is durable before what it names is relied on.
//!
//! strace writes down a call when it begins and when it returns, and holds the thread meanwhile, so that what one call
//! waits for is always in the trace before it. `call` reads the trace, `event` keeps what matters here, `check` judges it.

mod call;
mod check;
mod event;
mod http2;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tidemark_wire::{
    blockchain::BlockRequest,
    rpc::{BlockSubscriptionRequest, ProofSubscriptionRequest},
};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use self::{check::Seen, event::Event};
use crate::harness::{api, eventually, produce, tips};

const CALLS: &str = "trace=write,writev,sendto,sendmsg,pwrite64,pwritev,fdatasync,fsync,openat,creat,rename,renameat,renameat2";

/// What a run of the binary did, and where it kept its data.
struct Traced {
    text: String,
    dir: PathBuf,
    rpc: String,
    _files: TempDir,
}

impl Traced {
    fn events(&self) -> Vec<Event> {
        event::events(&call::calls(&self.text), &self.dir, &self.rpc)
    }
}

/// Runs the binary under strace and serves itself what it makes, until blocks and proofs up to `tip` were seen on each kind of answer.
async fn trace(args: &[&str], strace: &[&str], tip: u32) -> Traced {
    let files = TempDir::new().unwrap();
    let (dir, out) = (files.path().canonicalize().unwrap().join("data"), files.path().join("trace"));
    let mut command = tokio::process::Command::new("strace");
    command.args(["-f", "--seccomp-bpf", "-qq", "-yy", "-xx", "-s", "1000000", "-e", CALLS]).args(strace);
    command
        .arg("-o")
        .arg(&out)
        .arg(env!("CARGO_BIN_EXE_tidemark-follower"))
        .args(args)
        .arg("--data-dir")
        .arg(&dir);
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"]);
    command.args(["--shutdown-delay", "0s"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child =
        command.spawn().expect("strace is missing: apt-get install strace, as e2e/cluster/packages does");
    let running = Running(child.id().expect("running"));
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let rpc = loop {
        let line = lines.next_line().await.unwrap().expect("it logs where it serves");
        let line: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("strace said {line}"));
        if let Some(rpc) = line["rpc"].as_str() {
            break rpc.to_owned();
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    read_all(&rpc, tip).await;
    running.signal("-TERM");
    tokio::time::timeout(Duration::from_secs(20), child.wait()).await.expect("it ends").unwrap();
    Traced { text: fs::read_to_string(&out).unwrap(), dir, rpc, _files: files }
}

/// Has the node send every block and proof up to `tip`, as soon as they are there, in every kind of answer.
async fn read_all(rpc: &str, tip: u32) {
    let rpc = rpc.parse().unwrap();
    let mut client = api(rpc).await;
    let asking = client.clone();
    eventually("there is a first block", async || asking.clone().status(()).await.ok()).await;
    let mut blocks =
        client.block_subscription(BlockSubscriptionRequest { block_from: 0 }).await.unwrap().into_inner();
    let mut proofs =
        client.proof_subscription(ProofSubscriptionRequest { block_from: 1 }).await.unwrap().into_inner();
    for number in 0..=tip {
        assert!(blocks.message().await.unwrap().is_some());
        if number > 0 {
            assert!(proofs.message().await.unwrap().is_some());
        }
        let request = BlockRequest { block_num: number, include_proof: Some(true) };
        client.get_block_by_number(request).await.unwrap();
        client.status(()).await.unwrap();
        tips(rpc).await;
    }
}

/// A strace that runs; the binary is its only child, and would outlive it.
struct Running(u32);

impl Running {
    fn signal(&self, signal: &str) {
        let children = format!("/proc/{0}/task/{0}/children", self.0);
        for pid in fs::read_to_string(children).unwrap_or_default().split_whitespace() {
            drop(Command::new("kill").args([signal, pid]).stderr(Stdio::null()).status());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal("-KILL");
    }
}

fn seen(traced: &Traced) -> Seen {
    check::check(&traced.events()).unwrap_or_else(|broken| panic!("{broken}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_shows_no_block_or_proof_before_its_sync_returned() {
    let primary = produce(|args| args.proof_delay = Duration::from_millis(30)).await;
    let url = primary.url();
    let args = ["follow", "--upstream", &url, "--format", "native"];
    let traced = trace(&args, &[], 40).await;
    let seen = seen(&traced);
    assert!(seen.blocks > 40 && seen.proofs >= 40 && seen.answers > 160, "{seen:?}");
    check_what_is_left_out_is_found(&traced);
}

/// The same trace with something missing, or later than it was, is found to be broken.
fn check_what_is_left_out_is_found(traced: &Traced) {
    let events = traced.events();
    let broken = |keep: &dyn Fn(&Event) -> bool| {
        let left: Vec<Event> = events.iter().filter(|event| keep(event)).cloned().collect();
        check::check(&left).expect_err("something was left out")
    };
    let of_log = |path: &Path, log: &str| path.file_name().unwrap().to_str().unwrap().starts_with(log);
    let no_sync = |log: &'static str| {
        broken(&|event| !matches!(event, Event::Synced { path, .. } if of_log(path, log)))
    };
    assert!(no_sync("blocks-").contains("block 0 "), "{}", no_sync("blocks-"));
    assert!(no_sync("proofs-").contains("proof 1 "), "{}", no_sync("proofs-"));
    let no_dir_sync = broken(&|event| !matches!(event, Event::Synced { path, .. } if *path == traced.dir));
    assert!(no_dir_sync.contains("name"), "{no_dir_sync}");
    let (late, highest) = late(&events);
    let too_early = check::check(&late).expect_err("a sync came after what it covers was seen");
    assert!(too_early.contains(&format!("block {highest} ")), "{too_early}");
}

/// Every sync that covers the highest block that was seen, behind its first sight; and that block.
fn late(events: &[Event]) -> (Vec<Event>, u32) {
    let number =
        |event: &Event| if let Event::SawBlock { number, .. } = event { Some(*number) } else { None };
    let highest = events.iter().filter_map(number).max().expect("some were seen");
    let is_write = |event: &Event| matches!(event, Event::Wrote { blocks, .. } if blocks.contains(&highest));
    let is_sync = |event: &Event| matches!(event, Event::Synced { path, .. } if path.to_str().unwrap().contains("/blocks-"));
    let written = events.iter().position(is_write).expect("it was written");
    let seen = events.iter().position(|event| number(event) == Some(highest)).expect("it was seen");
    let (before, rest) = events.split_at(written);
    let (between, after) = rest.split_at(seen - written);
    let (syncs, others): (Vec<Event>, Vec<Event>) = between.iter().cloned().partition(is_sync);
    ([before, &others, &after[..1], &syncs, &after[1..]].concat(), highest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_rolls_to_new_segments_shows_no_block_before_its_sync_returned() {
    let args = ["produce", "--block-interval", "20ms", "--proof-delay", "5ms", "--body-size", "700KiB"];
    let traced = trace(&[&args[..], &["--volume-size", "1MiB"]].concat(), &["-s", "300"], 14).await;
    let seen = seen(&traced);
    assert!(seen.segments >= 2 && seen.answers > 14, "{seen:?}");
}

/// A library in whose presence no sync reaches the system.
const NO_SYNC: &str =
    "int fsync(int fd) { (void)fd; return 0; } int fdatasync(int fd) { (void)fd; return 0; }";

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_whose_sync_does_nothing_is_found_out() {
    let files = TempDir::new().unwrap();
    let (source, library) = (files.path().join("no-sync.c"), files.path().join("no-sync.so"));
    fs::write(&source, NO_SYNC).unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(compiled.expect("cc, which links this very test, is there").success());
    let preload = format!("LD_PRELOAD={}", library.display());
    let args = ["produce", "--block-interval", "20ms", "--proof-delay", "5ms"];
    let traced = trace(&args, &["-E", &preload], 3).await;
    let broken = check::check(&traced.events()).expect_err("nothing was synced");
    assert!(broken.contains("block 0 ") || broken.contains("name"), "{broken}");
}
