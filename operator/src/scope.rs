//! One namespace, or all of them: its watches, its fleets and its reconciler, wired together.
//!
//! Decides nothing; every rule lives in the modules it connects.

use std::{convert::Infallible, fmt::Debug, hash::Hash, sync::Arc};

use futures::{Stream, StreamExt as _, pin_mut, stream};
use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    runtime::{
        Config as ReconcilerConfig, WatchStreamExt as _, applier,
        reflector::{ObjectRef, Store, store, store::Writer},
        watcher::{self, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    api::StoreReplicaSet,
    freshness::{Fleets, Shared, watch_claims, watch_pods},
    metrics::Metrics,
    names::{MANAGED_BY_SELECTOR, SetKey},
    options::Options,
    patience::patience,
    queue::Queue,
    reconcile::{Context, Memory, Watched, compact, reconcile, retry},
    sets::Sets,
};

/// How many objects are read at once: decoded they weigh several times what is kept of them, a pod tens of KiB for a few
/// hundred bytes.
pub(crate) const PAGE: u32 = 50;

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
        let queue = Arc::new(Queue::default());
        let fleets = Fleets::new(self.client.clone(), Arc::clone(&self.shared), Arc::clone(&queue));
        let _stop = StopOnDrop(Arc::clone(&fleets));
        let _roster = self.watch_roster(&fleets).await;
        let (watched, _owned) = self.watch_owned(&queue);
        let context = self.context(watched.clone(), &fleets);
        let (sets, writer) = store();
        let _sets = self.watch_sets(writer, Arc::clone(&context), Arc::clone(&queue));
        all_known(&watched).await;
        if sets.wait_until_ready().await.is_ok() {
            synced.send_replace(true);
        }
        self.shared.leadership().elected().await;
        // What changed while another led was that one's to do, or was left by it.
        sets.state().iter().for_each(|set| queue.push(SetKey::of(set)));
        self.reconcile(sets, queue, context).await;
    }

    /// Starts the watches of pods and claims and waits until they know everything, so that no fleet is judged before
    /// all its pods are known.
    async fn watch_roster(&self, fleets: &Arc<Fleets>) -> [AbortOnDropHandle<()>; 2] {
        let (pods, mut pods_synced) = watch::channel(false);
        let (claims, mut claims_synced) = watch::channel(false);
        let pods = watch_pods(self.api(), Arc::clone(fleets), pods);
        let claims = watch_claims(self.api(), Arc::clone(fleets), claims);
        let tasks = [spawn(pods), spawn(claims)];
        // An error means that the watch ended, which it does only with this scope.
        let _ = pods_synced.wait_for(|synced| *synced).await;
        let _ = claims_synced.wait_for(|synced| *synced).await;
        tasks
    }

    /// Starts the watches of what the reconciler makes. Judging does not wait for them.
    fn watch_owned(&self, queue: &Arc<Queue>) -> (Watched, [AbortOnDropHandle<()>; 5]) {
        let (accounts, accounts_task) = self.watch_kind(queue);
        let (services, services_task) = self.watch_kind(queue);
        let (budgets, budgets_task) = self.watch_kind(queue);
        let (policies, policies_task) = self.watch_kind(queue);
        let (statefulsets, statefulsets_task) = self.watch_kind(queue);
        let watched = Watched { accounts, services, budgets, policies, statefulsets };
        (watched, [accounts_task, services_task, budgets_task, policies_task, statefulsets_task])
    }

    fn watch_kind<K>(&self, queue: &Arc<Queue>) -> (Store<K>, AbortOnDropHandle<()>)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Send + Sync,
        K: DeserializeOwned + 'static,
    {
        let (known, writer) = store();
        (known, spawn(watch_objects(self.api(), writer, Arc::clone(queue))))
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
            rules: self.options.rules(),
            metrics: Arc::clone(&self.metrics),
            memory: Memory::default(),
        })
    }

    fn watch_sets(
        &self,
        writer: Writer<StoreReplicaSet>,
        context: Arc<Context>,
        queue: Arc<Queue>,
    ) -> AbortOnDropHandle<()> {
        spawn(Sets::new(writer, context, queue).watch(self.api()))
    }

    async fn reconcile(&self, sets: Store<StoreReplicaSet>, queue: Arc<Queue>, context: Arc<Context>) {
        let config = ReconcilerConfig::default().concurrency(self.options.concurrency);
        let reconciler = |set, context| Box::pin(reconcile(set, context));
        let done = applier(reconciler, retry, context, sets, references(queue), config);
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
    queue: Arc<Queue>,
) -> impl Stream<Item = Result<ObjectRef<StoreReplicaSet>, Infallible>> + Send + 'static {
    stream::unfold(queue, async |queue| {
        let SetKey { namespace, name } = queue.pop().await;
        Some((Ok(ObjectRef::new(&name).within(&namespace)), queue))
    })
}

/// Waits until the watches show all there is; a store without its watch ends with the scope.
async fn all_known(watched: &Watched) {
    let _ = watched.accounts.wait_until_ready().await;
    let _ = watched.services.wait_until_ready().await;
    let _ = watched.budgets.wait_until_ready().await;
    let _ = watched.policies.wait_until_ready().await;
    let _ = watched.statefulsets.wait_until_ready().await;
}

/// Keeps what exists of a kind, and has the set an object belongs to reconciled when it changes.
async fn watch_objects<K>(api: Api<K>, writer: Writer<K>, queue: Arc<Queue>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + DeserializeOwned + 'static,
    K::DynamicType: Eq + Hash,
{
    let config = watcher::Config::default().labels(MANAGED_BY_SELECTOR).page_size(PAGE);
    let events = watcher(api, config);
    let touched = events.backoff(patience()).modify(compact).reflect(writer).touched_objects();
    pin_mut!(touched);
    while let Some(object) = touched.next().await {
        match object {
            Ok(object) => {
                if let Some(key) = owner(&object) {
                    queue.push(key);
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
