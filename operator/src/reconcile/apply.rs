//! Applies rendered objects: first all that have changed as a dry run, then each that does not stand as it is to.
//!
//! Types carry the phase: what is refused in a dry run leaves nothing of the set changed.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    build::Objects,
    contest::{Contests, Id},
    managed,
    observe::Observed,
    validate::Rejection,
    volumes::{self, Growth},
    wanted::{Sent, Standing, Wanted},
};
use crate::{
    call::{CallError, LONGEST, within},
    names::{FIELD_MANAGER, SetKey},
};

/// What is remembered of the objects of one set.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) sent: Sent,
    pub(super) contests: Contests,
    pub(super) growth: Growth,
}

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
    /// The API server allows it to nobody, or not to this operator.
    #[error("may not {what} {kind} {name}: {message}")]
    Forbidden {
        /// What was tried.
        what: &'static str,
        /// What.
        kind: String,
        /// Its name.
        name: String,
        /// The server's words.
        message: String,
    },
    /// The API server failed, or somebody else was faster; trying again may help.
    #[error("cannot {what} {kind} {name}: {message}")]
    Failed {
        /// What was tried.
        what: &'static str,
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
            Self::Forbidden { .. } | Self::Failed { .. } => None,
        }
    }

    /// The server's words, if it said no to what was asked rather than failed at it.
    pub(super) fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused { message, .. } | Self::Forbidden { message, .. } => Some(message),
            Self::Failed { .. } => None,
        }
    }
}

/// What stands in the cluster now.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) statefulset: StatefulSet,
    /// Everything that belongs to the set.
    pub(super) ids: Vec<Id>,
    /// When something is to be looked at again that nothing will tell of.
    pub(super) again: Option<Instant>,
}

/// Brings everything a set consists of into the cluster.
///
/// # Errors
/// The first object's that is refused, before anything was changed, or that could not be applied.
pub(super) async fn apply(
    client: &Client,
    key: &SetKey,
    observed: &Observed,
    mut objects: Objects,
    ledger: &mut Ledger,
) -> Result<Applied, ApplyError> {
    let growth =
        volumes::prepare(client, key, observed, &mut objects.statefulset, &mut ledger.growth).await?;
    let plan = Plan::of(observed, &objects, ledger, growth.is_some())?;
    let tried = plan.try_out(client, &key.namespace, ledger).await?;
    let applied = tried.carry_out(client, &key.namespace, ledger).await?;
    match growth {
        Some(growth) => growth.make_anew(client, key).await?,
        None => volumes::conclude(client, key, observed).await?,
    }
    Ok(applied)
}

/// What is to be done with each object.
struct Plan {
    steps: Vec<(Wanted, Standing)>,
    /// The StatefulSet if it cannot be changed into what is wanted: then it is only tried out.
    anew: Option<Wanted>,
    statefulset: Option<StatefulSet>,
}

/// A plan that the server has nothing against.
struct Tried(Plan);

impl Plan {
    fn of(observed: &Observed, objects: &Objects, ledger: &Ledger, anew: bool) -> Result<Self, ApplyError> {
        let Objects { account, peers, read, budget, policy, statefulset } = objects;
        let now = Instant::now();
        let mut wanted = vec![
            Wanted::new(account, observed.account.as_ref()),
            Wanted::new(peers, observed.peers.as_ref()),
            Wanted::new(read, observed.read.as_ref()),
        ];
        wanted.extend(budget.iter().map(|budget| Wanted::new(budget, observed.budget.as_ref())));
        wanted.extend(policy.iter().map(|policy| Wanted::new(policy, observed.policy.as_ref())));
        let of_pods = Wanted::new(statefulset, observed.statefulset.as_ref());
        let anew = if anew {
            Some(of_pods)
        } else {
            wanted.push(of_pods);
            None
        };
        let failed = |error: serde_json::Error| ApplyError::Failed {
            what: "render",
            kind: "the objects of".to_owned(),
            name: statefulset.metadata.name.clone().unwrap_or_default(),
            message: error.to_string(),
        };
        let wanted = wanted.into_iter().collect::<serde_json::Result<Vec<_>>>().map_err(failed)?;
        let step = |wanted: Wanted| {
            let standing = wanted.standing(&ledger.sent, &ledger.contests, now);
            (wanted, standing)
        };
        Ok(Self {
            steps: wanted.into_iter().map(step).collect(),
            anew: anew.transpose().map_err(failed)?,
            statefulset: observed.statefulset.clone(),
        })
    }

    /// Has the server say what it has against any object that has changed, and whether anything would change by it: an
    /// operator that was started finds what the one before it applied. Changes nothing.
    async fn try_out(
        mut self,
        client: &Client,
        namespace: &str,
        ledger: &mut Ledger,
    ) -> Result<Tried, ApplyError> {
        for (wanted, standing) in self.steps.iter_mut().filter(|(_, standing)| *standing == Standing::Changed)
        {
            let tried = send(client, namespace, wanted, true).await?.metadata;
            let unknown = !ledger.sent.contains_key(&wanted.id);
            if unknown && wanted.changes_nothing(&tried, Timestamp::now()) {
                ledger.sent.insert(wanted.id.clone(), wanted.sent(&tried));
                *standing = Standing::Stands;
            }
        }
        if let Some(wanted) = &self.anew {
            try_to_make(client, namespace, wanted).await?;
        }
        Ok(Tried(self))
    }
}

