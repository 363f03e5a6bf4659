//! kubectl and Helm as a user runs them, aimed at a namespace of a test's API server.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use tempfile::TempDir;
use tidemark_e2e::{apiserver::ApiServer, programs};

/// What a user has at hand: a kubeconfig, and a folder of manifests.
pub(crate) struct Clients(TempDir);

impl Clients {
    pub(crate) fn of(server: &ApiServer, namespace: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("kubeconfig"), server.kubeconfig(namespace)).unwrap();
        Self(folder)
    }

    /// Writes a manifest, in a folder of its own if its name says so, and returns where it is.
    pub(crate) fn write(&self, file: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A kustomization of one of our bases, in this namespace.
    pub(crate) fn overlay(&self, base: &str, namespace: &str) -> PathBuf {
        // kustomize takes no absolute path.
        let root = self.0.path().canonicalize().unwrap();
        let up = "../".repeat(root.components().count());
        let base = programs::checkout().join("deploy/kustomize").join(base).canonicalize().unwrap();
        let base = format!("{up}{}", base.strip_prefix("/").unwrap().display());
        let text = format!("namespace: {namespace}\nresources: ['{base}']\n");
        self.write("overlay/kustomization.yaml", &text).parent().unwrap().to_owned()
    }

    pub(crate) fn kubectl(&self, args: &[&str]) -> Result<String> {
        programs::run(self.program("kubectl").args(args))
    }

    pub(crate) fn helm(&self, args: &[&str]) -> Result<String> {
        programs::run(self.program("helm").args(args))
    }

    /// A program that keeps its caches in our folder.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(programs::folder().unwrap().join(name));
        command.env("KUBECONFIG", self.0.path().join("kubeconfig")).env("HOME", self.0.path());
        command
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
