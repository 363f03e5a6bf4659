//! Watches follower pods and their claims, and tells the fleets who exists.

use std::collections::BTreeSet;

use futures::{StreamExt as _, pin_mut};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{
    Api, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        watcher::{Config, Event, watcher},
    },
};
use tidemark_judge::{PodUid, VolumeUid};
use tokio::sync::watch;

use super::fleets::Fleets;
use crate::{
    names::{INSTANCE_LABEL, MANAGED_BY_SELECTOR, SetKey},
    patience::patience,
    scope::PAGE,
};

/// The set a pod belongs to: the one it is labelled with, unless something else than its StatefulSet controls it. One
/// that nothing controls is still routed to, and its StatefulSet adopts it.
pub(super) fn set_of(pod: &Pod) -> Option<SetKey> {
    let name = pod.labels().get(INSTANCE_LABEL)?;
    let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true));
    let ours = owner.is_none_or(|owner| owner.kind == "StatefulSet" && owner.name == *name);
    ours.then(|| SetKey { namespace: pod.namespace().unwrap_or_default(), name: name.clone() })
}

/// A claim by namespace and name.
pub(super) type Claim = (String, String);

/// What is known of a claim.
#[derive(Clone, Debug)]
pub(super) struct SeenClaim {
    pub(super) uid: VolumeUid,
    /// Since when it is being deleted, which ends when the pod that uses it does.
    pub(super) leaving_since: Option<Timestamp>,
}

impl SeenClaim {
    fn of(claim: &PartialObjectMeta<PersistentVolumeClaim>) -> Option<Self> {
        let metadata = &claim.metadata;
        let leaving_since = metadata.deletion_timestamp.as_ref().map(|since| since.0);
        Some(Self { uid: metadata.uid.as_deref()?.into(), leaving_since })
    }

    /// Whether a pod made at that time may use it: none that is made while it is being deleted starts on it, however
    /// long the watch still shows it instead of the empty one of the same name.
    pub(super) fn may_hold(&self, made: Option<Timestamp>) -> bool {
        self.leaving_since.is_none_or(|leaving| made.is_none_or(|made| made < leaving))
    }
}

fn name_of(claim: &PartialObjectMeta<PersistentVolumeClaim>) -> Claim {
    (claim.namespace().unwrap_or_default(), claim.name_any())
}

/// Watches the pods of these fleets; `synced` becomes true once all that exist are known.
pub async fn watch_pods(api: Api<Pod>, fleets: std::sync::Arc<Fleets>, synced: watch::Sender<bool>) {
    let config = Config::default().labels(MANAGED_BY_SELECTOR).page_size(PAGE);
    let events = watcher(api, config).backoff(patience());
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
                fleets.only_pods(&listed);
                synced.send_replace(true);
            }
            Ok(Event::Apply(pod)) => fleets.pod_seen(&pod),
            Ok(Event::Delete(pod)) => fleets.pod_gone(&pod),
            Err(error) => tracing::warn!(%error, "the watch of pods was interrupted and is taken up again"),
        }
    }
}

/// Watches the claims of these fleets; `synced` becomes true once all that exist are known.
pub async fn watch_claims(
    api: Api<PartialObjectMeta<PersistentVolumeClaim>>,
    fleets: std::sync::Arc<Fleets>,
    synced: watch::Sender<bool>,
) {
    let config = Config::default().labels(MANAGED_BY_SELECTOR).page_size(PAGE);
    let events = watcher(api, config).backoff(patience());
    pin_mut!(events);
    let mut listed: BTreeSet<Claim> = BTreeSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(claim)) => {
                listed.insert(name_of(&claim));
                fleets.claim_seen(name_of(&claim), SeenClaim::of(&claim));
            }
            Ok(Event::InitDone) => {
                fleets.only_claims(&listed);
                synced.send_replace(true);
            }
            Ok(Event::Apply(claim)) => fleets.claim_seen(name_of(&claim), SeenClaim::of(&claim)),
            Ok(Event::Delete(claim)) => fleets.claim_seen(name_of(&claim), None),
            Err(error) => tracing::warn!(%error, "the watch of claims was interrupted and is taken up again"),
        }
    }
}
