//! All fleets of the operator, and where the watches put what they see.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use tidemark_judge::{PodUid, VolumeUid};
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    announce::{Announcement, Announcer},
    fleet::{Fleet, Inputs},
    gate::{Orders, Writer},
    member::SeenPod,
    policy::FleetSpec,
    primary::Primaries,
    roster::set_of,
    snapshot::Snapshot,
    state::Pods,
};
use crate::{clock::Clock, metrics::Metrics, names::SetKey, queue::Queue};

/// What all fleets share.
#[derive(Debug)]
pub struct Shared {
    pub(super) primaries: Arc<Primaries>,
    pub(super) announcer: Announcer,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) permits: Arc<Semaphore>,
}

impl Shared {
    /// What fleets share, with at most `gate_writes` writes under way.
    pub fn new(
        client: &Client,
        clock: Clock,
        metrics: Arc<Metrics>,
        gate_writes: u16,
        token: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            primaries: Primaries::new(clock, Arc::clone(&metrics)),
            announcer: Announcer::start(client.clone(), token),
            clock,
            metrics,
            permits: Arc::new(Semaphore::new(gate_writes.into())),
        })
    }
}

/// Every fleet, every pod and every claim the operator knows of.
pub struct Fleets {
    client: Client,
    shared: Arc<Shared>,
    /// Where to tell that a set's decisions have changed.
    decided: Arc<Queue>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    fleets: BTreeMap<SetKey, Handle>,
    pods: BTreeMap<SetKey, Arc<Pods>>,
    /// UIDs of claims by namespace and name.
    claims: BTreeMap<(String, String), VolumeUid>,
}

