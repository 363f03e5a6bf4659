//! Where the programs are that `e2e/cluster/build-programs` builds.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result, ensure};

/// The folder of the checkout, in which the scripts and charts lie.
#[must_use]
pub fn checkout() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The folder of the local cluster's programs and Helm, which are built first if that was not done yet.
///
/// # Errors
/// If they cannot be built.
pub fn folder() -> Result<PathBuf> {
    module("programs")
}

/// The same for the programs of any Go module in `e2e/cluster`.
///
/// # Errors
/// If they cannot be built.
pub fn module(name: &'static str) -> Result<PathBuf> {
    static FOLDERS: Mutex<BTreeMap<&str, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut folders = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = folders.get(name) {
        return Ok(folder.clone());
    }
    let folder = PathBuf::from(run_script("build-programs", &[name])?.trim());
    folders.insert(name, folder.clone());
    Ok(folder)
}

/// Runs a script of `e2e/cluster` and returns what it printed.
///
/// # Errors
/// If it cannot be run or fails; the message holds what it wrote to standard error.
pub fn run_script(name: &str, args: &[&str]) -> Result<String> {
    let script = checkout().join("e2e/cluster").join(name);
    run(Command::new(&script).args(args))
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// If it cannot be run or fails; the message holds the command and what it wrote to standard error.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed with {}: {}", output.status, errors.trim());
    String::from_utf8(output.stdout).context("a command printed something that is not UTF-8")
}
