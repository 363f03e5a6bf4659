//! One namespace, or all of them: its watches, its fleets and its reconciler, wired together.
//!
//! Decides nothing; every rule lives in the modules it connects.

use std::{collections::BTreeSet, convert::Infallible, fmt::Debug, hash::Hash, sync::Arc};

use futures::{Stream, StreamExt as _, pin_mut, stream};
use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    runtime::{
        Config as ReconcilerConfig, WatchStreamExt as _, applier,
        reflector::{ObjectRef, Store, store, store::Writer},
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    api::StoreReplicaSet,
    freshness::{FleetSpec, Fleets, Shared, watch_claims, watch_pods},
    metrics::Metrics,
    names::{MANAGED_BY_SELECTOR, SetKey},
    options::Options,
    reconcile::{Context, Memory, Rules, Watched, reconcile, retry},
};

/// Requests to reconcile that may wait; a full queue makes the watches wait.
const QUEUE: usize = 1_024;

/// What a scope is made from.
pub(crate) struct Scope {
    pub(crate) client: Client,
    /// None: all namespaces.
    pub(crate) namespace: Option<String>,
    pub(crate) options: Options,
    pub(crate) shared: Arc<Shared>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Scope {
    /// Serves the scope until the future is dropped. `synced` becomes true once everything that exists is known.
    pub(crate) async fn run(self, synced: watch::Sender<bool>) {
        let (queue, requests) = mpsc::channel(QUEUE);
        let fleets = Fleets::new(self.client.clone(), Arc::clone(&self.shared), queue.clone());
        let _stop = StopOnDrop(Arc::clone(&fleets));
        let _roster = self.watch_roster(&fleets).await;
        let (watched, _owned) = self.watch_owned(&queue).await;
        let context = self.context(watched, &fleets);
        let (sets, writer) = store();
        let _sets = self.watch_sets(writer, Arc::clone(&context), queue);
        if sets.wait_until_ready().await.is_ok() {
            synced.send_replace(true);
        }
        self.reconcile(sets, requests, context).await;
    }

    /// Starts the watches of pods and claims and waits until they know everything, so that no fleet is judged before
    /// all its pods are known.
    async fn watch_roster(&self, fleets: &Arc<Fleets>) -> [AbortOnDropHandle<()>; 2] {
        let (pods, mut pods_synced) = watch::channel(false);
        let (claims, mut claims_synced) = watch::channel(false);
        let pods = watch_pods(self.api(), self.namespace.clone(), Arc::clone(fleets), pods);
        let claims = watch_claims(self.api(), Arc::clone(fleets), claims);
        let tasks = [spawn(pods), spawn(claims)];
        // An error means that the watch ended, which it does only with this scope.
        let _ = pods_synced.wait_for(|synced| *synced).await;
        let _ = claims_synced.wait_for(|synced| *synced).await;
        tasks
    }

    /// Starts the watches of what the reconciler makes and waits until they know everything.
    async fn watch_owned(&self, queue: &mpsc::Sender<SetKey>) -> (Watched, [AbortOnDropHandle<()>; 4]) {
        let (accounts, accounts_task) = self.watch_kind(queue);
        let (services, services_task) = self.watch_kind(queue);
        let (budgets, budgets_task) = self.watch_kind(queue);
        let (statefulsets, statefulsets_task) = self.watch_kind(queue);
        let watched = Watched { accounts, services, budgets, statefulsets };
        let _ = watched.accounts.wait_until_ready().await;
        let _ = watched.services.wait_until_ready().await;
        let _ = watched.budgets.wait_until_ready().await;
        let _ = watched.statefulsets.wait_until_ready().await;
        (watched, [accounts_task, services_task, budgets_task, statefulsets_task])
    }

    fn watch_kind<K>(&self, queue: &mpsc::Sender<SetKey>) -> (Store<K>, AbortOnDropHandle<()>)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Send + Sync,
        K: DeserializeOwned + 'static,
    {
        let (known, writer) = store();
        (known, spawn(watch_objects(self.api(), writer, queue.clone())))
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn context(&self, watched: Watched, fleets: &Arc<Fleets>) -> Arc<Context> {
        Arc::new(Context {
            client: self.client.clone(),
            watched,
            fleets: Arc::clone(fleets),
            rules: Rules { allow_loopback: self.options.allow_loopback_primaries },
            metrics: Arc::clone(&self.metrics),
            memory: Memory::default(),
        })
    }

    fn watch_sets(
        &self,
        writer: Writer<StoreReplicaSet>,
        context: Arc<Context>,
        queue: mpsc::Sender<SetKey>,
    ) -> AbortOnDropHandle<()> {
        let sets = Sets { writer, context, queue, listed: BTreeSet::new() };
        spawn(sets.watch(self.api()))
    }

    async fn reconcile(
        &self,
        sets: Store<StoreReplicaSet>,
        requests: mpsc::Receiver<SetKey>,
        context: Arc<Context>,
    ) {
        let config = ReconcilerConfig::default().concurrency(self.options.concurrency);
        let reconciler = |set, context| Box::pin(reconcile(set, context));
        let done = applier(reconciler, retry, context, sets, references(requests), config);
        // Errors were told by the retry policy; a set that is gone by now needs nothing.
        done.for_each(|_| std::future::ready(())).await;
    }
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

struct StopOnDrop(Arc<Fleets>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn references(
    requests: mpsc::Receiver<SetKey>,
) -> impl Stream<Item = Result<ObjectRef<StoreReplicaSet>, Infallible>> + Send + 'static {
    stream::unfold(requests, async |mut requests| {
        let SetKey { namespace, name } = requests.recv().await?;
        Some((Ok(ObjectRef::new(&name).within(&namespace)), requests))
    })
}

/// Keeps what exists of a kind, and has the set an object belongs to reconciled when it changes.
async fn watch_objects<K>(api: Api<K>, writer: Writer<K>, queue: mpsc::Sender<SetKey>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + DeserializeOwned + 'static,
    K::DynamicType: Eq + Hash,
{
    let events = watcher(api, watcher::Config::default().labels(MANAGED_BY_SELECTOR));
    let touched = events.default_backoff().reflect(writer).touched_objects();
    pin_mut!(touched);
    while let Some(object) = touched.next().await {
        match object {
            Ok(object) => {
                if let Some(key) = owner(&object)
                    && queue.send(key).await.is_err()
                {
                    return;
                }
            }
            Err(error) => {
                let kind = K::kind(&());
                tracing::warn!(%kind, %error, "a watch was interrupted and is taken up again");
            }
        }
    }
}

fn owner<K: Resource>(object: &K) -> Option<SetKey> {
    let mut owners = object.owner_references().iter();
    let owner = owners
        .find(|owner| owner.kind == "StoreReplicaSet" && owner.api_version.starts_with("tidemark.dev/"))?;
    Some(SetKey { namespace: object.namespace().unwrap_or_default(), name: owner.name.clone() })
}

/// Takes in the sets: into the store, to the fleets, and into the queue.
struct Sets {
    writer: Writer<StoreReplicaSet>,
    context: Arc<Context>,
    queue: mpsc::Sender<SetKey>,
    listed: BTreeSet<SetKey>,
}

impl Sets {
    async fn watch(mut self, api: Api<StoreReplicaSet>) {
        let events = watcher(api, watcher::Config::default()).default_backoff();
        pin_mut!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    self.writer.apply_watcher_event(&event);
                    self.take(event).await;
                }
                Err(error) => tracing::warn!(
                    %error,
                    "the watch of StoreReplicaSets was interrupted and is taken up again; is the CRD installed?"
                ),
            }
        }
    }

    async fn take(&mut self, event: Event<StoreReplicaSet>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(set) => {
                self.seen(&set);
                self.listed.insert(SetKey::of(&set));
            }
            Event::InitDone => self.synced().await,
            Event::Apply(set) => {
                self.seen(&set);
                self.request(SetKey::of(&set)).await;
            }
            Event::Delete(set) => self.gone(&SetKey::of(&set)),
        }
    }

    fn seen(&self, set: &StoreReplicaSet) {
        let spec = FleetSpec::of(set, self.context.rules.allow_loopback);
        self.context.fleets.set_seen(&SetKey::of(set), spec);
    }

    async fn synced(&mut self) {
        for key in self.context.fleets.sets() {
            if !self.listed.contains(&key) {
                self.gone(&key);
            }
        }
        for key in std::mem::take(&mut self.listed) {
            self.request(key).await;
        }
    }

    fn gone(&self, key: &SetKey) {
        self.context.fleets.set_gone(key);
        self.context.memory.forget(key);
    }

    async fn request(&self, key: SetKey) {
        // The reconciler ends only with this scope, and this task with it.
        let _ = self.queue.send(key).await;
    }
}