struct Handle {
    spec: watch::Sender<FleetSpec>,
    pods: watch::Sender<Arc<Pods>>,
    snapshot: watch::Receiver<Option<Arc<Snapshot>>>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Fleets {
    /// No fleets yet. Keys of sets whose decisions change are put into `decided`.
    pub fn new(client: Client, shared: Arc<Shared>, decided: Arc<Queue>) -> Arc<Self> {
        Arc::new(Self { client, shared, decided, known: Mutex::default() })
    }

    /// Starts judging a set, or goes on under its present spec.
    pub fn set_seen(self: &Arc<Self>, key: &SetKey, spec: FleetSpec) {
        let mut known = self.known();
        if let Some(handle) = known.fleets.get(key).filter(|handle| handle.spec.borrow().uid == spec.uid) {
            handle.spec.send_if_modified(|current| {
                let changed = *current != spec;
                *current = spec;
                changed
            });
            return;
        }
        let pods = known.pods.get(key).cloned().unwrap_or_default();
        let handle = self.start(key, spec, pods);
        known.fleets.insert(key.clone(), handle);
    }

    /// Stops judging a set; its gates stay as they are.
    pub fn set_gone(&self, key: &SetKey) {
        self.known().fleets.remove(key);
        self.shared.metrics.forget(key);
    }

    /// Stops judging altogether; gates stay as they are.
    pub fn stop(&self) {
        self.known().fleets.clear();
    }

    /// Tells people about something.
    pub(crate) fn tell(&self, announcement: Announcement) {
        self.shared.announcer.tell(announcement);
    }

    /// The sets that are judged.
    pub fn sets(&self) -> Vec<SetKey> {
        self.known().fleets.keys().cloned().collect()
    }

    /// The latest judgement on a set; None before the first.
    pub fn snapshot(&self, key: &SetKey) -> Option<Arc<Snapshot>> {
        self.known().fleets.get(key)?.snapshot.borrow().clone()
    }

    fn start(self: &Arc<Self>, key: &SetKey, spec: FleetSpec, pods: Arc<Pods>) -> Handle {
        let (spec, spec_seen) = watch::channel(spec);
        let (pods, pods_seen) = watch::channel(pods);
        let (snapshot, snapshot_seen) = watch::channel(None);
        let (orders, orders_seen) = watch::channel(Orders::default());
        let inputs = Inputs { spec: spec_seen, pods: pods_seen, snapshot, orders };
        let fleet = Fleet::new(key.clone(), Arc::clone(&self.shared), Arc::clone(self), inputs);
        let tasks = [tokio::spawn(fleet.run()), tokio::spawn(self.writer(key).run(orders_seen))];
        Handle { spec, pods, snapshot: snapshot_seen, _tasks: tasks.map(AbortOnDropHandle::new) }
    }

    fn writer(self: &Arc<Self>, key: &SetKey) -> Writer {
        Writer {
            namespace: key.namespace.clone(),
            client: self.client.clone(),
            fleets: Arc::clone(self),
            permits: Arc::clone(&self.shared.permits),
            clock: self.shared.clock,
            metrics: Arc::clone(&self.shared.metrics),
        }
    }

    /// Takes a pod as the watch shows it; a sight older than the one known is ignored.
    pub(super) fn pod_seen(&self, pod: &Pod) {
        let (Some(key), Some(seen)) = (set_of(pod), SeenPod::of(pod)) else { return };
        self.change_pods(&key, |pods| insert_newer(pods, seen));
    }

    /// Takes a pod as it is after a write of ours, unless it has been deleted meanwhile.
    pub(super) fn pod_written(&self, namespace: &str, pod: &Pod) {
        let (Some(key), Some(seen)) = (set_of(pod), SeenPod::of(pod)) else { return };
        debug_assert_eq!(key.namespace, namespace);
        self.change_pods(&key, |pods| {
            if pods.contains_key(&seen.uid) {
                insert_newer(pods, seen);
            }
        });
    }

    /// Forgets a pod.
    pub(super) fn pod_gone(&self, pod: &Pod) {
        let (Some(key), Some(seen)) = (set_of(pod), SeenPod::of(pod)) else { return };
        self.change_pods(&key, |pods| drop(pods.remove(&seen.uid)));
    }

    /// Forgets every pod of these namespaces (all when None) that is not listed.
    pub(super) fn only_pods(&self, namespace: Option<&str>, listed: &std::collections::BTreeSet<PodUid>) {
        let keys: Vec<_> = self.known().pods.keys().cloned().collect();
        for key in keys.into_iter().filter(|key| namespace.is_none_or(|namespace| key.namespace == namespace))
        {
            self.change_pods(&key, |pods| pods.retain(|uid, _| listed.contains(uid)));
        }
    }

    fn change_pods(&self, key: &SetKey, change: impl FnOnce(&mut Pods)) {
        let mut known = self.known();
        let entry = known.pods.entry(key.clone()).or_default();
        let before = Arc::clone(entry);
        change(Arc::make_mut(entry));
        let now = Arc::clone(entry);
        if now.is_empty() {
            known.pods.remove(key);
        }
        if now != before
            && let Some(handle) = known.fleets.get(key)
        {
            handle.pods.send_replace(now);
        }
    }

    /// Takes a claim's UID, or forgets it.
    pub(super) fn claim_seen(&self, namespace: &str, name: &str, uid: Option<&str>) {
        let claim = (namespace.to_owned(), name.to_owned());
        let claims = &mut self.known().claims;
        match uid {
            Some(uid) => drop(claims.insert(claim, uid.into())),
            None => drop(claims.remove(&claim)),
        }
    }

    /// The UID of what holds a pod's data: its claim, or the pod itself.
    pub(super) fn volume(&self, namespace: &str, pod: &SeenPod) -> VolumeUid {
        let claim = pod.claim.as_ref().map(|claim| (namespace.to_owned(), claim.clone()));
        let uid = claim.and_then(|claim| self.known().claims.get(&claim).cloned());
        uid.unwrap_or_else(|| pod.uid.as_str().into())
    }

    /// Tells that a set's decisions changed.
    pub(super) fn decided(&self, key: &SetKey) {
        self.decided.push(key.clone());
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each change of these maps is one call, so a thread that panicked left them whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn insert_newer(pods: &mut Pods, seen: SeenPod) {
    let newer = pods.get(&seen.uid).is_none_or(|known| known.version <= seen.version);
    if newer {
        pods.insert(seen.uid.clone(), seen);
    }
}
