//! The charts as Helm renders them, before a real API server.

mod definition;
mod installed;
mod objects;
mod values;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use tempfile::TempDir;
use tidemark_e2e::{apiserver::ApiServer, programs};

const NAMES: [&str; 3] = ["tidemark", "tidemark-crds", "store-replica-set"];
/// What an API server of another version is not asked for.
const RENDER: [&str; 3] = ["template", "--kube-version", "1.34"];

fn folder(chart: &str) -> PathBuf {
    programs::checkout().join("charts").join(chart)
}

/// The files of a chart's `ci/` that end so.
fn cases(chart: &str, end: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(folder(chart).join("ci")).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.to_string_lossy().ends_with(end)).collect();
    files.sort();
    assert!(!files.is_empty(), "{chart} has no case");
    files
}

fn helm() -> Command {
    let mut helm = Command::new(programs::folder().unwrap().join("helm"));
    helm.env_remove("KUBECONFIG");
    helm
}

/// One who has programs ask the server.
struct Hands(TempDir);

impl Hands {
    fn of(server: &ApiServer) -> Self {
        let hands = Self(tempfile::tempdir().unwrap());
        fs::write(hands.config(), server.kubeconfig("default")).unwrap();
        hands
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("config")
    }

    /// Runs a built program and returns what it printed.
    async fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = Command::new(programs::folder()?.join(program));
        command.env("KUBECONFIG", self.config()).args(args);
        tokio::task::spawn_blocking(move || programs::run(&mut command)).await?
    }

    async fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.run("kubectl", args).await
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
