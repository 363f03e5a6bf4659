//! The reconcile path: observe, validate, build, apply, status. Driven by objects, in seconds.
//!
//! Must not judge freshness, nor write a pod. What it says about followers it reads from the freshness path.

mod apply;
mod build;
mod conditions;
mod observe;
mod status;
mod validate;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kube::{Client, runtime::controller::Action};
use tokio::time::Instant;

pub use observe::Watched;
pub use validate::{Rules, primary_refusal};

use self::{apply::Sent, conditions::Outcome};
use crate::{
    api::{StoreReplicaSet, StoreReplicaSetStatus},
    freshness::{Announcement, Fleets, set_reference},
    metrics::Metrics,
    names::SetKey,
};

/// The longest one call of the API server may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
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

/// What is remembered of all sets. Losing it costs some needless calls.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<SetKey, Remembered>>);

#[derive(Clone, Debug, Default)]
struct Remembered {
    /// Whose: another set of the same name starts with nothing.
    uid: Option<String>,
    sent: Sent,
    status: Option<(Instant, StoreReplicaSetStatus)>,
    failures: u32,
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
    let result = make(&set, &key, &context, &mut remembered.sent).await;
    let outcome = match &result {
        Ok(outcome) => outcome,
        Err(error) => &Outcome::Failed(error.to_string()),
    };
    let told = tell(&set, &key, &context, outcome, &mut remembered).await;
    let failed = result.as_ref().err().is_some() || told.is_err();
    remembered.failures = if failed { remembered.failures.saturating_add(1) } else { 0 };
    context.memory.put(key, remembered);
    context.metrics.reconciled(if failed { "error" } else { "ok" }, start.elapsed());
    result?;
    told?;
    Ok(Action::requeue(status::REFRESH))
}

/// How long to wait after an error.
pub fn retry(set: Arc<StoreReplicaSet>, error: &Error, context: Arc<Context>) -> Action {
    let key = SetKey::of(&set);
    let failures = context.memory.failures(&key).saturating_sub(1);
    let wait = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(failures)).min(LAST_RETRY);
    tracing::warn!(set = %key, %error, retry_in = ?wait, "could not reconcile");
    Action::requeue(wait)
}

/// Observes, validates, builds and applies.
async fn make(
    set: &StoreReplicaSet,
    key: &SetKey,
    context: &Context,
    sent: &mut Sent,
) -> Result<Outcome, Error> {
    let observed = observe::observe(&context.client, &context.watched, key).await?;
    let objects = match validate::validate(set, &observed, context.rules) {
        Ok(valid) => build::build(&valid),
        Err(rejection) => return Ok(Outcome::Rejected(rejection)),
    };
    match apply::apply(&context.client, observed, objects, sent).await {
        Ok(applied) => Ok(Outcome::Applied(Box::new(applied.statefulset))),
        Err(error) => match error.rejection() {
            Some(rejection) => Ok(Outcome::Rejected(rejection)),
            None => Err(error.into()),
        },
    }
}

/// Writes the status if it has news, or if tips have moved for long enough.
async fn tell(
    set: &StoreReplicaSet,
    key: &SetKey,
    context: &Context,
    outcome: &Outcome,
    remembered: &mut Remembered,
) -> Result<(), status::StatusError> {
    let snapshot = context.fleets.snapshot(key);
    let written = remembered.status.as_ref();
    // The watch may not show yet what was written last.
    let before = written.map(|(_, status)| status).or(set.status.as_ref());
    let next = status::status(set, before, outcome, snapshot.as_deref(), Timestamp::now());
    let fresh = written.is_some_and(|(at, _)| at.elapsed() < status::REFRESH);
    if before == Some(&next) || (fresh && !status::is_news(before, &next)) {
        return Ok(());
    }
    status::write(&context.client, key, &next).await?;
    context.metrics.status_written();
    announce(set, key, context, before, &next);
    remembered.status = Some((Instant::now(), next));
    Ok(())
}

/// Tells of a set that is newly refused or newly accepted.
fn announce(
    set: &StoreReplicaSet,
    key: &SetKey,
    context: &Context,
    before: Option<&StoreReplicaSetStatus>,
    next: &StoreReplicaSetStatus,
) {
    let accepted = |status: &StoreReplicaSetStatus| {
        let condition = status.conditions.iter().find(|condition| condition.type_ == "Accepted");
        condition.map(|condition| (condition.status == "False", condition.message.clone()))
    };
    let (Some((refused, note)), was) = (accepted(next), before.and_then(accepted)) else { return };
    if was.is_some_and(|(was, _)| was) != refused {
        let about = set_reference(key, set.metadata.uid.as_deref().unwrap_or_default());
        let reason = if refused { "Refused" } else { "Accepted" };
        context.fleets.tell(Announcement { about, warning: refused, reason, note });
    }
}

impl Memory {
    fn take(&self, key: &SetKey, uid: Option<&str>) -> Remembered {
        let known = self.lock().get(key).filter(|known| known.uid.as_deref() == uid).cloned();
        known.unwrap_or_else(|| Remembered { uid: uid.map(str::to_owned), ..Remembered::default() })
    }

    fn put(&self, key: SetKey, remembered: Remembered) {
        self.lock().insert(key, remembered);
    }

    fn failures(&self, key: &SetKey) -> u32 {
        self.lock().get(key).map_or(0, |remembered| remembered.failures)
    }

    /// Forgets a set.
    pub fn forget(&self, key: &SetKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SetKey, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Memory, SetKey};

    #[test]
    fn a_set_of_an_earlier_ones_name_is_taken_for_none_that_was_before() {
        let (memory, key) = (Memory::default(), SetKey { namespace: "n".to_owned(), name: "a".to_owned() });
        let mut earlier = memory.take(&key, Some("earlier"));
        earlier.failures = 7;
        memory.put(key.clone(), earlier);
        assert_eq!(memory.take(&key, Some("earlier")).failures, 7);
        assert_eq!(memory.take(&key, Some("later")).failures, 0);
    }
}
