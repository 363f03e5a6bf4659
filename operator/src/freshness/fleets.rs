//! All fleets of the operator, and where the watches put what they see.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, Weak},
};

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use tidemark_judge::{Moment, PodUid, Verdict};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    announce::{Announcement, Announcer},
    fleet::{Fleet, Inputs},
    gate::{Failing, Orders, Writer},
    live::{Filter, FleetView},
    member::SeenPod,
    permits::Permits,
    policy::FleetSpec,
    primary::Primaries,
    roll::Volumes,
    roster::{Claim, SeenClaim, set_of},
    secrets::Secrets,
    sight::Sight,
    snapshot::Snapshot,
    state::{Intents, Pods},
};
use crate::{
    clock::Clock,
    descriptors::{self, Seats},
    lease::Leadership,
    lock::lock,
    metrics::{Metrics, SampleAge},
    names::SetKey,
    options::Options,
    queue::Queue,
};

/// What all fleets share.
#[derive(Debug)]
pub struct Shared {
    pub(super) primaries: Arc<Primaries>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) announcer: Announcer,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) permits: Permits,
    /// The fleets of every scope, for those who ask what is known.
    rolls: Mutex<Vec<Weak<Fleets>>>,
    pub(super) leadership: Leadership,
    pub(super) seats: Arc<Seats>,
}

impl Shared {
    /// What fleets share under these options; nothing is written but while this process leads.
    pub fn new(
        client: &Client,
        clock: Clock,
        metrics: Arc<Metrics>,
        options: &Options,
        leadership: Leadership,
        token: CancellationToken,
    ) -> Arc<Self> {
        let allow_loopback = options.allow_loopback_primaries;
        let secrets = Arc::new(Secrets::new(client.clone(), Arc::clone(&metrics)));
        let primaries = Primaries::new(Arc::clone(&secrets), allow_loopback, clock, Arc::clone(&metrics));
        Arc::new(Self {
            primaries,
            secrets,
            announcer: Announcer::start(client.clone(), leadership.clone(), Arc::clone(&metrics), token),
            clock,
            permits: Permits::new(options.gate_writes),
            rolls: Mutex::default(),
            leadership,
            seats: Seats::new(descriptors::raise(), Arc::clone(&metrics)),
            metrics,
        })
    }

    /// Whether this process leads.
    pub(crate) fn leadership(&self) -> &Leadership {
        &self.leadership
    }
}

impl Shared {
    /// What is known at this moment of the sets that are asked about.
    pub fn view(&self, filter: &Filter) -> Vec<FleetView> {
        self.rolls().iter().flat_map(|fleets| fleets.view(filter, self.clock.now())).collect()
    }

    fn rolls(&self) -> Vec<Arc<Fleets>> {
        lock(&self.rolls).iter().filter_map(Weak::upgrade).collect()
    }

