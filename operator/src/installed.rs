//! Questions about an installed operator, which its chart asks: whether it may go, and whether it works.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::APIResource};
use kube::{Api, Client, Config, Resource as _, ResourceExt as _, api::ListParams};

use crate::{
    api::StoreReplicaSet,
    call::{CallError, LONGEST, within},
    names::SetKey,
    options::{Check, scopes},
};

/// How many objects are asked for at once.
const PAGE: u32 = 500;
/// How many sets are named at most.
const NAMED: usize = 10;
/// How often what is not so yet is looked at.
const AGAIN: Duration = Duration::from_secs(1);

/// The sets in these namespaces, or in all if none is named. Without their definition there is none.
///
/// # Errors
/// If the API server does not say.
pub async fn in_use(client: &Client, namespaces: &[String]) -> Result<BTreeSet<SetKey>, CallError> {
    let mut found = BTreeSet::new();
    for scope in scopes(namespaces) {
        let sets = match scope {
            Some(namespace) => Api::namespaced(client.clone(), &namespace),
            None => Api::all(client.clone()),
        };
        found.extend(listed(&sets).await?);
    }
    Ok(found)
}

/// By their metadata alone: a set that nobody can read exists all the same.
async fn listed(sets: &Api<StoreReplicaSet>) -> Result<Vec<SetKey>, CallError> {
    let (mut found, mut params) = (Vec::new(), ListParams::default().limit(PAGE));
    loop {
        let page = match within(LONGEST, sets.list_metadata(&params)).await {
            Err(error) if error.code() == Some(404) => return Ok(Vec::new()),
            page => page?,
        };
        let key = |set: &kube::core::PartialObjectMeta<StoreReplicaSet>| SetKey {
            namespace: set.namespace().unwrap_or_default(),
            name: set.name_any(),
        };
        found.extend(page.items.iter().map(key));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
    }
}

/// What to tell somebody who uninstalls the operator of these sets.
pub fn why_not_uninstalled(sets: &BTreeSet<SetKey>, release: &str, namespace: &str) -> String {
    let mut named: Vec<_> = sets.iter().take(NAMED).map(ToString::to_string).collect();
    if sets.len() > NAMED {
        named.push(format!("and {} more", sets.len() - NAMED));
    }
    format!(
        "not uninstalled: {} StoreReplicaSet{} would be left without an operator: {}\n\
         Delete them first, or leave them as they are (their pods go on, gates keep their last state, and new pods stay \
         unready) with\n  helm uninstall {release} --namespace {namespace} --no-hooks\n\
         To go on with this release instead, with the last revision of helm history {release} --namespace {namespace},\n  \
         helm rollback {release} REVISION --namespace {namespace}",
        sets.len(),
        if sets.len() == 1 { "" } else { "s" },
        named.join(", ")
    )
}

/// What does not work.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The address is none that can be asked.
    #[error("cannot ask {admin} (--admin): {source}")]
    Admin {
        /// What was given.
        admin: http::Uri,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The API server does not answer.
    #[error("the API server does not say what it serves: {0}")]
    Silent(#[source] CallError),
    /// The definition is not there, or is one of other versions.
    #[error(
        "tidemark.dev/{version} storereplicasets is not served: install the definition of this operator's version"
    )]
    NoDefinition {
        /// The version that the operator reads.
        version: String,
    },
    /// No instance is ready.
    #[error("no instance answers {url} with ok: {why}")]
    NotReady {
        /// What was asked.
        url: String,
        /// What came of it.
        why: String,
    },
    /// Nobody renews the lease.
    #[error("nobody leads: {lease} {why}")]
    NoLeader {
        /// The lease.
        lease: String,
        /// What is seen of it.
        why: String,
    },
}

