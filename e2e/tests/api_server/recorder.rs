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

/// A running recorder; dropping it ends it.
pub(crate) struct Recorder(JoinHandle<()>, Arc<Mutex<Record>>);

impl Drop for Recorder {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Recorder {
    /// Starts once all pods that exist are known.
    pub(crate) async fn start(client: Client, namespace: &str) -> Self {
        let record = Arc::new(Mutex::new(Record { fewest: usize::MAX, ..Record::default() }));
        let (begun, known) = oneshot::channel();
        let running = tokio::spawn(run(Api::namespaced(client, namespace), Arc::clone(&record), begun));
        known.await.unwrap();
        Self(running, record)
    }

    pub(crate) fn record(&self) -> Record {
        self.1.lock().unwrap().clone()
    }
}

async fn run(pods: Api<Pod>, record: Arc<Mutex<Record>>, begun: oneshot::Sender<()>) {
    let mut events = watcher(pods, Config::default()).boxed();
    let mut ready: BTreeMap<String, bool> = BTreeMap::new();
    let mut begun = Some(begun);
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::InitApply(pod) | Event::Apply(pod)) => {
                ready.insert(pod.name_any(), is_ready(&pod));
            }
            Ok(Event::Delete(pod)) => {
                ready.remove(&pod.name_any());
                let mut record = record.lock().unwrap();
                record.deleted.push(pod.name_any());
                if is_ready(&pod) {
                    record.ready_when_deleted.push(pod.name_any());
                }
            }
            Ok(Event::InitDone) => drop(begun.take().map(|begun| begun.send(()))),
            Ok(Event::Init) | Err(_) => {}
        }
        if begun.is_none() {
            let mut record = record.lock().unwrap();
            record.fewest = record.fewest.min(ready.values().filter(|ready| **ready).count());
        }
    }
}

fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready") == Some(true)
}
