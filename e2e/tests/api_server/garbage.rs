//! What of the garbage collector matters here: dependents of a StatefulSet that is deleted as an orphan are let go, and
//! then it goes itself.

use futures::StreamExt as _;
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
    runtime::{
        WatchStreamExt as _,
        watcher::{Config, watcher},
    },
};
use serde_json::json;
use tokio::task::JoinHandle;

/// A running collector of one namespace; dropping it ends it.
pub(crate) struct Garbage(JoinHandle<()>);

impl Garbage {
    pub(crate) fn start(client: Client, namespace: &str) -> Self {
        let statefulsets = Api::namespaced(client.clone(), namespace);
        let pods = Api::namespaced(client, namespace);
        Self(tokio::spawn(run(statefulsets, pods)))
    }
}

impl Drop for Garbage {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(statefulsets: Api<StatefulSet>, pods: Api<Pod>) {
    let seen = watcher(statefulsets.clone(), Config::default()).default_backoff().applied_objects();
    let mut seen = seen.boxed();
    while let Some(found) = seen.next().await {
        let Ok(found) = found else { continue };
        let orphaned = found.finalizers().iter().any(|finalizer| finalizer == "orphan");
        if found.metadata.deletion_timestamp.is_some() && orphaned {
            release(&pods, &found.uid().unwrap()).await;
            let done = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
            statefulsets.patch(&found.name_any(), &PatchParams::default(), &done).await.unwrap();
        }
    }
}

async fn release(pods: &Api<Pod>, owner: &str) {
    let nobody = Patch::Merge(json!({ "metadata": { "ownerReferences": null } }));
    for pod in pods.list(&ListParams::default()).await.unwrap() {
        if pod.owner_references().iter().any(|reference| reference.uid == owner) {
            pods.patch(&pod.name_any(), &PatchParams::default(), &nobody).await.unwrap();
        }
    }
}