/// Checks one thing after the other and tells each that is so.
///
/// # Errors
/// What is not so within the time given.
pub async fn check(client: &Client, check: &Check, mut tell: impl FnMut(&str)) -> Result<(), CheckError> {
    let config = Config::new(check.admin.clone());
    let admin = Client::try_from(config)
        .map_err(|error| CheckError::Admin { admin: check.admin.clone(), source: Box::new(error) })?;
    let patience = tokio::time::Instant::now() + check.within.get();
    tell(&until(patience, async || definition(client).await).await?);
    tell(&until(patience, async || ready(&admin, &check.admin).await).await?);
    let mut first = None;
    tell(&until(patience, async || leads(client, check, &mut first).await).await?);
    Ok(())
}

/// Looks again until it is so, or patience ends.
async fn until(
    patience: tokio::time::Instant,
    mut look: impl AsyncFnMut() -> Result<String, CheckError>,
) -> Result<String, CheckError> {
    loop {
        match look().await {
            Err(_) if tokio::time::Instant::now() < patience => tokio::time::sleep(AGAIN).await,
            seen => return seen,
        }
    }
}

async fn definition(client: &Client) -> Result<String, CheckError> {
    let api_version = StoreReplicaSet::api_version(&());
    let served = within(LONGEST, client.list_api_group_resources(&api_version)).await;
    let is_ours = |resource: &APIResource| resource.name == StoreReplicaSet::plural(&());
    match served {
        Ok(list) if list.resources.iter().any(is_ours) => {
            Ok(format!("the definition is served: {api_version}"))
        }
        Err(error) if error.code() != Some(404) => Err(CheckError::Silent(error)),
        _ => Err(CheckError::NoDefinition { version: StoreReplicaSet::version(&()).into_owned() }),
    }
}

async fn ready(admin: &Client, base: &http::Uri) -> Result<String, CheckError> {
    let url = format!("{}/readyz", base.to_string().trim_end_matches('/'));
    let not = |why: String| CheckError::NotReady { url: url.clone(), why };
    let request = http::Request::get("/readyz").body(Vec::new()).map_err(|error| not(error.to_string()))?;
    let answer =
        within(LONGEST, admin.request_text(request)).await.map_err(|error| not(error.to_string()))?;
    if answer.trim() == "ok" { Ok("an instance is ready".to_owned()) } else { Err(not(answer)) }
}

/// Somebody leads whose lease is seen to be renewed: no clock is asked.
async fn leads(client: &Client, check: &Check, first: &mut Option<Lease>) -> Result<String, CheckError> {
    let lease = format!("lease {}/{}", check.lease_namespace, check.lease_name);
    let not = |why: String| CheckError::NoLeader { lease: lease.clone(), why };
    let leases: Api<Lease> = Api::namespaced(client.clone(), &check.lease_namespace);
    let found =
        within(LONGEST, leases.get(&check.lease_name)).await.map_err(|error| not(error.to_string()))?;
    let spec = found.spec.clone().unwrap_or_default();
    let Some(holder) = spec.holder_identity.filter(|holder| !holder.is_empty()) else {
        return Err(not("has no holder".to_owned()));
    };
    let before = first.get_or_insert_with(|| found.clone()).spec.clone().unwrap_or_default();
    if before.renew_time == spec.renew_time {
        return Err(not(format!("of {holder} is not renewed")));
    }
    Ok(format!("{holder} leads"))
}

#[cfg(test)]
mod tests {
    use super::{SetKey, why_not_uninstalled};

    #[test]
    fn who_uninstalls_is_told_which_sets_there_are_and_what_to_do() {
        let sets = |count: u32| {
            let name = |at| SetKey { namespace: "chain".to_owned(), name: format!("set-{at:02}") };
            why_not_uninstalled(&(0..count).map(name).collect(), "our-tidemark", "ours")
        };
        let one = sets(1);
        assert!(one.contains("1 StoreReplicaSet would") && one.contains("operator: chain/set-00\n"), "{one}");
        assert!(one.contains("helm uninstall our-tidemark --namespace ours --no-hooks"), "{one}");
        let many = sets(12);
        assert!(
            many.contains("12 StoreReplicaSets") && many.contains("chain/set-09, and 2 more\n"),
            "{many}"
        );
    }
}
