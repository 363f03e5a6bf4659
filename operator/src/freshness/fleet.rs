//! One fleet: takes in pods, answers and changes of its spec, has them judged, and passes on what follows.
//!
//! Everything is judged as soon as it is known; answers of one round are judged together.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use rand::RngExt as _;
use tidemark_judge::{BlockNumber, Moment, PodUid};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    announce,
    ask::LONGEST_ANSWER,
    fleets::{Fleets, Shared},
    gate::{self, Failing, Orders},
    member::SeenPod,
    policy::FleetSpec,
    primary::Observer,
    roll::Roll,
    round::Rounds,
    sampler::{Answered, Sampler, Target},
    snapshot::Snapshot,
    state::{Intents, Pods, State},
    ways::Ways,
};
use crate::{names::SetKey, wait::or_never};

/// Answers that may wait to be judged; a full queue makes samplers wait, who ask one at a time.
const ANSWERS: usize = 256;
/// How long an answer may wait for those of the same round, so that ten answers are not ten judgements.
const GATHER: Duration = Duration::from_millis(5);

/// The ends of the fleet's channels that others hold.
pub(super) struct Inputs {
    pub(super) spec: watch::Receiver<FleetSpec>,
    pub(super) pods: watch::Receiver<Arc<Pods>>,
    pub(super) intents: watch::Receiver<Arc<Intents>>,
    pub(super) snapshot: watch::Sender<Option<Arc<Snapshot>>>,
    pub(super) orders: watch::Sender<Orders>,
    pub(super) failing: watch::Receiver<Failing>,
}

/// A running fleet.
pub(super) struct Fleet {
    key: SetKey,
    about: ObjectReference,
    shared: Arc<Shared>,
    fleets: Arc<Fleets>,
    inputs: Inputs,
    /// Whether this process leads; once it does, it does so for good.
    leads: bool,
    /// The spec as it is judged by.
    spec: FleetSpec,
    state: State,
    roll: Roll,
    rounds: Rounds,
    /// Its own place among all fleets, from 0 to 1.
    turn: f64,
    ask_height: Option<BlockNumber>,
    primary: Option<Observer>,
    ways: Ways,
    samplers: BTreeMap<PodUid, Sampler>,
    /// Some follower is not asked, because too many are.
    short: bool,
    answers: (mpsc::Sender<Answered>, mpsc::Receiver<Answered>),
}

impl Fleet {
    pub(super) fn new(key: SetKey, shared: Arc<Shared>, fleets: Arc<Fleets>, mut inputs: Inputs) -> Self {
        let leads = shared.leadership.is_leader();
        let spec = judged_by(&inputs.spec.borrow_and_update(), leads);
        let about = announce::set_reference(&key, &spec.uid);
        let mut fleet = Self {
            key,
            about,
            shared,
            fleets,
            inputs,
            leads,
            spec,
            state: State::default(),
            roll: Roll::default(),
            rounds: Rounds::default(),
            turn: rand::rng().random_range(0.0..1.0),
            ask_height: None,
            primary: None,
            ways: Ways::default(),
            samplers: BTreeMap::new(),
            short: false,
            answers: mpsc::channel(ANSWERS),
        };
        fleet.observe_primary();
        fleet.take_pods();
        fleet
    }

    /// Runs until the set is gone.
    pub(super) async fn run(mut self) {
        self.judge();
        self.start_round();
        while self.step().await {
            self.judge();
        }
    }

