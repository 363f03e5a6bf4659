//! Keeps the lease: reads it, has it decided on, writes it, again and again.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, pin_mut};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{PostParams, WatchEvent, WatchParams},
    core::ObjectMeta,
};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::{
    candidate::{Candidate, Loss, Step},
    leadership::{Leadership, now},
    record::Record,
    terms::{Terms, WRITE_TIMEOUT},
};
use crate::{
    call::{CallError, within},
    metrics::Metrics,
    wait::uneven,
};

/// Instances wait at least this part of their turn, each another one, so that they do not ask in step.
const UNEVEN: f64 = 0.8;

/// Takes the lease when it is free and keeps it; dropping it lets it run out.
pub struct Keeper {
    leases: Api<Lease>,
    name: String,
    candidate: Candidate,
    leadership: Leadership,
    metrics: Arc<Metrics>,
    /// Told when the lease changed hands: looked at then, and at every retry anyway.
    changed: Arc<Notify>,
    /// Who led last, to tell people of changes only.
    told: Option<String>,
    _watch: AbortOnDropHandle<()>,
}

/// What came of one attempt.
enum Next {
    /// Look again in time.
    Later,
    /// Somebody else was faster: look again soon.
    Soon,
    /// Stop.
    Stop(Loss),
}

impl Keeper {
    /// A keeper of the lease `name` in `namespace`, which waits as `identity` until it is [kept](Self::keep). The client
    /// must not be a guarded one.
    pub fn new(
        client: Client,
        (namespace, name): (&str, &str),
        identity: &str,
        terms: Terms,
        leadership: Leadership,
        metrics: Arc<Metrics>,
    ) -> Self {
        let leases: Api<Lease> = Api::namespaced(client, namespace);
        let changed = Arc::new(Notify::new());
        let watch = watch(leases.clone(), name.to_owned(), terms.retry, Arc::clone(&changed));
        Self {
            leases,
            name: name.to_owned(),
            // A process that was started anew under the same name is another.
            candidate: Candidate::new(format!("{identity}_{:016x}", rand::random::<u64>()), terms),
            leadership,
            metrics,
            changed,
            told: None,
            _watch: AbortOnDropHandle::new(tokio::spawn(watch)),
        }
    }

    /// Waits for the lease, keeps it, and returns when it was lost: nothing may be written after that.
    pub async fn keep(&mut self) -> Loss {
        loop {
            let next = self.attempt_in_time().await;
            let next = match next {
                Ok(next) => next,
                Err(failure) => {
                    self.metrics.lease_attempted("error");
                    tracing::warn!(lease = %self.name, %failure, "could not look after the lease; tried again");
                    Next::Later
                }
            };
            let wait = match next {
                Next::Later => self.candidate.terms.retry,
                Next::Soon => self.candidate.terms.retry / 10,
                Next::Stop(loss) => {
                    self.end();
                    return loss;
                }
            };
            self.rest(wait).await;
        }
    }

    /// Lets the lease go, so that another takes it at once. Nothing may be under way any more.
    pub async fn release(mut self) {
        self.end();
        if self.candidate.until().is_none() {
            return;
        }
        match self.write_release().await {
            Ok(()) => tracing::info!(lease = %self.name, "released the lease"),
            Err(failure) => {
                tracing::warn!(lease = %self.name, %failure, "could not release the lease, which runs out by itself");
            }
        }
    }

    fn end(&self) {
        self.leadership.end();
        self.metrics.leads(false);
    }

    async fn write_release(&mut self) -> Result<(), CallError> {
        let found = within(WRITE_TIMEOUT, self.leases.get(&self.name)).await?;
        let record = Record::of(&found);
        if record.holder.as_deref() == Some(self.candidate.identity.as_str()) {
            let released = record.released(Timestamp::now());
            self.replace(WRITE_TIMEOUT, &released, found).await?;
        }
        Ok(())
    }

