//! Watches follower pods and their claims, and tells the fleets who exists.

use std::collections::BTreeSet;

use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{
    Api, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        watcher::{Config, Event, watcher},
    },
};
use tidemark_judge::PodUid;
use tokio::sync::watch;

use super::fleets::Fleets;
use crate::names::{INSTANCE_LABEL, MANAGED_BY_SELECTOR, SetKey};

/// The set a pod belongs to: the one it is labelled with, whose StatefulSet of that name controls it.
pub(super) fn set_of(pod: &Pod) -> Option<SetKey> {
    let name = pod.labels().get(INSTANCE_LABEL)?;
    let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true))?;
    let ours = owner.kind == "StatefulSet" && owner.name == *name;
    ours.then(|| SetKey { namespace: pod.namespace().unwrap_or_default(), name: name.clone() })
}

/// Watches the pods of one namespace, or of all; `synced` becomes true once all that exist are known.
pub async fn watch_pods(
    api: Api<Pod>,
    namespace: Option<String>,
    fleets: std::sync::Arc<Fleets>,
    synced: watch::Sender<bool>,
) {
    let events = watcher(api, Config::default().labels(MANAGED_BY_SELECTOR)).default_backoff();
    pin_mut!(events);
    let mut listed: BTreeSet<PodUid> = BTreeSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(pod)) => {
                listed.extend(pod.uid().map(PodUid::from));
                fleets.pod_seen(&pod);
            }
            Ok(Event::InitDone) => {
                fleets.only_pods(namespace.as_deref(), &listed);
                synced.send_replace(true);
            }
            Ok(Event::Apply(pod)) => fleets.pod_seen(&pod),
            Ok(Event::Delete(pod)) => fleets.pod_gone(&pod),
            Err(error) => tracing::warn!(%error, "the watch of pods was interrupted and is taken up again"),
        }
    }
}

/// Watches the claims of one namespace, or of all; `synced` becomes true once all that exist are known.
pub async fn watch_claims(
    api: Api<PartialObjectMeta<PersistentVolumeClaim>>,
    fleets: std::sync::Arc<Fleets>,
    synced: watch::Sender<bool>,
) {
    let events = watcher(api, Config::default().labels(MANAGED_BY_SELECTOR)).default_backoff();
    pin_mut!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => {}
            Ok(Event::InitApply(claim) | Event::Apply(claim)) => {
                let namespace = claim.namespace().unwrap_or_default();
                fleets.claim_seen(&namespace, &claim.name_any(), claim.metadata.uid.as_deref());
            }
            Ok(Event::InitDone) => drop(synced.send_replace(true)),
            Ok(Event::Delete(claim)) => {
                fleets.claim_seen(&claim.namespace().unwrap_or_default(), &claim.name_any(), None);
            }
            Err(error) => tracing::warn!(%error, "the watch of claims was interrupted and is taken up again"),
        }
    }
}
