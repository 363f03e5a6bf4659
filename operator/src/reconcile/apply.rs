//! Applies rendered objects by server-side apply, each only when it or what stands in the cluster has changed.

use std::{collections::BTreeMap, fmt::Debug};

use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    CALL_TIMEOUT,
    build::{Applied, Objects, Prepared},
    observe::Observed,
    validate::Rejection,
};
use crate::names::FIELD_MANAGER;

/// What was applied before, so that nothing is sent twice: by kind and name, the fields sent and the version returned.
pub(super) type Sent = BTreeMap<(String, String), (blake3::Hash, String)>;

/// Why an object could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server finds the object itself wrong; trying again changes nothing.
    #[error("{kind} {name} is refused: {message}")]
    Refused {
        /// What.
        kind: String,
        /// Its name.
        name: String,
        /// The server's words.
        message: String,
    },
    /// The API server failed, or somebody else was faster; trying again may help.
    #[error("cannot apply {kind} {name}: {message}")]
    Failed {
        /// What.
        kind: String,
        /// Its name.
        name: String,
        /// Why.
        message: String,
    },
}

impl ApplyError {
    /// The rejection that follows when trying again changes nothing.
    pub(super) fn rejection(&self) -> Option<Rejection> {
        match self {
            Self::Refused { .. } => {
                let message = format!("{self}: correct the fields of spec it was made from");
                Some(Rejection { reason: "ObjectRefused", message })
            }
            Self::Failed { .. } => None,
        }
    }
}

/// Applies everything a set consists of.
///
/// # Errors
/// The first object's that could not be applied; those before it were.
pub(super) async fn apply(
    client: &Client,
    observed: Observed,
    objects: Objects<Prepared>,
    sent: &mut Sent,
) -> Result<Objects<Applied>, ApplyError> {
    let Objects { account, peers, read, budget, statefulset, .. } = objects;
    let mut applier = Applier { client, sent };
    let account = applier.one(account, observed.account).await?;
    let peers = applier.one(peers, observed.peers).await?;
    let read = applier.one(read, observed.read).await?;
    let budget = applier.one(budget, observed.budget).await?;
    let statefulset = applier.one(statefulset, observed.statefulset).await?;
    Ok(Objects::applied(account, peers, read, budget, statefulset))
}

struct Applier<'a> {
    client: &'a Client,
    sent: &'a mut Sent,
}

impl Applier<'_> {
    /// One object. `found` was checked to be ours; what was not found is applied without force, so that an object
    /// somebody makes meanwhile is not taken over.
    async fn one<K>(&mut self, mut object: K, found: Option<K>) -> Result<K, ApplyError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let kind = K::kind(&()).into_owned();
        let name = object.meta().name.clone().unwrap_or_default();
        let failed = |message: String| ApplyError::Failed { kind: kind.clone(), name: name.clone(), message };
        let text = serde_json::to_vec(&object).map_err(|error| failed(error.to_string()))?;
        let (id, hash) = ((kind.clone(), name.clone()), blake3::hash(&text));
        if let Some(found) = found.as_ref().filter(|found| self.stands(&id, hash, *found)) {
            return Ok(found.clone());
        }
        object.meta_mut().uid = found.as_ref().and_then(|found| found.meta().uid.clone());
        let namespace = object.meta().namespace.clone().unwrap_or_default();
        let api: Api<K> = Api::namespaced(self.client.clone(), &namespace);
        let params =
            PatchParams { force: found.is_some(), ..PatchParams::apply(FIELD_MANAGER).validation_strict() };
        let body = Patch::Apply(&object);
        let applied = match tokio::time::timeout(CALL_TIMEOUT, api.patch(&name, &params, &body)).await {
            Ok(Ok(applied)) => applied,
            Ok(Err(error)) => return Err(classify(kind, name, error)),
            Err(_) => return Err(failed(format!("no answer within {} s", CALL_TIMEOUT.as_secs()))),
        };
        let version = applied.meta().resource_version.clone().unwrap_or_default();
        self.sent.insert(id, (hash, version));
        Ok(applied)
    }

    /// Whether the cluster holds what was sent last, and that is what would be sent now.
    fn stands<K: Resource>(&self, id: &(String, String), hash: blake3::Hash, found: &K) -> bool {
        self.sent.get(id).is_some_and(|(sent, version)| {
            *sent == hash && Some(version) == found.meta().resource_version.as_ref()
        })
    }
}

/// 400 and 422 say that the object is wrong; everything else may pass.
fn classify(kind: String, name: String, error: kube::Error) -> ApplyError {
    match error {
        kube::Error::Api(status) if status.code == 422 || status.code == 400 => {
            ApplyError::Refused { kind, name, message: status.message }
        }
        error => ApplyError::Failed { kind, name, message: error.to_string() },
    }
}
