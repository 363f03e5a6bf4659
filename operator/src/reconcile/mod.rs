//! The reconcile path: observe, validate, build, apply, status. Driven by objects, in seconds.
//!
//! Must not judge freshness, nor write a pod. What it says about followers it reads from the freshness path.

mod apply;
mod build;
mod conditions;
mod contest;
mod managed;
mod memory;
mod news;
mod observe;
mod orphans;
mod quantity;
mod status;
mod validate;
mod volumes;
mod wanted;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::{Client, runtime::controller::Action};
use tokio::time::Instant;

pub use build::MERGE_KEYS;
pub(crate) use managed::compact;
pub use memory::Memory;
pub use observe::Watched;
pub use validate::Rules;

use self::{
    apply::Ledger,
    conditions::{Outcome, Trouble},
    memory::Remembered,
    news::News,
};
use crate::{
    api::{StoreReplicaSet, StoreReplicaSetStatus},
    freshness::{Announcement, Fleets, Intents, set_reference},
    metrics::Metrics,
    names::{self, SetKey},
    replace::{self, Fleet, Missing, Progress, ReplaceError, Told},
    wait::uneven,
};

/// After a failure a set is tried again first after this long, then twice as long each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// What reconciling needs.
pub struct Context {
    /// The cluster.
    pub client: Client,
    /// What the watches show.
    pub watched: Watched,
    /// The freshness path.
    pub fleets: Arc<Fleets>,
    /// What the flags allow.
    pub rules: Rules,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is remembered of each set from one reconciliation to the next.
    pub memory: Memory,
}

