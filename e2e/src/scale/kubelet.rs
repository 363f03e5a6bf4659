//! What of all kubelets matters here: a running pod is Ready while its gate is True.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
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
    ready: Arc<AtomicUsize>,
}

impl Kubelets {
    pub(super) fn start(client: Client) -> Self {
        let ready = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(run(client, Arc::clone(&ready)));
        Self { task, ready }
    }

    /// How many pods were made Ready, less those that were made unready.
    pub(super) fn ready(&self) -> usize {
        self.ready.load(Ordering::Relaxed)
    }
}

impl Drop for Kubelets {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(client: Client, count: Arc<AtomicUsize>) {
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
        let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        match pods.patch_status(&pod.name_any(), &params, &Patch::Strategic(patch)).await {
            Ok(_) if gate => drop(count.fetch_add(1, Ordering::Relaxed)),
            Ok(_) => drop(count.fetch_sub(1, Ordering::Relaxed)),
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
