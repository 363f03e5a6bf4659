//! The real binary: killed, stopped, started wrongly.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tidemark_wire::blockchain::BlockRequest;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::{
    harness::{api, block, eventually, published, tips},
    healing::spoil,
};

/// The binary with its log as JSON lines, on ports of the system's choice.
pub(crate) fn binary(args: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemark-follower"));
    command.args(args).arg("--data-dir").arg(dir);
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"]);
    command.env_clear().env("RUST_BACKTRACE", "1").stderr(Stdio::piped()).kill_on_drop(true);
    command
}

pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) rpc: SocketAddr,
}

impl Process {
    pub(crate) async fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let rpc = loop {
            let line = lines.next_line().await.unwrap().expect("it logs where it serves");
            let line: serde_json::Value = serde_json::from_str(&line).expect("a JSON line");
            if let Some(rpc) = line["rpc"].as_str() {
                break rpc.parse().unwrap();
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, rpc }
    }

    fn terminate(&self) {
        let pid = self.child.id().expect("running").to_string();
        let status = std::process::Command::new("kill").args(["-TERM", &pid]).status();
        assert!(status.expect("kill is there").success());
    }

    async fn end(&mut self) -> ExitStatus {
        tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await.expect("it ends").unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_sigterm_it_serves_for_the_delay_and_exits_0() {
    let dir = TempDir::new().unwrap();
    let args = ["produce", "--block-interval", "20ms", "--shutdown-delay", "1s"];
    let mut primary = Process::start(&mut binary(&args, dir.path())).await;
    let before = published(primary.rpc, 2).await.published_tip;
    let told = Instant::now();
    primary.terminate();
    let rising = async || (tips(primary.rpc).await.published_tip > before).then_some(());
    eventually("it serves new blocks after SIGTERM", rising).await;
    assert!(primary.end().await.success());
    assert!(told.elapsed() >= Duration::from_secs(1), "{:?}", told.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_stands_in_for_every_flag() {
    let dir = TempDir::new().unwrap();
    let mut command = binary(&["produce"], dir.path());
    command.env("TIDEMARK_BLOCK_INTERVAL", "5ms").env("TIDEMARK_BLOCKS", "3").env("POD_UID", "from-env");
    let primary = Process::start(&mut command).await;
    let tips = published(primary.rpc, 3).await;
    assert_eq!(tips.pod_uid, "from-env");
}

/// The chain stands still, so that nobody but a reader finds out that the disk fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_under_a_reader_ends_the_process() {
    let dir = TempDir::new().unwrap();
    let args = ["produce", "--block-interval", "5ms", "--blocks", "3", "--volume-size", "512MiB"];
    let mut primary = Process::start(&mut binary(&args, dir.path())).await;
    published(primary.rpc, 3).await;
    primary.terminate();
    assert!(primary.end().await.success());
    let mut primary = Process::start(&mut binary(&args, dir.path())).await;
    let held = block(&mut api(primary.rpc).await, 2).await.block.expect("held");
    spoil(dir.path(), &held);
    let metadata = dir.path().join("metadata.json");
    fs::remove_file(&metadata).unwrap();
    fs::create_dir(&metadata).unwrap();
    let request = BlockRequest { block_num: 2, include_proof: None };
    let read = api(primary.rpc).await.get_block_by_number(request).await;
    assert!(read.is_err(), "a spoilt block is not served");
    assert!(!primary.end().await.success());
}

/// The binary refuses to start, and says why and what to do.
async fn check_refuses(args: &[&str], dir: &Path, expected: &[&str]) {
    let output = binary(args, dir).output().await.expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{args:?}");
    assert!(!said.contains("Caused by") && !said.contains("backtrace"), "{args:?} said {said}");
    for part in expected {
        assert!(said.contains(part), "{args:?} said {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_start_ends_with_the_cause_and_the_way_out() {
    let dir = TempDir::new().unwrap();
    let missing = ["produce", "--replay", "/no/such/file"];
    check_refuses(&missing, dir.path(), &["cannot read the recording /no/such/file"]).await;
    check_refuses(&["follow"], dir.path(), &["--upstream", "--format"]).await;
    let follow = ["follow", "--format", "opaque", "--upstream"];
    check_refuses(&[&follow[..], &["primary"]].concat(), dir.path(), &["http://host:port"]).await;
    check_refuses(&["produce", "--log-filter", "=x="], dir.path(), &["log filter"]).await;
    let holder = Process::start(&mut binary(&["produce"], dir.path())).await;
    check_refuses(&["produce"], dir.path(), &["in use by another process"]).await;
    drop(holder);
}
