//! The processes of a measurement: the operator and the crowd, and what the kernel says of them.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdin, ChildStdout, Command as Process},
};

use super::{
    crowd::{Command, Report, Told},
    layout::Place,
};
use crate::{kept, procfs};

/// Clock ticks of `/proc/PID/stat` in a second, the same on every Linux that Rust knows.
const TICKS: f64 = 100.0;
const LISTENING_WITHIN: Duration = Duration::from_secs(10);

/// A running operator; dropping it kills it.
pub(super) struct Operator {
    process: Child,
    admin: SocketAddr,
}

impl Operator {
    /// Starts the program with its log in `log`.
    pub(super) fn start(program: &Path, kubeconfig: &Path, log: &Path) -> Result<Self> {
        let admin = SocketAddr::from(([127, 0, 0, 1], crate::apiserver::free_port()?));
        let process = Process::from(kept::command(program))
            .args(["run", "--allow-loopback-primaries", "--log-format", "json"])
            .args(["--admin-listen", &admin.to_string()])
            .env("KUBECONFIG", kubeconfig)
            // As images/Containerfile has it.
            .env("MALLOC_ARENA_MAX", "1")
            .stdout(Stdio::null())
            .stderr(File::create(log)?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { process, admin })
    }

    /// Ends it as a node would.
    pub(super) async fn stop(mut self) -> Result<()> {
        let pid = self.pid()?.to_string();
        let asked = Process::new("kill").args(["-TERM", &pid]).status().await?;
        ensure!(asked.success(), "cannot send SIGTERM");
        tokio::time::timeout(LISTENING_WITHIN, self.process.wait()).await.context("it does not end")??;
        Ok(())
    }

    fn pid(&self) -> Result<u32> {
        self.process.id().context("the operator has ended: see its log")
    }

    /// Seconds of CPU it has used.
    pub(super) fn cpu(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()?))?;
        let (_, after_name) = stat.rsplit_once(") ").context("/proc/PID/stat has a name in parentheses")?;
        let ticks = |at: usize| -> Result<f64> {
            Ok(after_name.split(' ').nth(at).context("/proc/PID/stat is short")?.parse()?)
        };
        Ok((ticks(11)? + ticks(12)?) / TICKS)
    }

    /// How long its threads have waited for a core.
    pub(super) fn waited(&self) -> Result<Duration> {
        procfs::waited_for_a_core(self.pid()?)
    }

    /// A line of `/proc/PID/status` such as `VmHWM`, in KiB.
    pub(super) fn memory(&self, line: &str) -> Result<f64> {
        // Far below what a double holds to the last KiB.
        Ok(u32::try_from(procfs::memory(self.pid()?, line)?)?.into())
    }

    /// What it shows a scraper.
    pub(super) async fn metrics(&self) -> Result<String> {
        let mut stream = TcpStream::connect(self.admin).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: operator\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// How many followers it has let in.
    pub(super) async fn serving(&self) -> Result<usize> {
        let metrics = self.metrics().await?;
        let serves =
            |line: &&str| line.starts_with("tidemark_operator_replica_serves{") && line.ends_with(" 1");
        Ok(metrics.lines().filter(serves).count())
    }
}

/// The running crowd; dropping it kills it.
pub(super) struct CrowdProcess {
    process: Child,
    commands: ChildStdin,
    told: Lines<BufReader<ChildStdout>>,
}

impl CrowdProcess {
    /// Starts this very program as a crowd.
    pub(super) async fn start(sets: u32, followers: u32, interval: Duration) -> Result<Self> {
        let mut process = Process::new(std::env::current_exe()?)
            .args(["crowd", &sets.to_string(), &followers.to_string(), &interval.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let commands = process.stdin.take().context("it was asked for")?;
        let told = BufReader::new(process.stdout.take().context("it was asked for")?).lines();
        let mut crowd = Self { process, commands, told };
        let first = tokio::time::timeout(LISTENING_WITHIN, crowd.told()).await??;
        ensure!(matches!(first, Told::Listening), "the crowd begins with {first:?}");
        Ok(crowd)
    }

    /// How long its threads have waited for a core.
    pub(super) fn waited(&self) -> Result<Duration> {
        procfs::waited_for_a_core(self.process.id().context("the crowd has ended")?)
    }

    pub(super) async fn tell(&mut self, command: &Command) -> Result<()> {
        let line = serde_json::to_string(command)? + "\n";
        Ok(self.commands.write_all(line.as_bytes()).await?)
    }

    /// Gives a pod's UID to the store at its address.
    pub(super) async fn name(&mut self, place: Place, uid: String) -> Result<()> {
        self.tell(&Command::Name(place.address(), uid)).await
    }

    /// The next thing it tells.
    pub(super) async fn told(&mut self) -> Result<Told> {
        let line = self.told.next_line().await?.context("the crowd has ended")?;
        Ok(serde_json::from_str(&line)?)
    }

    /// What it has counted since the last report.
    pub(super) async fn report(&mut self) -> Result<Report> {
        self.tell(&Command::Report).await?;
        match self.told().await? {
            Told::Report(report) => Ok(report),
            other => bail!("asked for a report, the crowd says {other:?}"),
        }
    }
}

/// The operator's optimized binary, beside this program's own target folder.
pub(super) fn operator_binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).context("this program lies in target/PROFILE")?;
    let program = target.join("release/tidemark-operator");
    ensure!(program.exists(), "{} is missing: cargo build --release -p tidemark-operator", program.display());
    Ok(program)
}
