//! What of all kubelets matters here: a running pod is Ready while its gate is True.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::{
        WatchStreamExt as _,
        watcher::{Config, watcher},
    },
};
use serde_json::json;
use tokio::task::JoinHandle;

const GATE: &str = "tidemark.dev/in-sync";
const CONCURRENT: usize = 16;

/// Running kubelets; dropping them ends them.
pub(super) struct Kubelets {
    task: JoinHandle<()>,
    ready: Arc<Ready>,
}

/// The pods that were made Ready, by namespace and name. One may be made so twice, by two sights of it.
type Ready = Mutex<BTreeSet<(String, String)>>;

impl Kubelets {
    pub(super) fn start(client: Client) -> Self {
        let ready = Arc::<Ready>::default();
        let task = tokio::spawn(run(client, Arc::clone(&ready)));
        Self { task, ready }
    }

    /// How many pods are Ready.
    pub(super) fn ready(&self) -> usize {
        lock(&self.ready).len()
    }
}

impl Drop for Kubelets {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(ready: &Ready) -> MutexGuard<'_, BTreeSet<(String, String)>> {
    ready.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(client: Client, ready: Arc<Ready>) {
    let all: Api<Pod> = Api::all(client.clone());
    let seen = watcher(all, Config::default()).default_backoff().applied_objects();
    let pods = seen.filter_map(async |pod| pod.ok());
    pods.for_each_concurrent(CONCURRENT, async |pod| {
        let (gate, was) = (is_true(&pod, GATE), is_true(&pod, "Ready"));
        if gate == was {
            return;
        }
        let status = if gate { "True" } else { "False" };
        let patch = json!({ "metadata": { "uid": pod.uid() }, "status": { "conditions": [{ "type": "Ready", "status": status }] } });
        let params = PatchParams { field_manager: Some("kubelet".to_owned()), ..PatchParams::default() };
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        match pods.patch_status(&name, &params, &Patch::Strategic(patch)).await {
            Ok(_) if gate => drop(lock(&ready).insert((namespace, name))),
            Ok(_) => drop(lock(&ready).remove(&(namespace, name))),
            Err(error) => eprintln!("kubelet: {error}"),
        }
    })
    .await;
}

fn is_true(pod: &Pod, type_: &str) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let is = |condition: &PodCondition| condition.type_ == type_ && condition.status == "True";
    conditions.is_some_and(|conditions| conditions.iter().any(is))
}