impl Tried {
    async fn carry_out(
        self,
        client: &Client,
        namespace: &str,
        ledger: &mut Ledger,
    ) -> Result<Applied, ApplyError> {
        let Plan { steps, anew, mut statefulset } = self.0;
        let mut ids: Vec<Id> = anew.into_iter().map(|wanted| wanted.id).collect();
        let mut again = None;
        for (wanted, standing) in steps {
            match standing {
                Standing::Stands | Standing::Leaving => {}
                Standing::Contested(until) => again = again.into_iter().chain([until]).min(),
                Standing::Changed | Standing::Taken => {
                    let applied = send(client, namespace, &wanted, false).await?;
                    note(ledger, &wanted, standing, &applied);
                    if wanted.id.0 == "StatefulSet" {
                        statefulset = Some(parse(&wanted, applied)?);
                    }
                }
            }
            ids.push(wanted.id);
        }
        Ok(Applied { statefulset: statefulset.unwrap_or_default(), ids, again })
    }
}

/// Remembers what was applied, and who had taken a field of it.
fn note(ledger: &mut Ledger, wanted: &Wanted, standing: Standing, applied: &DynamicObject) {
    if let (Standing::Taken, Some(found)) = (standing, &wanted.found) {
        let taken = managed::taken(found, &applied.metadata);
        for (path, manager) in &taken {
            tracing::info!(kind = wanted.id.0, name = wanted.id.1, path, manager, "put a field back");
        }
        ledger.contests.put_back(&wanted.id, taken, Instant::now());
    }
    ledger.sent.insert(wanted.id.clone(), wanted.sent(&applied.metadata));
}

/// One object. What was found was checked to be ours; what was not found is applied without force, so that an object
/// somebody makes meanwhile is not taken over.
async fn send(
    client: &Client,
    namespace: &str,
    wanted: &Wanted,
    dry_run: bool,
) -> Result<DynamicObject, ApplyError> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &wanted.resource);
    let force = wanted.found.is_some();
    let params = PatchParams { force, dry_run, ..PatchParams::apply(FIELD_MANAGER).validation_strict() };
    call("apply", &wanted.id, api.patch(&wanted.id.1, &params, &Patch::Apply(&wanted.body))).await
}

/// Has the server say what it has against an object that cannot be changed into what it is to be, as if it were new: under
/// a name that is longer than any set's may be.
async fn try_to_make(client: &Client, namespace: &str, wanted: &Wanted) -> Result<(), ApplyError> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &wanted.resource);
    let name = format!("{:-<51}anew", wanted.id.1);
    let mut body = wanted.body.clone();
    if let Some(metadata) = body["metadata"].as_object_mut() {
        metadata.remove("uid");
        metadata.insert("name".to_owned(), Value::String(name.clone()));
    }
    let params = PatchParams { dry_run: true, ..PatchParams::apply(FIELD_MANAGER).validation_strict() };
    call("try", &wanted.id, api.patch(&name, &params, &Patch::Apply(&body))).await.map(drop)
}

fn parse<T: DeserializeOwned>(wanted: &Wanted, object: impl Serialize) -> Result<T, ApplyError> {
    let read = serde_json::to_value(object).and_then(serde_json::from_value);
    read.map_err(|error| failed("read", &wanted.id, error.to_string()))
}

/// Deletes an object; one that is gone already is as good.
pub(super) async fn delete<K>(
    what: &'static str,
    id: &Id,
    api: &Api<K>,
    params: &DeleteParams,
) -> Result<(), ApplyError>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let deleting = async {
        match api.delete(&id.1, params).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            answer => answer.map(drop),
        }
    };
    call(what, id, deleting).await
}

/// Waits for a call, and says of which object it was if it came to nothing.
pub(super) async fn call<T>(
    what: &'static str,
    id: &Id,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, ApplyError> {
    within(LONGEST, call).await.map_err(|error| classify(what, id, error))
}

fn failed(what: &'static str, (kind, name): &Id, message: String) -> ApplyError {
    ApplyError::Failed { what, kind: kind.clone(), name: name.clone(), message }
}

/// 400 and 422 say that the object is wrong; everything else may pass.
fn classify(what: &'static str, id: &Id, error: CallError) -> ApplyError {
    let (kind, name) = id.clone();
    match error {
        CallError::Refused(error) => match *error {
            kube::Error::Api(status) if status.code == 422 || status.code == 400 => {
                ApplyError::Refused { kind, name, message: status.message }
            }
            kube::Error::Api(status) if status.code == 403 => {
                ApplyError::Forbidden { what, kind, name, message: status.message }
            }
            error => failed(what, id, error.to_string()),
        },
        slow @ CallError::Slow(_) => failed(what, id, slow.to_string()),
    }
}
