//! One who watches the pods beside the operator and writes down every move of every gate.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{Config, Event, watcher},
    },
};
use tidemark_e2e::scene::condition;
use tidemark_operator::names::GATE;
use tokio::task::JoinHandle;

use crate::caught_up::{Versions, caught_up, note};

/// A pod and what its gate became; a gate that is not there is closed.
pub(crate) type Move = (String, bool);

#[derive(Default)]
struct Seen {
    /// By UID; None for a gate that is not there.
    gates: BTreeMap<String, Option<bool>>,
    moves: Vec<Move>,
    versions: Versions,
}

/// A running witness; dropping it ends it.
pub(crate) struct Witness {
    pods: Api<Pod>,
    seen: Arc<Mutex<Seen>>,
    watching: JoinHandle<()>,
}

impl Witness {
    /// Starts once all pods that exist are known.
    pub(crate) async fn start(client: Client, namespace: &str) -> Self {
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let watching = tokio::spawn(watch(pods.clone(), Arc::clone(&seen)));
        let witness = Self { pods, seen, watching };
        witness.catch_up().await;
        witness
    }

    async fn catch_up(&self) {
        caught_up(&self.pods, || self.seen.lock().unwrap().versions.clone()).await;
    }

    /// All moves so far, in their order. That a pod was found with its gate closed is none.
    pub(crate) async fn moves(&self) -> Vec<Move> {
        self.catch_up().await;
        self.seen.lock().unwrap().moves.clone()
    }

    /// The moves of one pod.
    pub(crate) async fn moves_of(&self, pod: &str) -> Vec<bool> {
        self.moves().await.into_iter().filter(|(moved, _)| moved == pod).map(|(_, open)| open).collect()
    }

    /// How many gates are open.
    pub(crate) fn open(&self) -> usize {
        self.seen.lock().unwrap().gates.values().filter(|gate| **gate == Some(true)).count()
    }

    /// How many pods have a gate.
    pub(crate) fn gated(&self) -> usize {
        self.seen.lock().unwrap().gates.values().flatten().count()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

async fn watch(pods: Api<Pod>, seen: Arc<Mutex<Seen>>) {
    let mut events = watcher(pods, Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(pod) | Event::InitApply(pod)) => seen.lock().unwrap().note(&pod),
            Ok(Event::Delete(pod)) => seen.lock().unwrap().forget(&pod),
            Ok(Event::Init | Event::InitDone) | Err(_) => {}
        }
    }
}

impl Seen {
    fn note(&mut self, pod: &Pod) {
        note(&mut self.versions, pod);
        let gate = condition(pod, GATE);
        let before = self.gates.insert(pod.uid().unwrap(), gate).flatten();
        if before.unwrap_or(false) != gate.unwrap_or(false) {
            self.moves.push((pod.name_any(), gate.unwrap_or(false)));
        }
    }

    fn forget(&mut self, pod: &Pod) {
        let uid = pod.uid().unwrap();
        self.gates.remove(&uid);
        self.versions.remove(&uid);
    }
}
