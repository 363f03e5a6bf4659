//! What can be seen from outside, each thing with the moment it was seen.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream::BoxStream};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{core::v1::Pod, discovery::v1::EndpointSlice},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    runtime::watcher::{self, Event, watcher},
};
use serde::de::DeserializeOwned;
use tidemark_wire::v1::ReplicaState;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use crate::{rpc, scene};

/// The gate condition of a follower's pod.
const GATE: &str = "tidemark.dev/in-sync";
/// How long a watch that broke waits: so short that an API server that is back is watched at once.
const MENDED_AFTER: Duration = Duration::from_millis(100);

/// Values with the moments they were seen at, oldest first.
#[derive(Clone, Debug)]
pub struct Timeline<T>(Arc<Mutex<Vec<(Instant, T)>>>);

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone> Timeline<T> {
    /// Notes a value seen now.
    pub fn note(&self, value: T) {
        self.lock().push((Instant::now(), value));
    }

    /// Everything seen so far.
    #[must_use]
    pub fn all(&self) -> Vec<(Instant, T)> {
        self.lock().clone()
    }

    /// What was seen last.
    #[must_use]
    pub fn last(&self) -> Option<T> {
        self.lock().last().map(|(_, value)| value.clone())
    }

    /// When something was first seen, from `start` on, for which `is` holds.
    #[must_use]
    pub fn first_since(&self, start: Instant, is: impl Fn(&T) -> bool) -> Option<Instant> {
        let seen = self.lock();
        seen.iter().find(|(at, value)| *at >= start && is(value)).map(|(at, _)| *at)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, T)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A timeline that a task adds to until this value is dropped.
pub struct Observer<T> {
    /// What it saw.
    pub seen: Timeline<T>,
    task: JoinHandle<()>,
}

impl<T> Drop for Observer<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<T: Clone + Send + 'static> Observer<T> {
    fn start<F: Future<Output = ()> + Send + 'static>(task: impl FnOnce(Timeline<T>) -> F) -> Self {
        let seen = Timeline::default();
        let task = tokio::spawn(task(seen.clone()));
        Self { seen, task }
    }
}

/// Asks a store for its published tip again and again over one connection; silence is not noted.
#[must_use]
pub fn tips(address: &str, every: Duration) -> Observer<u32> {
    answers(address, every, rpc::published_tip)
}

/// Asks a store for its state again and again over one connection; silence is not noted.
#[must_use]
pub fn states(address: &str, every: Duration) -> Observer<ReplicaState> {
    answers(address, every, async |channel| rpc::tips(channel).await.map(|tips| tips.state()))
}

fn answers<T, F>(address: &str, every: Duration, ask: impl Fn(Channel) -> F + Send + 'static) -> Observer<T>
where
    T: Clone + Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send,
{
    let address = address.to_owned();
    Observer::start(async move |seen| {
        loop {
            if let Ok(channel) = rpc::connect(&address).await {
                while let Ok(answer) = ask(channel.clone()).await {
                    seen.note(answer);
                    tokio::time::sleep(every).await;
                }
            }
            tokio::time::sleep(every).await;
        }
    })
}

/// One read through a Service, on a connection of its own.
#[derive(Clone, Debug)]
pub struct Read {
    /// When it was asked.
    pub asked: Instant,
    /// The primary's tip that was known by then.
    pub truth: u32,
    /// The tip that was answered, or why there was no answer.
    pub answer: Result<u32, String>,
}

impl Read {
    /// How many blocks the answer was behind what was known when it was asked.
    #[must_use]
    pub fn lag(&self) -> Option<u32> {
        self.answer.as_ref().ok().map(|tip| self.truth.saturating_sub(*tip))
    }
}

/// Reads through `address` on a new connection `every` so often, beside the truth as it is known.
#[must_use]
pub fn reads(address: &str, every: Duration, truth: &Timeline<u32>) -> Observer<Read> {
    let (address, truth) = (address.to_owned(), truth.clone());
    Observer::start(async move |seen| {
        let mut beat = tokio::time::interval(every);
        loop {
            beat.tick().await;
            let (address, truth, seen) = (address.clone(), truth.last().unwrap_or(0), seen.clone());
            tokio::spawn(async move {
                let asked = Instant::now();
                let answer = read(&address).await.map_err(|error| format!("{error:#}"));
                seen.note(Read { asked, truth, answer });
            });
        }
    })
}

async fn read(address: &str) -> anyhow::Result<u32> {
    rpc::status_tip(rpc::connect(address).await?).await
}

/// What a pod's status says of its freshness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The gate condition: None while it is absent.
    pub open: Option<bool>,
    /// Kubelet's own Ready condition.
    pub ready: bool,
    /// The container that the gate's message says it is about.
    pub container: Option<String>,
}