    /// Takes in an answer with what the others of its round answer at about the same time.
    async fn take_answers(&mut self, first: Answered) {
        self.state.answered(first);
        let end = Instant::now() + GATHER;
        for _ in 1..self.samplers.len() {
            match tokio::time::timeout_at(end, self.answers.1.recv()).await {
                Ok(Some(answered)) => self.state.answered(answered),
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Waits for something new and takes it in; false when the set is gone.
    async fn step(&mut self) -> bool {
        let due = self.rounds.due_at(self.spec.policy.poll_interval, self.primary.is_some());
        let due = due.map(|due| Instant::now() + due.since(self.shared.clock.now()));
        tokio::select! {
            Some(answered) = self.answers.1.recv() => self.take_answers(answered).await,
            () = or_never(self.primary.as_mut().map(Observer::changed)) => self.take_primary(),
            () = self.ways.changed() => {}
            changed = self.inputs.pods.changed() => {
                self.take_pods();
                return changed.is_ok();
            }
            changed = self.inputs.intents.changed() => {
                self.state.intents = Arc::clone(&self.inputs.intents.borrow_and_update());
                return changed.is_ok();
            }
            changed = self.inputs.spec.changed() => {
                self.take_spec();
                return changed.is_ok();
            }
            changed = self.inputs.failing.changed() => return changed.is_ok(),
            () = self.shared.leadership.elected(), if !self.leads => self.take_over(),
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)) => self.start_round(),
        }
        true
    }

    /// Begins as the leader: from the gates as they are, at the full rate, with a round of its own.
    fn take_over(&mut self) {
        self.leads = true;
        self.state.take_over();
        // What was judged before binds nobody and is not compared with: nothing was told of it.
        self.inputs.snapshot.send_replace(None);
        self.take_spec();
        self.judge();
        self.start_round();
    }

    fn take_spec(&mut self) {
        self.spec = judged_by(&self.inputs.spec.borrow_and_update(), self.leads);
        self.observe_primary();
        self.start_samplers();
    }

    /// Subscribes to the primary that the spec names now.
    fn observe_primary(&mut self) {
        let interval = self.spec.primary_interval;
        let same = self.primary.as_ref().map(|primary| &primary.at) == self.spec.primary.as_ref();
        if !same {
            self.state.primary = super::primary::Seen::default();
            let at = self.spec.primary.clone();
            self.primary = at.map(|at| Observer::new(&self.shared.primaries, at, interval));
        }
        if let Some(primary) = &mut self.primary {
            primary.want(interval, self.ask_height);
        }
    }

    fn take_primary(&mut self) {
        if let Some(primary) = &mut self.primary {
            self.state.primary = primary.seen();
        }
        let now = self.shared.clock.now();
        if self.rounds.due_after_primary(now, self.spec.policy.poll_interval) {
            self.start_round();
        }
    }

    fn take_pods(&mut self) {
        let pods = Arc::clone(&self.inputs.pods.borrow_and_update());
        self.state.roster(pods);
        self.start_samplers();
    }

    /// One sampler for each process that runs, and none for what does not.
    fn start_samplers(&mut self) {
        self.ways.keep(&self.state.pods, &self.spec, &self.shared.secrets);
        let wanted: BTreeMap<_, _> = self.state.pods.values().filter_map(|pod| self.target(pod)).collect();
        self.samplers.retain(|uid, sampler| wanted.get(uid) == Some(&sampler.target));
        for (uid, target) in wanted {
            if !self.samplers.contains_key(&uid)
                && let Some(sampler) = self.start_sampler(target)
            {
                self.samplers.insert(uid, sampler);
            }
        }
    }

    /// None while too many followers are asked already.
    fn start_sampler(&mut self, target: Target) -> Option<Sampler> {
        let way = self.ways.of(&target.line)?;
        let seat = self.shared.seats.take();
        self.short |= seat.is_none();
        let (answers, metrics) = (self.answers.0.clone(), Arc::clone(&self.shared.metrics));
        let sampler = Sampler::start(target, way, seat?, answers, self.shared.clock, metrics);
        sampler.ask_after(self.wait(), self.ask_height);
        Some(sampler)
    }

    fn target(&self, pod: &SeenPod) -> Option<(PodUid, Target)> {
        let target = Target {
            uid: pod.uid.clone(),
            container: pod.container.clone()?,
            address: pod.address?,
            port: self.spec.port,
            line: pod.line.clone(),
            protocol: self.spec.protocol,
            timeout: self.inputs.spec.borrow().policy.poll_interval.min(LONGEST_ANSWER),
        };
        Some((pod.uid.clone(), target))
    }

    fn start_round(&mut self) {
        self.rounds.start(self.shared.clock.now());
        if std::mem::take(&mut self.short) {
            self.start_samplers();
        }
        let wait = self.wait();
        for sampler in self.samplers.values() {
            sampler.ask_after(wait, self.ask_height);
        }
    }

    /// How long the round of this fleet waits for its turn: those of all sets of one primary begin at the same moment.
    /// Its own followers are asked together, so that their answers are judged together.
    fn wait(&self) -> Duration {
        (self.spec.policy.poll_interval / 2).mul_f64(self.turn)
    }

    fn judge(&mut self) {
        let now = self.shared.clock.now();
        self.roll.keep(&self.fleets, &self.key.namespace, &self.state.pods);
        let judgement = self.state.judge(now, &self.spec, &self.roll.volumes);
        // One who stands by is in no hurry.
        for uid in judgement.ask_again.iter().filter(|_| self.leads) {
            if let Some(sampler) = self.samplers.get(uid) {
                sampler.ask(judgement.ask_height);
            }
        }
        if self.ask_height != judgement.ask_height {
            self.ask_height = judgement.ask_height;
            self.observe_primary();
        }
        let since = judgement.verdicts.iter().map(|verdict| self.shared.clock.wall(verdict.since)).collect();
        let sights = self.state.sights(now, &judgement, self.spec.policy.readmit_lag);
        let super::primary::Seen { error: primary_error, secret_error, .. } = self.state.primary.clone();
        let foreign = self.state.foreign();
        let failing = self.inputs.failing.borrow_and_update().clone();
        self.shared.metrics.gates_failing(&self.key, failing.len());
        let (follower_secret_error, not_over_tls) = (self.ways.error(), self.state.not_over_tls());
        let snapshot = Snapshot {
            judgement,
            pods: Arc::clone(&self.roll.facts),
            since,
            sights,
            foreign,
            failing,
            primary_error,
            secret_error,
            follower_secret_error,
            not_over_tls,
        };
        self.publish(now, snapshot);
    }

    /// Orders gates first; tells the rest of the operator after. One who stands by orders and tells nothing.
    fn publish(&mut self, now: Moment, snapshot: Snapshot) {
        if self.leads {
            self.order(now, &snapshot);
        }
        let snapshot = Arc::new(snapshot);
        let before = self.inputs.snapshot.send_replace(Some(Arc::clone(&snapshot))).unwrap_or_default();
        self.shared.metrics.judged(&self.key, &self.spec.policy, &snapshot);
        if self.leads {
            self.tell(&before, &snapshot);
        }
    }

    fn order(&self, now: Moment, snapshot: &Snapshot) {
        let pods = Arc::clone(&self.state.pods);
        self.inputs.orders.send_if_modified(|standing| {
            let orders = gate::orders(now, &snapshot.judgement, &pods, standing);
            let changed = *standing != orders;
            *standing = orders;
            changed
        });
    }

    fn tell(&self, before: &Snapshot, now: &Snapshot) {
        for announcement in announce::transitions(before, now, &self.about) {
            self.shared.announcer.tell(announcement);
        }
        if !now.decides_as(before) {
            self.fleets.decided(&self.key);
        }
    }
}

impl Drop for Fleet {
    /// Only here is no judgement under way that would show them again. Another fleet of this name shows its own with its
    /// next judgement.
    fn drop(&mut self) {
        self.shared.metrics.forget(&self.key);
    }
}

fn judged_by(spec: &FleetSpec, leads: bool) -> FleetSpec {
    if leads { spec.clone() } else { spec.standing_by() }
}
