//! What of kubelet matters here: `Ready` is True while the container runs and every readiness gate is True.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::{
        WatchStreamExt as _,
        watcher::{Config, watcher},
    },
};
use serde_json::json;
use tidemark_e2e::scene::condition;
use tokio::task::JoinHandle;

/// A running kubelet of one namespace; dropping it ends it.
pub(crate) struct Kubelet(JoinHandle<()>);

impl Kubelet {
    pub(crate) fn start(client: Client, namespace: &str) -> Self {
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        Self(tokio::spawn(run(pods)))
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(pods: Api<Pod>) {
    let mut seen = watcher(pods.clone(), Config::default()).default_backoff().applied_objects().boxed();
    while let Some(pod) = seen.next().await {
        let Ok(pod) = pod else { continue };
        let (ready, was) = (should_be_ready(&pod), condition(&pod, "Ready"));
        if was != Some(ready) {
            let status = if ready { "True" } else { "False" };
            let ready = json!({ "type": "Ready", "status": status, "reason": "Kubelet" });
            let patch = Patch::Strategic(json!({ "status": { "conditions": [ready] } }));
            // A pod that was deleted meanwhile needs no condition.
            let _ = pods.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await;
        }
    }
}

fn should_be_ready(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let running = statuses.is_some_and(|all| !all.is_empty() && all.iter().all(|one| one.ready));
    let gates = pod.spec.as_ref().and_then(|spec| spec.readiness_gates.as_deref()).unwrap_or_default();
    running && gates.iter().all(|gate| condition(pod, &gate.condition_type) == Some(true))
}
