//! What the operator may do, held against what it did in all stories before.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use tidemark_e2e::{audit::Audit, install, scene::Scene, target};

/// The API server refused the operator nothing for want of a right; rights that it never used are printed.
pub(crate) async fn none_was_wanting(scene: Scene) -> Result<()> {
    let log = target::state_folder().join("log/audit.log");
    let log = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let audit = Audit::read(&log)?;
    ensure!(!audit.used.is_empty(), "the operator is not in the audit log");
    let roles: Api<ClusterRole> = Api::all(scene.client.clone());
    for right in audit.unused(&roles.get(install::RELEASE).await?) {
        println!("granted, and used in no story: {right}");
    }
    let wanting: Vec<_> = audit.wanting().iter().map(ToString::to_string).collect();
    ensure!(wanting.is_empty(), "rights were wanting: {wanting:?}");
    Ok(())
}
