//! A server under measurement: a process of its own, on ports of the system's choice.

use std::{ffi::OsStr, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    time::timeout,
};

use super::procfs::{self, Memory};

/// Longer than any store takes to open.
const START: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(60);

/// A process that serves gRPC on loopback; killed when dropped.
pub struct Server {
    child: Child,
    pid: u32,
    /// Where it serves gRPC.
    pub rpc: SocketAddr,
}

impl Server {
    /// Starts `program` and reads its log, JSON lines on stderr, until one says where it serves.
    ///
    /// # Errors
    /// If it ends before.
    pub async fn start(program: &Path, args: &[impl AsRef<OsStr>]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(args).env_clear().stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let pid = child.id().context("it ended at once")?;
        let mut lines = BufReader::new(child.stderr.take().context("its log is piped")?).lines();
        let rpc = timeout(START, address(&mut lines)).await.context("it does not serve")??;
        tokio::spawn(tell_errors(lines));
        Ok(Self { child, pid, rpc })
    }

    /// How clients reach it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.rpc)
    }

    /// CPU time it took so far.
    ///
    /// # Errors
    /// If it runs no longer.
    pub fn cpu(&self) -> Result<Duration> {
        procfs::cpu(self.pid)
    }

    /// Its memory.
    ///
    /// # Errors
    /// If it runs no longer.
    pub fn memory(&self) -> Result<Memory> {
        procfs::memory(self.pid)
    }

    /// Ends it with SIGTERM.
    ///
    /// # Errors
    /// If it does not end, or not well.
    pub async fn stop(mut self) -> Result<()> {
        let pid = Pid::from_raw(self.pid.try_into()?).context("a process id")?;
        kill_process(pid, Signal::TERM)?;
        let end = timeout(STOP, self.child.wait()).await.context("it does not stop")??;
        ensure!(end.success(), "it ended with {end}");
        Ok(())
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    /// If it ended before.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

type Log = Lines<BufReader<ChildStderr>>;

/// The address in the first line that has one; if the log ends before, its last line says why.
async fn address(log: &mut Log) -> Result<SocketAddr> {
    let mut last = String::new();
    while let Some(line) = log.next_line().await? {
        let fields: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(rpc) = fields["rpc"].as_str() {
            return Ok(rpc.parse()?);
        }
        last = line;
    }
    bail!("it ended before it served: {last}")
}

/// Nothing that goes wrong in a server stays unseen.
async fn tell_errors(mut log: Log) {
    while let Ok(Some(line)) = log.next_line().await {
        if line.contains("\"ERROR\"") || line.contains("panicked") {
            eprintln!("{line}");
        }
    }
}
