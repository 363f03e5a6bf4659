//! Installing the operator as a user does: the CRD with kubectl, the chart with Helm.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::{programs, target::Target};

/// The namespace that the operator is installed in.
pub const NAMESPACE: &str = "tidemark-system";

/// The operator's Deployment, and the Helm release.
pub const RELEASE: &str = "tidemark";

/// Applies `crds/` and installs or upgrades the chart, and waits until the operator is ready.
///
/// # Errors
/// What kubectl or Helm say against it.
pub fn operator(target: &Target) -> Result<()> {
    crds(target)?;
    operator_of(target, &programs::checkout().join("charts/tidemark"))
}

/// Installs or upgrades the operator by a chart of any version, and waits until it is ready.
///
/// # Errors
/// What Helm says against it.
pub fn operator_of(target: &Target, chart: &Path) -> Result<()> {
    let (repository, tag) =
        target.images.operator.rsplit_once(':').context("the operator's image has no tag")?;
    let mut helm = target.helm()?;
    helm.args(["upgrade", "--install", RELEASE]).arg(chart);
    helm.args(["--namespace", NAMESPACE, "--create-namespace", "--wait", "--timeout", "120s"]);
    helm.args([
        "--set",
        &format!("image.repository={repository}"),
        "--set-string",
        &format!("image.tag={tag}"),
    ]);
    programs::run(&mut helm)?;
    Ok(())
}

/// Runs Helm on the operator's release: `<command> tidemark <args>`.
///
/// # Errors
/// What Helm says against it, with what its hooks said.
pub fn helm(target: &Target, command: &str, args: &[&str]) -> Result<String> {
    let mut helm = target.helm()?;
    helm.args([command, RELEASE, "--namespace", NAMESPACE]).args(args);
    programs::run(&mut helm)
}

fn crds(target: &Target) -> Result<()> {
    let folder = programs::checkout().join("crds");
    programs::run(target.kubectl()?.args(["apply", "-f"]).arg(folder))?;
    let established =
        ["wait", "--for=condition=Established", "--timeout=60s", "crd/storereplicasets.tidemark.dev"];
    programs::run(target.kubectl()?.args(established))?;
    Ok(())
}
