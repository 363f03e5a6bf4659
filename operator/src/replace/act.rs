//! Deletes what the plan says. Decides nothing: each deletion names the pod that was judged, by UID and version.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{
    Api, Client,
    api::{DeleteParams, Preconditions},
};
use serde::de::DeserializeOwned;

use super::plan::{Doomed, Step};
use crate::{
    call::{self, CallError},
    names::SetKey,
};

/// Why a pod or a claim could not be deleted; it is tried again.
#[derive(Debug, thiserror::Error)]
#[error("cannot delete {kind} {name}: {source}")]
pub struct ReplaceError {
    kind: &'static str,
    name: String,
    source: CallError,
}

/// What was done, for people.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) reason: &'static str,
    pub(crate) note: String,
}

/// What came of a plan's steps.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) told: Vec<Told>,
    /// Whether a pod was not as judged any more, so that a new plan is due.
    pub(crate) outdated: bool,
}

/// Carries the steps out. The client sends no write of one that does not lead.
///
/// # Errors
/// The first deletion's that failed; those before it were done.
pub(crate) async fn carry_out(client: &Client, key: &SetKey, steps: &[Step]) -> Result<Done, ReplaceError> {
    let mut done = Done::default();
    for step in steps {
        let result = match step {
            Step::Replace(doomed) => delete_pod(client, key, doomed, false).await?,
            Step::Rebuild(doomed) => rebuild(client, key, doomed, &mut done.told).await?,
        };
        match result {
            Deleted::Yes => done.told.push(tell(step)),
            Deleted::Gone => {}
            Deleted::Changed => done.outdated = true,
        }
    }
    Ok(done)
}

fn tell(step: &Step) -> Told {
    match step {
        Step::Replace(Doomed { name, .. }) => Told {
            reason: "Replaced",
            note: format!("{name} was out and is deleted, to be made anew from the present template"),
        },
        Step::Rebuild(Doomed { name, .. }) => Told {
            reason: "Rebuilt",
            note: format!("{name} was out and is deleted, to be made anew on an empty volume"),
        },
    }
}

enum Deleted {
    Yes,
    /// Somebody else was faster.
    Gone,
    /// It is not what was judged any more.
    Changed,
}

/// The claim first: it lasts as long as the pod that uses it, and a pod made in between would take the old volume. Before
/// that the pod's own deletion is tried: a pod that may not go, or came back in, must not stay on a volume that is to go.
async fn rebuild(
    client: &Client,
    key: &SetKey,
    doomed: &Doomed,
    told: &mut Vec<Told>,
) -> Result<Deleted, ReplaceError> {
    if let Some(claim) = &doomed.claim {
        match delete_pod(client, key, doomed, true).await? {
            Deleted::Yes => {}
            not_so @ (Deleted::Gone | Deleted::Changed) => return Ok(not_so),
        }
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &key.namespace);
        let same = Preconditions { uid: claim.uid.clone(), resource_version: None };
        match delete("PersistentVolumeClaim", &claims, &claim.name, same, false).await? {
            Deleted::Yes => told.push(Told {
                reason: "RebuildStarted",
                note: format!("{} is marked for deletion, and goes with pod {}", claim.name, doomed.name),
            }),
            Deleted::Gone => {}
            Deleted::Changed => return Ok(Deleted::Changed),
        }
    }
    delete_pod(client, key, doomed, false).await
}

async fn delete_pod(
    client: &Client,
    key: &SetKey,
    doomed: &Doomed,
    dry_run: bool,
) -> Result<Deleted, ReplaceError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &key.namespace);
    let same =
        Preconditions { uid: Some(doomed.uid.clone()), resource_version: Some(doomed.version.clone()) };
    delete("Pod", &pods, &doomed.name, same, dry_run).await
}

async fn delete<K>(
    kind: &'static str,
    api: &Api<K>,
    name: &str,
    same: Preconditions,
    dry_run: bool,
) -> Result<Deleted, ReplaceError>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let params = DeleteParams { preconditions: Some(same), dry_run, ..DeleteParams::default() };
    match call::within(call::LONGEST, api.delete(name, &params)).await {
        Ok(_) => Ok(Deleted::Yes),
        Err(error) if error.code() == Some(404) => Ok(Deleted::Gone),
        Err(error) if error.code() == Some(409) => Ok(Deleted::Changed),
        Err(source) => Err(ReplaceError { kind, name: name.to_owned(), source }),
    }
}