    /// How long ago each replica of every set answered last.
    pub fn sample_ages(&self) -> Vec<SampleAge> {
        self.rolls().iter().flat_map(|fleets| fleets.sample_ages(self.clock.now())).collect()
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
    claims: BTreeMap<Claim, SeenClaim>,
    /// How often claims have changed.
    claims_changed: u64,
}

struct Handle {
    spec: watch::Sender<FleetSpec>,
    pods: watch::Sender<Arc<Pods>>,
    intents: watch::Sender<Arc<Intents>>,
    snapshot: watch::Receiver<Option<Arc<Snapshot>>>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Fleets {
    /// No fleets yet. Keys of sets whose decisions change are put into `decided`.
    pub fn new(client: Client, shared: Arc<Shared>, decided: Arc<Queue>) -> Arc<Self> {
        let fleets = Arc::new(Self { client, shared, decided, known: Mutex::default() });
        lock(&fleets.shared.rolls).push(Arc::downgrade(&fleets));
        fleets
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
    }

    /// Stops judging altogether; gates stay as they are.
    pub fn stop(&self) {
        self.known().fleets.clear();
    }

    /// Tells people about something.
    pub(crate) fn tell(&self, announcement: Announcement) {
        self.shared.announcer.tell(announcement);
    }

    /// How many sets are judged, those of other scopes among them.
    pub(crate) fn count(&self) -> usize {
        self.shared.rolls().iter().map(|fleets| fleets.known().fleets.len()).sum()
    }

    /// The sets that are judged.
    pub fn sets(&self) -> Vec<SetKey> {
        self.known().fleets.keys().cloned().collect()
    }

    /// Has pods of a set judged as ones that are to leave, in place of those that were to before.
    pub(crate) fn intend(&self, key: &SetKey, intents: Intents) {
        if let Some(handle) = self.known().fleets.get(key) {
            handle.intents.send_if_modified(|standing| {
                let changed = **standing != intents;
                *standing = Arc::new(intents);
                changed
            });
        }
    }

    /// The latest judgement on a set; None before the first.
    pub fn snapshot(&self, key: &SetKey) -> Option<Arc<Snapshot>> {
        self.known().fleets.get(key)?.snapshot.borrow().clone()
    }

    fn view(&self, filter: &Filter, now: Moment) -> Vec<FleetView> {
        let seen = |(key, handle): (&SetKey, &Handle)| {
            (key.clone(), handle.spec.borrow().clone(), handle.snapshot.borrow().clone())
        };
        let asked: Vec<_> =
            self.known().fleets.iter().filter(|(key, _)| filter.takes(key)).map(seen).collect();
        asked.iter().map(|(key, spec, seen)| FleetView::of(key, spec, seen.as_deref(), now)).collect()
    }

    fn sample_ages(&self, now: Moment) -> Vec<SampleAge> {
        let seen = |(key, handle): (&SetKey, &Handle)| Some((key.clone(), handle.snapshot.borrow().clone()?));
        let seen: Vec<_> = self.known().fleets.iter().filter_map(seen).collect();
        let of_set = |(set, seen): &(SetKey, Arc<Snapshot>)| -> Vec<_> {
            let members = seen.judgement.verdicts.iter().zip(&seen.sights);
            let age = |(verdict, sight): (&Verdict, &Sight)| {
                Some(SampleAge {
                    set: set.clone(),
                    pod: verdict.pod.clone(),
                    age: now.since(sight.sampled_at?),
                })
            };
            members.filter_map(age).collect()
        };
        seen.iter().flat_map(of_set).collect()
    }

    fn start(self: &Arc<Self>, key: &SetKey, spec: FleetSpec, pods: Arc<Pods>) -> Handle {
        let (spec, spec_seen) = watch::channel(spec);
        let (pods, pods_seen) = watch::channel(pods);
        let (intents, intents_seen) = watch::channel(Arc::default());
        let (snapshot, snapshot_seen) = watch::channel(None);
        let (orders, orders_seen) = watch::channel(Orders::default());
        let (failing, failing_seen) = watch::channel(Failing::new());
        let inputs = Inputs {
            spec: spec_seen,
            pods: pods_seen,
            intents: intents_seen,
            snapshot,
            orders,
            failing: failing_seen,
        };
        let fleet = Fleet::new(key.clone(), Arc::clone(&self.shared), Arc::clone(self), inputs);
        let tasks = [tokio::spawn(fleet.run()), tokio::spawn(self.writer(key, failing).run(orders_seen))];
        Handle { spec, pods, intents, snapshot: snapshot_seen, _tasks: tasks.map(AbortOnDropHandle::new) }
    }

    fn writer(self: &Arc<Self>, key: &SetKey, failing: watch::Sender<Failing>) -> Writer {
        Writer {
            namespace: key.namespace.clone(),
            client: self.client.clone(),
            fleets: Arc::clone(self),
            permits: self.shared.permits.share(&key.namespace),
            leadership: self.shared.leadership.clone(),
            failing,
            clock: self.shared.clock,
            metrics: Arc::clone(&self.shared.metrics),
        }
    }

    /// Takes a pod as the watch shows it; a sight older than the one known is ignored.
    pub(super) fn pod_seen(&self, pod: &Pod) {
        let Some(seen) = SeenPod::of(pod) else { return };
        let key = set_of(pod);
        if let Some(left) = self.set_with(&seen.uid, key.as_ref()).filter(|left| Some(left) != key.as_ref()) {
            self.change_pods(&left, |pods| drop(pods.remove(&seen.uid)));
        }
        if let Some(key) = key {
            self.change_pods(&key, |pods| insert_newer(pods, seen));
        }
    }

    /// The set in which a pod is known, looked for in the likely one first.
    fn set_with(&self, uid: &PodUid, likely: Option<&SetKey>) -> Option<SetKey> {
        let known = self.known();
        let holds = |key: &&SetKey| known.pods.get(*key).is_some_and(|pods| pods.contains_key(uid));
        likely.into_iter().chain(known.pods.keys()).find(holds).cloned()
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

    /// Forgets every pod that is not listed.
    pub(super) fn only_pods(&self, listed: &BTreeSet<PodUid>) {
        let keys: Vec<_> = self.known().pods.keys().cloned().collect();
        for key in keys {
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

    /// Takes a claim as it is, or forgets it.
    pub(super) fn claim_seen(&self, claim: Claim, seen: Option<SeenClaim>) {
        let mut known = self.known();
        known.claims_changed += 1;
        match seen {
            Some(seen) => drop(known.claims.insert(claim, seen)),
            None => drop(known.claims.remove(&claim)),
        }
    }

    /// Forgets every claim that is not listed.
    pub(super) fn only_claims(&self, listed: &BTreeSet<Claim>) {
        let mut known = self.known();
        known.claims_changed += 1;
        known.claims.retain(|claim, _| listed.contains(claim));
    }

    /// The claims that hold the data of these pods, with how often claims have changed; None if they have not since then.
    pub(super) fn volumes(&self, namespace: &str, pods: &Pods, since: Option<u64>) -> Option<(u64, Volumes)> {
        let known = self.known();
        if since == Some(known.claims_changed) {
            return None;
        }
        let volume = |pod: &SeenPod| {
            let claim = known.claims.get(&(namespace.to_owned(), pod.claim.clone()?))?;
            Some((pod.uid.clone(), claim.may_hold(pod.created).then(|| claim.uid.clone())?))
        };
        Some((known.claims_changed, pods.values().filter_map(volume).collect()))
    }

    /// Tells that a set's decisions changed.
    pub(super) fn decided(&self, key: &SetKey) {
        self.decided.push(key.clone());
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

fn insert_newer(pods: &mut Pods, seen: SeenPod) {
    let newer = pods.get(&seen.uid).is_none_or(|known| known.version <= seen.version);
    if newer {
        pods.insert(seen.uid.clone(), seen);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;
    use tidemark_judge::PodUid;
    use tokio_util::sync::CancellationToken;

    use super::{Fleets, SeenClaim, SeenPod, Shared};
    use crate::{clock::Clock, lease::Leadership, metrics::Metrics, options::Options};

    fn fleets() -> Arc<Fleets> {
        let client = crate::testing::nobody();
        let shared = Shared::new(
            &client,
            Clock::start(),
            Arc::new(Metrics::new()),
            &Options::default(),
            Leadership::alone(),
            CancellationToken::new(),
        );
        Fleets::new(client, shared, Arc::default())
    }

    fn pod(instance: &str, owner: Option<&str>) -> Pod {
        let owners = owner.map(|name| {
            json!([{ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "uid": "s", "controller": true }])
        });
        let pod = json!({ "metadata": {
            "name": "a-0", "namespace": "n", "uid": "u", "resourceVersion": "17", "ownerReferences": owners,
            "labels": { "app.kubernetes.io/instance": instance },
        } });
        serde_json::from_value(pod).expect("a pod")
    }

    fn sets(fleets: &Fleets) -> Vec<String> {
        fleets.known().pods.keys().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn a_pod_that_its_statefulset_let_go_is_judged_on_and_one_that_left_its_service_is_not() {
        let fleets = fleets();
        fleets.pod_seen(&pod("a", Some("a")));
        fleets.pod_seen(&pod("a", None));
        assert_eq!(sets(&fleets), ["n/a"]);
        fleets.pod_seen(&pod("b", Some("a")));
        assert_eq!(sets(&fleets), [""; 0]);
        fleets.pod_seen(&pod("a", Some("a")));
        fleets.pod_seen(&pod("b", None));
        assert_eq!(sets(&fleets), ["n/b"]);
    }

    fn claim(uid: &str, leaving: Option<&str>) -> SeenClaim {
        let leaving_since = leaving.map(|since| since.parse().expect("a time"));
        SeenClaim { uid: uid.into(), leaving_since }
    }

    #[tokio::test]
    async fn a_pod_made_after_its_claim_was_to_go_has_another_whatever_the_watch_still_shows() {
        let fleets = fleets();
        let check = |made: &str, expected: Option<&str>| {
            let pod = json!({
                "metadata": { "name": "a-0", "uid": "u", "resourceVersion": "17", "creationTimestamp": made },
                "spec": { "containers": [], "volumes": [
                    { "name": "data", "persistentVolumeClaim": { "claimName": "data-a-0" } }
                ] },
            });
            let pod: Pod = serde_json::from_value(pod).expect("a pod");
            let pod = SeenPod::of(&pod).expect("it has a UID");
            let pods = [(pod.uid.clone(), pod)].into();
            let (changed, volumes) =
                fleets.volumes("n", &pods, None).expect("they were not asked for before");
            let found: Vec<_> = volumes.values().map(|volume| volume.as_str()).collect();
            assert_eq!(found, Vec::from_iter(expected), "made at {made}");
            assert!(fleets.volumes("n", &pods, Some(changed)).is_none(), "nothing has changed");
        };
        let name = || ("n".to_owned(), "data-a-0".to_owned());
        check("2026-01-01T00:00:09Z", None);
        fleets.claim_seen(name(), Some(claim("old", None)));
        check("2026-01-01T00:00:09Z", Some("old"));
        fleets.claim_seen(name(), Some(claim("old", Some("2026-01-01T00:00:07Z"))));
        check("2026-01-01T00:00:06Z", Some("old"));
        check("2026-01-01T00:00:07Z", None);
        check("2026-01-01T00:00:09Z", None);
        fleets.claim_seen(name(), Some(claim("new", None)));
        check("2026-01-01T00:00:09Z", Some("new"));
    }

    #[tokio::test]
    async fn what_a_new_list_lacks_is_forgotten() {
        let fleets = fleets();
        fleets.pod_seen(&pod("a", Some("a")));
        fleets.claim_seen(("n".to_owned(), "data-a-0".to_owned()), Some(claim("v", None)));
        fleets.only_pods(&BTreeSet::from([PodUid::from("another")]));
        fleets.only_claims(&BTreeSet::new());
        assert_eq!((sets(&fleets).len(), fleets.known().claims.len()), (0, 0));
    }
}