/// Why a set could not be reconciled; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster could not be read.
    #[error(transparent)]
    Observe(#[from] observe::ObserveError),
    /// An object could not be applied.
    #[error(transparent)]
    Apply(#[from] apply::ApplyError),
    /// A pod could not be deleted.
    #[error(transparent)]
    Replace(#[from] ReplaceError),
    /// The status could not be written.
    #[error(transparent)]
    Status(#[from] status::StatusError),
}

/// Brings the cluster to what the set asks for and says so in its status.
///
/// # Errors
/// If something failed that is worth another try.
pub async fn reconcile(set: Arc<StoreReplicaSet>, context: Arc<Context>) -> Result<Action, Error> {
    let key = SetKey::of(&set);
    if set.metadata.deletion_timestamp.is_some() {
        context.memory.forget(&key);
        return Ok(Action::await_change());
    }
    let start = Instant::now();
    let mut remembered = context.memory.take(&key, set.metadata.uid.as_deref());
    let result = make(&set, &key, &context, &mut remembered).await;
    let outcome = match &result {
        Ok((outcome, _)) => outcome,
        Err(error) => &Outcome::Failed(error.to_string()),
    };
    let every = status::refresh(context.fleets.count());
    let told = tell(&set, &key, &context, outcome, start, every, &mut remembered).await;
    let failed = result.is_err() || told.is_err();
    remembered.failures = if failed { remembered.failures.saturating_add(1) } else { 0 };
    let refresh = remembered.refresh_at(start, every);
    context.memory.put(&key, remembered);
    context.metrics.reconciled(if failed { "error" } else { "ok" }, start.elapsed());
    let (_, again) = result?;
    told?;
    let due = again.map_or(refresh, |again| again.min(refresh));
    Ok(Action::requeue(due.duration_since(Instant::now())))
}

/// How long to wait after an error.
pub fn retry(set: Arc<StoreReplicaSet>, error: &Error, context: Arc<Context>) -> Action {
    let key = SetKey::of(&set);
    let failures = context.memory.failures(&key).saturating_sub(1);
    // The sets that an unreachable server failed at once are not to come back at once.
    let wait = uneven(FIRST_RETRY.saturating_mul(2_u32.saturating_pow(failures)).min(LAST_RETRY), 0.5);
    tracing::warn!(set = %key, %error, retry_in = ?wait, "could not reconcile");
    Action::requeue(wait)
}

/// Observes, validates, builds and applies. With the outcome comes when to look again, if before long.
async fn make(
    set: &StoreReplicaSet,
    key: &SetKey,
    context: &Context,
    remembered: &mut Remembered,
) -> Result<(Outcome, Option<Instant>), Error> {
    // Who is out to be replaced returns while nothing is.
    let idle = |outcome| {
        context.fleets.intend(key, Intents::default());
        Ok((outcome, None))
    };
    if names::is_paused(set) {
        return idle(Outcome::Paused);
    }
    let observed = observe::observe(&context.client, &context.watched, key).await?;
    let snapshot = context.fleets.snapshot(key);
    let replicas = replace::target(set, observed.recorded_on(), snapshot.as_deref());
    let objects = match validate::validate(set, &observed, &context.rules) {
        Ok(valid) => build::build(&valid, replicas),
        Err(rejection) => return idle(Outcome::Rejected(rejection)),
    };
    let applied = match apply::apply(&context.client, key, &observed, objects, &mut remembered.ledger).await {
        Ok(applied) => applied,
        Err(error) => match error.rejection() {
            Some(rejection) => return idle(Outcome::Rejected(rejection)),
            None => return Err(error.into()),
        },
    };
    let uid = set.metadata.uid.as_deref();
    orphans::delete(&context.client, &context.watched, key, uid, &applied.ids).await?;
    let (progress, again) = replace(set, key, context, &applied.statefulset, &mut remembered.missing).await?;
    let again = again.into_iter().chain(applied.again).min();
    Ok((Outcome::Applied(Box::new(applied.statefulset), progress), again))
}

/// Asks the judge to let go who is to leave, and deletes who has left.
async fn replace(
    set: &StoreReplicaSet,
    key: &SetKey,
    context: &Context,
    statefulset: &StatefulSet,
    missing: &mut Missing,
) -> Result<(Progress, Option<Instant>), Error> {
    let Some(snapshot) = context.fleets.snapshot(key) else { return Ok((Progress::default(), None)) };
    let now = Timestamp::now();
    let fleet = Fleet::of(set, statefulset, &snapshot).missing_since(missing, now);
    missing.clone_from(&fleet.missing);
    let plan = replace::plan(&fleet, set.spec.rollout.progress_deadline.get(), now);
    context.fleets.intend(key, plan.intents);
    let done = replace::carry_out(&context.client, key, &plan.steps).await?;
    for Told { reason, note } in done.told {
        let about = set_reference(key, set.metadata.uid.as_deref().unwrap_or_default());
        context.fleets.tell(Announcement { about, warning: false, reason: reason.into(), note });
    }
    let again = if done.outdated { Some(FIRST_RETRY) } else { plan.again };
    Ok((plan.progress, again.map(|after| Instant::now() + after)))
}

/// What is wrong with objects that were accepted all the same.
fn troubles(ledger: &mut Ledger) -> Vec<Trouble> {
    let conflicts = ledger.contests.conflicts(Instant::now()).into_iter();
    let conflicts = conflicts.map(|conflict| Trouble("FieldConflict", conflict.to_string()));
    let growth = ledger.growth.refusal().map(|why| Trouble("VolumeNotExpandable", why.to_owned()));
    conflicts.chain(growth).collect()
}

/// Writes the status if it has news, or if tips have moved for long enough: `every` so often, in the reconciliation that
/// began at `start`.
async fn tell(
    set: &StoreReplicaSet,
    key: &SetKey,
    context: &Context,
    outcome: &Outcome,
    start: Instant,
    every: Duration,
    remembered: &mut Remembered,
) -> Result<(), status::StatusError> {
    let snapshot = context.fleets.snapshot(key);
    let troubles = troubles(&mut remembered.ledger);
    let written = remembered.status.as_ref();
    // The watch may not show yet what was written last.
    let before = written.map(|(_, status)| status).or(set.status.as_ref());
    let next = status::status(set, before, outcome, &troubles, snapshot.as_deref(), Timestamp::now());
    // A set that is not judged is new, or gone.
    if snapshot.is_some() {
        context.metrics.conditions(key, &next.conditions);
    }
    let fresh = remembered.moves_at(start, every).is_some();
    if before == Some(&next) || (fresh && !status::is_news(before, &next)) {
        return Ok(());
    }
    status::write(&context.client, key, set.metadata.uid.as_deref(), &next).await?;
    context.metrics.status_written();
    announce(set, key, context, before, &next);
    remembered.status = Some((start, next));
    Ok(())
}

/// Tells of what changed from one status to the next.
fn announce(
    set: &StoreReplicaSet,
    key: &SetKey,
    context: &Context,
    before: Option<&StoreReplicaSetStatus>,
    next: &StoreReplicaSetStatus,
) {
    for News { warning, reason, note } in news::news(before, next) {
        let about = set_reference(key, set.metadata.uid.as_deref().unwrap_or_default());
        context.fleets.tell(Announcement { about, warning, reason: reason.into(), note });
    }
}
