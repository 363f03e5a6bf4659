//! Where benchmarks run: the binary they measure, a folder on the disk they measure, and how long they take.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::{bare, machine::server::Server};

/// Nobody listens there: a follower of it serves what it holds.
const NOBODY: &str = "http://127.0.0.1:1";

/// How blocks are asked for.
pub const FETCH_MODE: &str = "subscribe";

/// What every benchmark is given.
pub struct Bench {
    follower: PathBuf,
    scratch: TempDir,
    quick: bool,
}

impl Bench {
    /// Benchmarks of the binary `follower` on the disk that holds the folder `scratch`; quick ones only show that they
    /// work.
    ///
    /// # Errors
    /// If there is no such binary, or nothing can be written there.
    pub fn new(follower: PathBuf, scratch: &Path, quick: bool) -> Result<Self> {
        ensure!(
            follower.is_file(),
            "{} is missing: cargo build --release -p tidemark-follower",
            follower.display()
        );
        let made = tempfile::Builder::new().prefix("tidemark-bench-").tempdir_in(scratch);
        let scratch = made.with_context(|| format!("cannot write in {}", scratch.display()))?;
        Ok(Self { follower, scratch, quick })
    }

    /// `full`, or a value that is quick to try.
    pub fn choose<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// How often measurements are repeated, in turns.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.choose(5, 1)
    }

    /// How long each run of a benchmark of throughput takes at least.
    #[must_use]
    pub fn run(&self) -> Duration {
        self.choose(Duration::from_secs(10), Duration::from_secs(1))
    }

    /// A folder of that name, as an earlier part of the same benchmark left it.
    #[must_use]
    pub fn dir(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// A folder of that name, empty.
    ///
    /// # Errors
    /// What the file system says.
    pub fn fresh(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir(name);
        remove(&dir)?;
        fs::create_dir(&dir)?;
        Ok(dir)
    }

    /// Follows `upstream` into `dir`.
    ///
    /// # Errors
    /// If the follower does not start.
    pub async fn follow(&self, dir: &Path, format: &str, upstream: &str) -> Result<Server> {
        let args = ["--format", format, "--upstream", upstream, "--sync", FETCH_MODE];
        self.start("follow", dir, &args).await
    }

    /// Serves what `dir` holds.
    ///
    /// # Errors
    /// If the follower does not start.
    pub async fn serve(&self, dir: &Path, format: &str) -> Result<Server> {
        self.follow(dir, format, NOBODY).await
    }

    /// Makes blocks of the development chain at an interval into `dir`.
    ///
    /// # Errors
    /// If the primary does not start.
    pub async fn produce(&self, dir: &Path, interval: &str, body: &str) -> Result<Server> {
        self.start("produce", dir, &["--block-interval", interval, "--body-size", body]).await
    }

    /// Serves the same payload again and again, from memory and with nothing but tonic.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn bare(&self, size: usize) -> Result<Server> {
        Server::start(&std::env::current_exe()?, &[bare::COMMAND, "--size", &size.to_string()]).await
    }

    /// No connection ends for its age, and there is one to spare beside 1,000 subscribers: neither is measured.
    async fn start(&self, command: &str, dir: &Path, args: &[&str]) -> Result<Server> {
        let common = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"];
        let limits = ["--max-connection-age", "1day", "--max-connections", "1100", "--shutdown-delay", "0s"];
        let mut all: Vec<OsString> = vec![command.into(), "--data-dir".into(), dir.into()];
        all.extend([args, &common, &limits].concat().into_iter().map(OsString::from));
        Server::start(&self.follower, &all).await
    }
}

/// Removes a folder, if it is there.
///
/// # Errors
/// What the file system says.
pub fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => Ok(done?),
    }
}