impl Gate {
    fn of(pod: &Pod) -> Self {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        let gate = conditions.into_iter().flatten().find(|condition| condition.type_ == GATE);
        let message = gate.and_then(|gate| gate.message.as_deref()).unwrap_or_default();
        let fields = message.trim_end_matches(']').split_ascii_whitespace();
        Self {
            open: scene::condition(pod, GATE),
            ready: scene::condition(pod, "Ready") == Some(true),
            container: fields
                .filter_map(|field| field.strip_prefix("container="))
                .next_back()
                .map(str::to_owned),
        }
    }
}

/// Watches a pod's gate and readiness.
#[must_use]
pub fn gate(client: &Client, namespace: &str, pod: &str) -> Observer<Gate> {
    let config = watcher::Config::default().fields(&format!("metadata.name={pod}"));
    let pods = watched::<Pod>(client, namespace, config);
    Observer::start(async move |seen| {
        pods.for_each(async |pod| note_gate(pod, |_, gate| seen.note(gate))).await;
    })
}

/// Watches the gates and the readiness of every pod of a fleet, by name.
#[must_use]
pub fn gates(client: &Client, namespace: &str, fleet: &str) -> Observer<(String, Gate)> {
    let config = watcher::Config::default().labels(&format!("app.kubernetes.io/instance={fleet}"));
    let pods = watched::<Pod>(client, namespace, config);
    Observer::start(async move |seen| {
        pods.for_each(async |pod| note_gate(pod, |name, gate| seen.note((name, gate)))).await;
    })
}

fn note_gate(event: Event<Pod>, note: impl FnOnce(String, Gate)) {
    if let Event::Apply(pod) | Event::InitApply(pod) = event {
        note(pod.name_any(), Gate::of(&pod));
    }
}

/// The pods that are ready in at least one slice of a Service.
pub type ReadyPods = Vec<String>;

/// Watches every EndpointSlice of a Service and notes which pods are ready in any of them.
#[must_use]
pub fn endpoints(client: &Client, namespace: &str, service: &str) -> Observer<ReadyPods> {
    let config = watcher::Config::default().labels(&format!("kubernetes.io/service-name={service}"));
    let mut slices = watched::<EndpointSlice>(client, namespace, config);
    Observer::start(async move |seen| {
        let mut ready = BTreeMap::new();
        while let Some(event) = slices.next().await {
            match event {
                // A watch that begins anew shows everything there is, which is noted as one.
                Event::Init => {
                    ready.clear();
                    continue;
                }
                Event::InitApply(slice) => {
                    ready.insert(slice.name_any(), ready_in(&slice));
                    continue;
                }
                Event::Apply(slice) => {
                    ready.insert(slice.name_any(), ready_in(&slice));
                }
                Event::Delete(slice) => {
                    ready.remove(&slice.name_any());
                }
                Event::InitDone => {}
            }
            seen.note(ready.values().flatten().cloned().collect());
        }
    })
}

/// What a watch shows, without end: it mends itself, soon after whatever broke it.
fn watched<K>(client: &Client, namespace: &str, config: watcher::Config) -> BoxStream<'static, Event<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let objects: Api<K> = Api::namespaced(client.clone(), namespace);
    let mended = watcher(objects, config).filter_map(async |event| {
        if event.is_err() {
            tokio::time::sleep(MENDED_AFTER).await;
        }
        event.ok()
    });
    mended.boxed()
}

fn ready_in(slice: &EndpointSlice) -> ReadyPods {
    let is_ready = |e: &&k8s_openapi::api::discovery::v1::Endpoint| {
        // An unset condition counts as ready, as the API says.
        e.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    };
    let name = |e: &k8s_openapi::api::discovery::v1::Endpoint| {
        e.target_ref.as_ref().and_then(|pod| pod.name.clone())
    };
    slice.endpoints.iter().filter(is_ready).filter_map(name).collect()
}
