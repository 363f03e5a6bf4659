//! What of the StatefulSet's controller and the volumes' matters here, with a scripted follower in each pod.
//!
//! As in a cluster: strategy OnDelete, pods made in parallel, the last ones deleted when there are too many, a claim kept
//! as long as a pod uses it. The image says how a follower fares: `crash` never runs, `behind` never catches up.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use anyhow::{Context as _, Result};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        core::v1::{PersistentVolumeClaim, Pod},
    },
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use tidemark_e2e::scripted::{Script, Scripted, ServerTls};
use tidemark_operator::names::REVISION_LABEL;
use tokio::task::JoinHandle;

use crate::world::status_of;

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Controllers of one namespace; dropping them ends them.
pub(crate) struct Controller {
    running: JoinHandle<()>,
    state: Arc<State>,
}

struct State {
    client: Client,
    namespace: String,
    followers: Mutex<BTreeMap<String, (String, Scripted)>>,
    tip: Mutex<u32>,
    images: Mutex<BTreeMap<String, String>>,
    /// What those show whose pods say that they serve over TLS.
    tls: Mutex<Option<ServerTls>>,
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Controller {
    pub(crate) fn start(client: Client, namespace: &str) -> Self {
        let state = Arc::new(State {
            client,
            namespace: namespace.to_owned(),
            followers: Mutex::default(),
            tip: Mutex::new(100),
            images: Mutex::default(),
            tls: Mutex::default(),
        });
        let running = tokio::spawn(Arc::clone(&state).run());
        Self { running, state }
    }

    /// Lets every follower, and those to come, be at this block, but for those whose image is behind.
    pub(crate) fn tip(&self, tip: u32) {
        *lock(&self.state.tip) = tip;
        let images = lock(&self.state.images);
        for (name, (_, follower)) in lock(&self.state.followers).iter() {
            if images.get(name).is_none_or(|image| !image.contains("behind")) {
                follower.say(|script| script.tip = Some(tip));
            }
        }
    }

    /// What followers show that are started from now on with flags for TLS.
    pub(crate) fn show(&self, tls: ServerTls) {
        *lock(&self.state.tls) = Some(tls);
    }

    pub(crate) fn say(&self, pod: &str, change: impl FnOnce(&mut Script)) {
        lock(&self.state.followers)[pod].1.say(change);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl State {
    async fn run(self: Arc<Self>) {
        loop {
            // What fails here is tried again: somebody else changed or deleted it meanwhile.
            let _ = self.sync().await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn sync(&self) -> Result<()> {
        let pods = self.api::<Pod>().list(&ListParams::default()).await?.items;
        self.release_claims(&pods).await?;
        let Some(statefulset) = self.api::<StatefulSet>().get_opt("set").await? else { return Ok(()) };
        let revision = revision(&statefulset);
        self.report(&statefulset, &revision, &pods).await?;
        let replicas = statefulset.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        for ordinal in 0..replicas {
            let name = format!("set-{ordinal}");
            match pods.iter().find(|pod| pod.name_any() == name) {
                None => self.make(&statefulset, &name, &revision).await?,
                Some(pod) => self.run_pod(pod).await?,
            }
        }
        for pod in pods.iter().rev() {
            let ordinal: i32 = pod.name_any().rsplit('-').next().context("an ordinal")?.parse()?;
            if ordinal >= replicas {
                self.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default()).await?;
            }
        }
        Ok(())
    }

    async fn report(&self, statefulset: &StatefulSet, revision: &str, pods: &[Pod]) -> Result<()> {
        let updated =
            pods.iter().filter(|pod| pod.labels().get(REVISION_LABEL).is_some_and(|of| of == revision));
        let status = json!({
            "observedGeneration": statefulset.metadata.generation,
            "updateRevision": revision,
            "replicas": pods.len(),
            "updatedReplicas": updated.count(),
        });
        let stands = serde_json::to_value(&statefulset.status)?;
        let fields = status.as_object().context("an object")?;
        if fields.iter().any(|(name, value)| stands.get(name).unwrap_or(&json!(0)) != value) {
            let patch = Patch::Merge(json!({ "status": status }));
            self.api::<StatefulSet>().patch_status("set", &PatchParams::default(), &patch).await?;
        }
        Ok(())
    }

    async fn make(&self, statefulset: &StatefulSet, name: &str, revision: &str) -> Result<()> {
        let spec = statefulset.spec.clone().context("a spec")?;
        let mut metadata = spec.template.metadata.unwrap_or_default();
        metadata.name = Some(name.to_owned());
        metadata.owner_references =
            kube::Resource::controller_owner_ref(statefulset, &()).map(|owner| vec![owner]);
        let labels = metadata.labels.get_or_insert_default();
        labels.insert(REVISION_LABEL.to_owned(), revision.to_owned());
        let mut pod = Pod { metadata, spec: spec.template.spec, status: None };
        if let Some(template) = spec.volume_claim_templates.unwrap_or_default().first() {
            let claim = format!("data-{name}");
            let mut made = template.clone();
            made.metadata.name = Some(claim.clone());
            made.status = None;
            if self.api::<PersistentVolumeClaim>().get_opt(&claim).await?.is_none() {
                self.api().create(&PostParams::default(), &made).await?;
            }
            let volume = json!({ "name": "data", "persistentVolumeClaim": { "claimName": claim } });
            pod.spec
                .get_or_insert_default()
                .volumes
                .get_or_insert_default()
                .push(serde_json::from_value(volume)?);
        }
        self.api().create(&PostParams::default(), &pod).await?;
        Ok(())
    }

    /// Starts the follower of a pod that has none yet.
    async fn run_pod(&self, pod: &Pod) -> Result<()> {
        let (name, uid) = (pod.name_any(), pod.uid().context("a UID")?);
        if lock(&self.followers).get(&name).is_some_and(|(of, _)| *of == uid) {
            return Ok(());
        }
        let container = pod.spec.as_ref().map(|spec| spec.containers[0].clone()).unwrap_or_default();
        let image = container.image.unwrap_or_default();
        let secure = container.args.iter().flatten().any(|arg| arg.starts_with("--tls-cert="));
        let tls = lock(&self.tls).clone().filter(|_| secure);
        let tip = if image.contains("behind") { 1 } else { *lock(&self.tip) };
        let script =
            Script { tip: Some(tip), pod_uid: uid.clone(), boot_id: uid.clone(), tls, ..Script::default() };
        let follower = Scripted::start(script).await?;
        let state = if image.contains("crash") {
            json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off" } })
        } else {
            json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } })
        };
        let status = json!({ "status": {
            "podIP": follower.ip().to_string(),
            "podIPs": [{ "ip": follower.ip().to_string() }],
            "phase": "Running",
            "containerStatuses": [status_of("follower", &format!("containerd://{uid}"), state)],
        } });
        self.api::<Pod>().patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
        lock(&self.images).insert(name.clone(), image);
        lock(&self.followers).insert(name, (uid, follower));
        Ok(())
    }

    /// Lets claims go that are to be deleted and that no pod uses.
    async fn release_claims(&self, pods: &[Pod]) -> Result<()> {
        for claim in self.api::<PersistentVolumeClaim>().list(&ListParams::default()).await?.items {
            let used = pods.iter().any(|pod| format!("data-{}", pod.name_any()) == claim.name_any());
            if claim.metadata.deletion_timestamp.is_some() && !used {
                let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
                let claims = self.api::<PersistentVolumeClaim>();
                claims.patch(&claim.name_any(), &PatchParams::default(), &patch).await?;
            }
        }
        Ok(())
    }
}

/// A name for the template, another one for each.
fn revision(statefulset: &StatefulSet) -> String {
    let template = statefulset.spec.as_ref().map(|spec| &spec.template);
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(&template).unwrap_or_default().hash(&mut hasher);
    format!("set-{:x}", hasher.finish())
}