    /// One attempt, which ends when a leader has to give up.
    async fn attempt_in_time(&mut self) -> Result<Next, CallError> {
        let Some(gives_up_at) = self.candidate.gives_up_at() else { return self.attempt().await };
        let left = gives_up_at.since(now());
        let attempt = tokio::time::timeout(left, self.attempt()).await;
        match self.candidate.loss(now(), None) {
            Some(loss) => Ok(Next::Stop(loss)),
            None => attempt.unwrap_or(Err(CallError::Slow(left))),
        }
    }

    async fn attempt(&mut self) -> Result<Next, CallError> {
        let limit = self.call_limit();
        let found = within(limit, self.leases.get_opt(&self.name)).await?;
        let record = found.as_ref().map(Record::of);
        match self.candidate.decide(now(), Timestamp::now(), record.as_ref()) {
            Step::Stop(loss) => Ok(Next::Stop(loss)),
            Step::Wait(holder) => {
                self.metrics.lease_attempted("waits");
                self.tell(holder);
                Ok(Next::Later)
            }
            Step::Write(next) => self.write(limit, &next, found).await,
        }
    }

    async fn write(
        &mut self,
        limit: Duration,
        next: &Record,
        found: Option<Lease>,
    ) -> Result<Next, CallError> {
        let sent = now();
        let written = match found {
            Some(found) => self.replace(limit, next, found).await,
            None => self.create(limit, next).await,
        };
        match written {
            Ok(()) => {
                self.candidate.wrote(sent);
                self.candidate.until().into_iter().for_each(|until| self.leadership.extend(until));
                self.metrics.leads(self.leadership.is_leader());
                self.metrics.lease_attempted("held");
                self.tell(next.holder.clone());
                Ok(Next::Later)
            }
            Err(failure) if failure.code() == Some(409) => {
                self.metrics.lease_attempted("conflict");
                Ok(Next::Soon)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Replaces the lease as it was found; its resourceVersion refuses what others wrote since.
    async fn replace(&self, limit: Duration, record: &Record, mut found: Lease) -> Result<(), CallError> {
        record.write_to(&mut found);
        within(limit, self.leases.replace(&self.name, &PostParams::default(), &found)).await.map(drop)
    }

    async fn create(&self, limit: Duration, record: &Record) -> Result<(), CallError> {
        let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
        let mut lease = Lease { metadata, spec: None };
        record.write_to(&mut lease);
        within(limit, self.leases.create(&PostParams::default(), &lease)).await.map(drop)
    }

    /// Two calls fit before a leader has to give up.
    fn call_limit(&self) -> Duration {
        self.candidate.terms.renew_deadline / 2
    }

    async fn rest(&self, wait: Duration) {
        let wait = uneven(wait, UNEVEN);
        let left = self.candidate.gives_up_at().map_or(wait, |at| at.since(now()).min(wait));
        // Being told of a change or not, it is time to look.
        let _ = tokio::time::timeout(left, self.changed.notified()).await;
    }

    fn tell(&mut self, holder: Option<String>) {
        if self.told == holder {
            return;
        }
        match &holder {
            Some(holder) if *holder == self.candidate.identity => {
                tracing::info!(lease = %self.name, identity = %holder, "leads");
            }
            Some(holder) => tracing::info!(lease = %self.name, leader = %holder, "stands by"),
            None => tracing::info!(lease = %self.name, "the lease is gone; waits for it to run out"),
        }
        self.told = holder;
    }
}

/// Tells when the lease changes hands, so that nobody waits for a poll. What it misses a poll finds.
async fn watch(leases: Api<Lease>, name: String, retry: Duration, changed: Arc<Notify>) {
    let params = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut holder = None;
    loop {
        if let Ok(events) = leases.watch(&params, "0").await {
            pin_mut!(events);
            while let Some(Ok(event)) = events.next().await {
                let now = match event {
                    WatchEvent::Added(lease) | WatchEvent::Modified(lease) => Record::of(&lease).holder,
                    WatchEvent::Deleted(_) => None,
                    WatchEvent::Bookmark(_) => continue,
                    WatchEvent::Error(_) => break,
                };
                if now != holder {
                    changed.notify_one();
                }
                holder = now;
            }
        }
        tokio::time::sleep(uneven(retry, UNEVEN)).await;
    }
}
