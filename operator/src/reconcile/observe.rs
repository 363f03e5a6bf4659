//! Reads what stands in the cluster under a set's names: from the watches, and from the server what they do not show.

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        core::v1::{Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Client, Resource,
    runtime::reflector::{Lookup, ObjectRef, Store},
};
use serde::de::DeserializeOwned;

use super::volumes;
use crate::{
    call::{self, CallError},
    names::{self, SetKey},
};

/// The objects of a set's names, whoever they belong to.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// Under which the pods run.
    pub account: Option<ServiceAccount>,
    /// The Service of peers.
    pub peers: Option<Service>,
    /// The Service of readers.
    pub read: Option<Service>,
    /// The disruption budget.
    pub budget: Option<PodDisruptionBudget>,
    /// Who may reach the pods.
    pub policy: Option<NetworkPolicy>,
    /// The pods' StatefulSet.
    pub statefulset: Option<StatefulSet>,
    /// While the StatefulSet is being made anew: what bears the record of its template.
    pub memento: Option<StatefulSet>,
}

impl Observed {
    /// What bears the record of the template the pods were made from.
    pub(super) fn recorded_on(&self) -> Option<&StatefulSet> {
        self.statefulset.as_ref().or(self.memento.as_ref())
    }
}

/// What the watches show of the objects this operator makes.
#[derive(Clone)]
pub struct Watched {
    /// ServiceAccounts.
    pub accounts: Store<ServiceAccount>,
    /// Services.
    pub services: Store<Service>,
    /// Disruption budgets.
    pub budgets: Store<PodDisruptionBudget>,
    /// Network policies.
    pub policies: Store<NetworkPolicy>,
    /// StatefulSets.
    pub statefulsets: Store<StatefulSet>,
}

/// Why the cluster could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {kind} {name}: {source}")]
pub struct ObserveError {
    kind: String,
    name: String,
    source: CallError,
}

/// Reads everything a set consists of.
///
/// # Errors
/// If an object that no watch shows cannot be read.
pub(super) async fn observe(
    client: &Client,
    watched: &Watched,
    key: &SetKey,
) -> Result<Observed, ObserveError> {
    let reader = Reader { client, key };
    let peers = reader.one(&watched.services, &names::peers_service(&key.name)).await?;
    Ok(Observed {
        account: reader.one(&watched.accounts, &key.name).await?,
        memento: peers.as_ref().and_then(volumes::memento),
        peers,
        read: reader.one(&watched.services, &key.name).await?,
        budget: reader.one(&watched.budgets, &key.name).await?,
        policy: reader.one(&watched.policies, &key.name).await?,
        statefulset: reader.one(&watched.statefulsets, &key.name).await?,
    })
}

struct Reader<'a> {
    client: &'a Client,
    key: &'a SetKey,
}

impl Reader<'_> {
    /// One object. The watches show only what bears our label, so what they lack may still exist.
    async fn one<K>(&self, store: &Store<K>, name: &str) -> Result<Option<K>, ObserveError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Lookup<DynamicType = ()>,
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        let key = ObjectRef::new(name).within(&self.key.namespace);
        if let Some(shown) = store.get(&key) {
            return Ok(Some(K::clone(&shown)));
        }
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.key.namespace);
        let found = call::within(call::LONGEST, api.get_opt(name)).await;
        found.map_err(|source| ObserveError {
            kind: <K as Resource>::kind(&()).into_owned(),
            name: name.to_owned(),
            source,
        })
    }
}
