//! The operator as a process of its own, started again whenever it ends, as its Deployment would.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{
    apiserver,
    folder::Folder,
    kept::{self, Kept},
    procfs,
};

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long it stays ended: less than the kubelet's first pause.
const PAUSE: Duration = Duration::from_secs(1);

/// An operator that runs; dropping it kills it.
#[derive(Debug)]
pub struct OperatorProcess {
    counts: Arc<Counts>,
    log: PathBuf,
    running: JoinHandle<()>,
    _folder: Folder,
}

#[derive(Debug, Default)]
struct Counts {
    starts: AtomicU32,
    peak: AtomicU64,
}

struct Plan {
    program: PathBuf,
    environment: Vec<(String, OsString)>,
    log: PathBuf,
}

impl OperatorProcess {
    /// Starts the program so that it reaches the API server at this URL without credentials, with this environment
    /// besides.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(program: &Path, server: &str, environment: &[(&str, OsString)]) -> Result<Self> {
        let folder = Folder::make("tidemark-operator-")?;
        let kubeconfig = folder.path().join("kubeconfig");
        let cluster = json!({ "server": server });
        fs::write(&kubeconfig, apiserver::kubeconfig(&cluster, &json!({}), None))?;
        let log = folder.path().join("log");
        let own = [
            ("KUBECONFIG", kubeconfig.into_os_string()),
            ("TIDEMARK_OPERATOR_ADMIN_LISTEN", "127.0.0.1:0".into()),
            ("TIDEMARK_OPERATOR_ALLOW_LOOPBACK_PRIMARIES", "true".into()),
        ];
        let environment = own.iter().chain(environment);
        let environment = environment.map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let plan = Plan { program: program.to_owned(), environment, log: log.clone() };
        let counts = Arc::new(Counts::default());
        let running = tokio::spawn(keep_running(plan.start()?, plan, Arc::clone(&counts)));
        Ok(Self { counts, log, running, _folder: folder })
    }

    /// The most memory that it had, over all its lives, in bytes.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        self.counts.peak.load(Ordering::Relaxed)
    }

    /// How often it had to be started again.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.counts.starts.load(Ordering::Relaxed)
    }

    /// What it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for OperatorProcess {
    fn drop(&mut self) {
        self.running.abort();
        if std::thread::panicking() {
            eprintln!("the operator said:\n{}", self.log());
        }
    }
}

impl Plan {
    fn start(&self) -> Result<Kept> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = kept::command(&self.program);
        command.arg("run").env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdout(log.try_clone()?).stderr(log);
        Kept::start(command).with_context(|| format!("cannot start {}", self.program.display()))
    }
}

async fn keep_running(mut process: Kept, plan: Plan, counts: Arc<Counts>) {
    loop {
        let peak = procfs::memory(process.id(), "VmHWM").unwrap_or_default() * 1024;
        counts.peak.fetch_max(peak, Ordering::Relaxed);
        tokio::time::sleep(LOOK_EVERY).await;
        if matches!(process.ended(), Ok(None)) {
            continue;
        }
        counts.starts.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
        process = plan.start().expect("a program that was started starts again");
    }
}
