//! Writes down, from outside, how many endpoints there were and which pods were deleted in which order.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt as _,
    runtime::watcher::{Config, Event, watcher},
};
use tidemark_e2e::scene::condition;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::caught_up::{Versions, caught_up, note};

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// The fewest endpoints at any time: pods that are Ready and not being deleted.
    pub(crate) fewest: usize,
    /// The names of the pods that went, in order.
    pub(crate) deleted: Vec<String>,
    /// Pods that were Ready when they were deleted.
    pub(crate) ready_when_deleted: Vec<String>,
}

#[derive(Default)]
struct Seen {
    record: Record,
    ready: BTreeMap<String, bool>,
    versions: Versions,
}

/// A running recorder; dropping it ends it.
pub(crate) struct Recorder {
    pods: Api<Pod>,
    seen: Arc<Mutex<Seen>>,
    watching: JoinHandle<()>,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Recorder {
    /// Starts once all pods that exist are known.
    pub(crate) async fn start(client: Client, namespace: &str) -> Self {
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        let seen = Arc::new(Mutex::new(Seen::default()));
        seen.lock().unwrap().record.fewest = usize::MAX;
        let (begun, known) = oneshot::channel();
        let watching = tokio::spawn(run(pods.clone(), Arc::clone(&seen), begun));
        known.await.unwrap();
        Self { pods, seen, watching }
    }

    /// What has happened by now.
    pub(crate) async fn record(&self) -> Record {
        caught_up(&self.pods, || self.seen.lock().unwrap().versions.clone()).await;
        self.seen.lock().unwrap().record.clone()
    }
}

async fn run(pods: Api<Pod>, seen: Arc<Mutex<Seen>>, begun: oneshot::Sender<()>) {
    let mut events = watcher(pods, Config::default()).boxed();
    let mut begun = Some(begun);
    while let Some(event) = events.next().await {
        let mut seen = seen.lock().unwrap();
        match event {
            Ok(Event::InitApply(pod) | Event::Apply(pod)) => seen.there(&pod),
            Ok(Event::Delete(pod)) => seen.gone(&pod),
            Ok(Event::InitDone) => drop(begun.take().map(|begun| begun.send(()))),
            Ok(Event::Init) | Err(_) => {}
        }
        if begun.is_none() {
            let endpoints = seen.ready.values().filter(|ready| **ready).count();
            seen.record.fewest = seen.record.fewest.min(endpoints);
        }
    }
}

impl Seen {
    fn there(&mut self, pod: &Pod) {
        note(&mut self.versions, pod);
        self.ready.insert(pod.name_any(), is_ready(pod));
    }

    fn gone(&mut self, pod: &Pod) {
        self.versions.remove(&pod.uid().unwrap());
        self.ready.remove(&pod.name_any());
        self.record.deleted.push(pod.name_any());
        if is_ready(pod) {
            self.record.ready_when_deleted.push(pod.name_any());
        }
    }
}

fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready") == Some(true)
}
