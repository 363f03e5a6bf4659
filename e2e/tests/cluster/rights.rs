//! What the operator may do, held against what it did in all stories before.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::rbac::v1::{ClusterRole, Role};
use kube::Api;
use libtest_mimic::Arguments;
use tidemark_e2e::{
    audit::{Audit, Right},
    install,
    scene::Scene,
    target,
};

/// The API server refused the operator nothing for want of a right, and no right was granted that no story used, if all
/// stories of `make test` were played.
pub(crate) async fn none_was_wanting(scene: Scene) -> Result<()> {
    let log = target::state_folder().join("log/audit.log");
    let log = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let audit = Audit::read(&log)?;
    ensure!(!audit.used.is_empty(), "the operator is not in the audit log");
    let cluster: Api<ClusterRole> = Api::all(scene.client.clone());
    let own: Api<Role> = Api::namespaced(scene.client.clone(), install::NAMESPACE);
    let mut granted = cluster.get(install::RELEASE).await?.rules.unwrap_or_default();
    granted.extend(own.get(&format!("{}-lease", install::RELEASE)).await?.rules.unwrap_or_default());
    let unused = in_words(&audit.unused(&granted));
    let wanting = in_words(&audit.refused);
    ensure!(wanting.is_empty(), "rights were wanting: {wanting:?}");
    match chosen() {
        true => println!("granted, and used in none of the chosen stories: {unused:?}"),
        false => ensure!(unused.is_empty(), "granted, and used in no story: {unused:?}"),
    }
    Ok(())
}

fn in_words(rights: &BTreeSet<Right>) -> Vec<String> {
    rights.iter().map(ToString::to_string).collect()
}

/// Whether not all stories are played.
fn chosen() -> bool {
    let Arguments { filter, skip, .. } = Arguments::from_args();
    filter.is_some() || !skip.is_empty()
}
