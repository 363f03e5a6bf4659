//! What one fleet knows, and the judge's view of it. Pure: holds data, takes `now`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tidemark_judge::{
    ContainerId, Intent, Judgement, Member, Memory, Moment, Observed, PodName, PodUid, Sample, judge,
};

use super::{
    ask::Upstream,
    member::SeenPod,
    policy::FleetSpec,
    primary::Seen,
    roll::Volumes,
    sampler::{Answered, Said, Unheard},
    sight::{Paces, Sight},
};

/// The pods of one set, by UID.
pub(super) type Pods = BTreeMap<PodUid, SeenPod>;

/// What is to be done with pods, by UID.
pub(crate) type Intents = BTreeMap<PodUid, Intent>;

/// Everything known of one fleet.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) pods: Arc<Pods>,
    pub(super) primary: Seen,
    pub(super) intents: Arc<Intents>,
    samples: BTreeMap<PodUid, Sample>,
    /// Pods whose process knows nothing of what it is asked.
    foreign: BTreeSet<PodUid>,
    /// Why pods that were asked last were not heard.
    unheard: BTreeMap<PodUid, Unheard>,
    memory: Memory,
    paces: Paces,
    /// What each says of its upstream.
    upstreams: BTreeMap<PodUid, Upstream>,
}

impl State {
    /// Takes an answer, unless it came from a container that no longer is the pod's.
    pub(super) fn answered(&mut self, answered: Answered) {
        if self.running(&answered.uid) != Some(&answered.container) {
            return;
        }
        match answered.said {
            Said::Sample(sample, upstream) => {
                self.foreign.remove(&answered.uid);
                self.unheard.remove(&answered.uid);
                match upstream {
                    Some(upstream) => drop(self.upstreams.insert(answered.uid.clone(), upstream)),
                    None => drop(self.upstreams.remove(&answered.uid)),
                }
                self.samples.insert(answered.uid, *sample);
            }
            Said::NotUnderstood => drop(self.foreign.insert(answered.uid)),
            Said::Nothing(unheard) => drop(self.unheard.insert(answered.uid, unheard)),
        }
    }

    /// The pods whose processes do not speak the protocol of the set.
    pub(super) fn foreign(&self) -> Vec<PodName> {
        let pods = self.foreign.iter().filter_map(|uid| self.pods.get(uid));
        let mut names: Vec<_> = pods.map(|pod| pod.name.clone()).collect();
        names.sort();
        names
    }

    /// The pods that are not heard for TLS, and why.
    pub(super) fn not_over_tls(&self) -> BTreeMap<PodName, String> {
        let unheard = self.unheard.iter().filter(|(_, unheard)| unheard.tls);
        let named = unheard
            .filter_map(|(uid, unheard)| Some((self.pods.get(uid)?.name.clone(), unheard.why.clone())));
        named.collect()
    }

    /// Takes the pods as they are now; samples of processes that are gone go with them.
    pub(super) fn roster(&mut self, pods: Arc<Pods>) {
        let before = std::mem::replace(&mut self.pods, pods);
        let pods = Arc::clone(&self.pods);
        let same = |uid: &PodUid| {
            let running = pods.get(uid).and_then(|pod| pod.container.as_ref());
            running.is_some() && running == before.get(uid).and_then(|pod| pod.container.as_ref())
        };
        self.foreign.retain(same);
        self.unheard.retain(|uid, _| same(uid));
        self.samples.retain(|uid, sample| {
            let running = pods.get(uid).and_then(|pod| pod.container.as_ref());
            running.is_some() && running == sample.container.as_ref()
        });
    }

    /// Starts anew from the gates it finds, as a leader that begins its term.
    pub(super) fn take_over(&mut self) {
        self.memory = std::mem::take(&mut self.memory).taken_over();
    }

    fn running(&self, uid: &PodUid) -> Option<&ContainerId> {
        self.pods.get(uid)?.container.as_ref()
    }

    /// Has the fleet judged. `volumes` has the UIDs of the pods' claims.
    pub(super) fn judge(&mut self, now: Moment, spec: &FleetSpec, volumes: &Volumes) -> Judgement {
        let members = self.pods.values().filter(|pod| !pod.ended).map(|pod| self.member(pod, volumes));
        let observed = Observed {
            members: members.collect(),
            primary: self.primary.sample.clone().filter(|_| spec.primary.is_some()),
            pinned_genesis: spec.pinned,
        };
        let (judgement, memory) = judge(now, &spec.policy, &observed, std::mem::take(&mut self.memory));
        self.memory = memory;
        judgement
    }

    /// What is seen of the members beside their verdicts.
    pub(super) fn sights(&mut self, now: Moment, judgement: &Judgement, readmit: u32) -> Vec<Sight> {
        self.paces.note(now, judgement, &self.samples);
        self.upstreams.retain(|uid, _| self.samples.contains_key(uid));
        let mut sights = self.paces.sights(judgement, &self.pods, &self.samples, readmit);
        for (verdict, sight) in judgement.verdicts.iter().zip(&mut sights) {
            sight.upstream = self.upstreams.get(&verdict.uid).cloned();
            sight.unheard = self.unheard.get(&verdict.uid).map(|unheard| unheard.why.clone());
        }
        sights
    }

    fn member(&self, pod: &SeenPod, volumes: &Volumes) -> Member {
        Member {
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            volume: volumes.get(&pod.uid).cloned().unwrap_or_else(|| pod.uid.as_str().into()),
            container: pod.container.clone(),
            ready: pod.ready,
            terminating: pod.terminating,
            intent: self.intents.get(&pod.uid).copied(),
            gate: pod.gate.clone(),
            sample: self.samples.get(&pod.uid).cloned(),
        }
    }
}
