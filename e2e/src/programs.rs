//! Where the Kubernetes programs are that `make cluster-programs` built.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// The folder of the checkout, in which the scripts and charts lie.
#[must_use]
pub fn checkout() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The folder of the built programs: `TIDEMARK_E2E_PROGRAMS`, else what the build script says.
///
/// # Errors
/// If the programs were not built yet.
pub fn folder() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("TIDEMARK_E2E_PROGRAMS") {
        return Ok(folder.into());
    }
    let printed = run_script("programs-dir", &[])?;
    let folder = PathBuf::from(printed.trim());
    ensure!(folder.is_dir(), "{} does not exist: run `make cluster-programs` first", folder.display());
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
