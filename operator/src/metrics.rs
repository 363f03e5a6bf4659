//! What the operator counts and measures, in Prometheus' text format.

mod shown;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Mutex, atomic::AtomicU64},
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{
        MetricType,
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Metric, Registry, Unit},
};
use tidemark_judge::{PodName, Policy};

use self::shown::Shown;
use crate::{freshness::Snapshot, lock::lock, names::SetKey};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Set {
    namespace: String,
    set: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Replica {
    namespace: String,
    set: String,
    pod: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reasoned {
    namespace: String,
    set: String,
    pod: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Conditioned {
    namespace: String,
    set: String,
    condition: String,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HashRead {
    of: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Written {
    outcome: &'static str,
    gate: &'static str,
}

const PREFIX: &str = "tidemark_operator";
/// It is measured when it is asked for; everything else is kept.
const SAMPLE_AGE: &str = "replica_sample_age";

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Under what they are queried.
    names: Vec<String>,
    fleet_tip: Family<Set, Gauge>,
    proven_tip: Family<Set, Gauge>,
    max_lag: Family<Set, Gauge>,
    replicas: Family<Set, Gauge>,
    floor: Family<Set, Gauge>,
    ready: Family<Set, Gauge>,
    conditions: Family<Conditioned, Gauge>,
    lag: Family<Replica, Gauge>,
    serves: Family<Reasoned, Gauge>,
    samples: Family<Outcome, Counter>,
    sample_seconds: Histogram,
    primary_samples: Family<Outcome, Counter>,
    primary_sample_seconds: Histogram,
    hash_reads: Family<HashRead, Counter>,
    secret_reads: Family<Outcome, Counter>,
    seats: Gauge,
    seats_taken: Gauge,
    seats_refused: Counter,
    gate_writes: Family<Written, Counter>,
    gate_seconds: Histogram,
    gate_writes_failing: Family<Set, Gauge>,
    reconciles: Family<Outcome, Counter>,
    reconcile_seconds: Histogram,
    status_writes: Counter,
    leader: Gauge,
    lease_attempts: Family<Outcome, Counter>,
    events: Family<Outcome, Counter>,
    /// What is shown of each set, to change only what changes.
    shown: Mutex<BTreeMap<SetKey, Shown>>,
    shown_conditions: Mutex<BTreeMap<SetKey, Vec<Conditioned>>>,
}

impl Metrics {
    /// Registers everything.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix(PREFIX),
            names: Vec::new(),
            fleet_tip: Family::default(),
            proven_tip: Family::default(),
            max_lag: Family::default(),
            replicas: Family::default(),
            floor: Family::default(),
            ready: Family::default(),
            conditions: Family::default(),
            lag: Family::default(),
            serves: Family::default(),
            samples: Family::default(),
            sample_seconds: seconds(),
            primary_samples: Family::default(),
            primary_sample_seconds: seconds(),
            hash_reads: Family::default(),
            secret_reads: Family::default(),
            seats: Gauge::default(),
            seats_taken: Gauge::default(),
            seats_refused: Counter::default(),
            gate_writes: Family::default(),
            gate_seconds: Histogram::new(FINE),
            gate_writes_failing: Family::default(),
            reconciles: Family::default(),
            reconcile_seconds: seconds(),
            status_writes: Counter::default(),
            leader: Gauge::default(),
            lease_attempts: Family::default(),
            events: Family::default(),
            shown: Mutex::default(),
            shown_conditions: Mutex::default(),
        };
        metrics.register_fleets();
        metrics.register_work();
        metrics
    }

    fn register_fleets(&mut self) {
        let (fleet, proven) = (self.fleet_tip.clone(), self.proven_tip.clone());
        self.count("fleet_tip_blocks", "Highest trusted tip of a set", fleet);
        self.count("proven_tip_blocks", "Highest trusted proven tip of a set", proven);
        let (max_lag, replicas) = (self.max_lag.clone(), self.replicas.clone());
        self.count("max_lag_blocks", "How far behind a replica of a set may be", max_lag);
        self.count("replicas", "Replicas that a set is to have", replicas);
        let (floor, ready) = (self.floor.clone(), self.ready.clone());
        self.count("floor_replicas", "Replicas that are to serve at least", floor);
        self.count("ready_replicas", "Replicas that are Ready, and so serve", ready);
        let conditions = self.conditions.clone();
        self.count("condition", "1 for a condition of a set that is True, 0 if it is False", conditions);
        let (lag, serves) = (self.lag.clone(), self.serves.clone());
        self.count("replica_lag_blocks", "Blocks a replica is behind what it was judged against", lag);
        self.count("replica_serves", "1 for a replica that is to serve, else 0, with the reason", serves);
        self.names.push(format!("{PREFIX}_{SAMPLE_AGE}_seconds"));
    }

    fn register_work(&mut self) {
        let (samples, primary) = (self.samples.clone(), self.primary_samples.clone());
        self.count("samples", "Requests for a follower's tips", samples);
        self.count("primary_samples", "Requests for a primary's tip", primary);
        let (hashes, secrets) = (self.hash_reads.clone(), self.secret_reads.clone());
        self.count("hash_reads", "Blocks read for their hashes from stores that answer none", hashes);
        self.count("secret_reads", "Readings of the Secrets that a primary is reached with", secrets);
        let (seats, taken, refused) =
            (self.seats.clone(), self.seats_taken.clone(), self.seats_refused.clone());
        self.count(
            "follower_connections_allowed",
            "Followers that may be asked, by the limit of open files",
            seats,
        );
        self.count("follower_connections", "Followers that are asked", taken);
        self.count("follower_connections_refused", "Attempts to ask one more than may be", refused);
        let (gates, reconciles) = (self.gate_writes.clone(), self.reconciles.clone());
        self.count("gate_writes", "Writes of the gate condition", gates);
        let failing = self.gate_writes_failing.clone();
        self.count("gate_writes_failing", "Gates of a set that cannot be written for more than 5 s", failing);
        self.count("reconciles", "Reconciliations of a set", reconciles);
        let status = self.status_writes.clone();
        self.count("status_writes", "Writes of a set's status", status);
        let (leader, attempts) = (self.leader.clone(), self.lease_attempts.clone());
        self.count("leader", "1 while this instance leads, else 0", leader);
        self.count("lease_attempts", "Attempts to take or to renew the lease", attempts);
        let events = self.events.clone();
        self.count("events", "Events that were published, spared or failed", events);
        let (sample, primary) = (self.sample_seconds.clone(), self.primary_sample_seconds.clone());
        self.time("sample", "From a request for a follower's tips to its end", sample);
        self.time("primary_sample", "From a request for a primary's tip to its end", primary);
        let (gate, reconcile) = (self.gate_seconds.clone(), self.reconcile_seconds.clone());
        self.time("verdict_to_gate", "From a verdict to the end of the write of its gate", gate);
        self.time("reconcile", "Duration of a reconciliation", reconcile);
    }

    fn count(&mut self, name: &str, help: &str, metric: impl Metric) {
        let suffix = if matches!(metric.metric_type(), MetricType::Counter) { "_total" } else { "" };
        self.names.push(format!("{PREFIX}_{name}{suffix}"));
        self.registry.register(name, help, metric);
    }

    fn time(&mut self, name: &str, help: &str, metric: Histogram) {
        self.names.push(format!("{PREFIX}_{name}_seconds"));
        self.registry.register_with_unit(name, help, Unit::Seconds, metric);
    }

    /// A follower was asked.
    pub fn sampled(&self, outcome: &'static str, took: Duration) {
        self.samples.get_or_create(&Outcome { outcome }).inc();
        self.sample_seconds.observe(took.as_secs_f64());
    }

    /// A primary was asked.
    pub fn primary_sampled(&self, outcome: &'static str, took: Duration) {
        self.primary_samples.get_or_create(&Outcome { outcome }).inc();
        self.primary_sample_seconds.observe(took.as_secs_f64());
    }

    /// A block of a follower or a primary was read for its hash.
    pub fn hash_read(&self, of: &'static str, outcome: &'static str) {
        self.hash_reads.get_or_create(&HashRead { of, outcome }).inc();
    }

    /// So many followers may be asked.
    pub fn seats(&self, limit: u64) {
        self.seats.set(i64::try_from(limit).unwrap_or(i64::MAX));
    }

    /// So many more followers are asked.
    pub fn seats_taken(&self, more: i64) {
        self.seats_taken.inc_by(more);
    }

    /// A follower is not asked, since too many are.
    pub fn seat_refused(&self) {
        self.seats_refused.inc();
    }

    /// The Secrets of a primary were read.
    pub fn secret_read(&self, outcome: &'static str) {
        self.secret_reads.get_or_create(&Outcome { outcome }).inc();
    }

    /// A gate was written, or not, so long after the verdict.
    pub fn gate_written(&self, outcome: &'static str, open: bool, took: Duration) {
        let gate = if open { "open" } else { "closed" };
        self.gate_writes.get_or_create(&Written { outcome, gate }).inc();
        // One that failed has not ended: the write that succeeds in the end counts from the same verdict.
        if outcome == "ok" {
            self.gate_seconds.observe(took.as_secs_f64());
        }
    }

    /// A set was reconciled.
    pub fn reconciled(&self, outcome: &'static str, took: Duration) {
        self.reconciles.get_or_create(&Outcome { outcome }).inc();
        self.reconcile_seconds.observe(took.as_secs_f64());
    }

    /// A status was written.
    pub fn status_written(&self) {
        self.status_writes.inc();
    }

    /// So many gates of a set cannot be written.
    pub fn gates_failing(&self, key: &SetKey, count: usize) {
        let set = Set { namespace: key.namespace.clone(), set: key.name.clone() };
        set_or_end(&self.gate_writes_failing, &set, u32::try_from(count).ok().filter(|count| *count > 0));
    }

    /// The lease was looked after.
    pub fn lease_attempted(&self, outcome: &'static str) {
        self.lease_attempts.get_or_create(&Outcome { outcome }).inc();
    }

    /// Whether this instance leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    /// An event was published, or not.
    pub fn event(&self, outcome: &'static str) {
        self.events.get_or_create(&Outcome { outcome }).inc();
    }

    /// A set was judged. Most judgements say what the one before said, and cost no more than seeing that.
    pub fn judged(&self, key: &SetKey, policy: &Policy, snapshot: &Snapshot) {
        let now = Shown::of(policy, snapshot);
        let mut shown = lock(&self.shown);
        if shown.get(key) != Some(&now) {
            let before = shown.insert(key.clone(), now.clone()).unwrap_or_default();
            self.show(key, &before, &now);
        }
    }

    /// A set's status was made. A condition that is Unknown is not shown.
    pub fn conditions(&self, key: &SetKey, conditions: &[Condition]) {
        let known = conditions.iter().filter(|condition| condition.status != "Unknown");
        let now: Vec<_> = known.map(|known| (Conditioned::of(key, known), known.status == "True")).collect();
        let mut shown = lock(&self.shown_conditions);
        let before = shown.insert(key.clone(), now.iter().map(|(labels, _)| labels.clone()).collect());
        for ended in before.iter().flatten().filter(|ended| !now.iter().any(|(kept, _)| kept == *ended)) {
            self.conditions.remove(ended);
        }
        for (labels, holds) in &now {
            self.conditions.get_or_create(labels).set((*holds).into());
        }
    }

    /// Ends the series of a set that is gone.
    pub fn forget(&self, key: &SetKey) {
        let mut shown = lock(&self.shown);
        if let Some(before) = shown.remove(key) {
            self.show(key, &before, &Shown::default());
        }
        let ended = lock(&self.shown_conditions).remove(key);
        for ended in ended.iter().flatten() {
            self.conditions.remove(ended);
        }
        let set = Set { namespace: key.namespace.clone(), set: key.name.clone() };
        self.gate_writes_failing.remove(&set);
    }

    fn show(&self, key: &SetKey, before: &Shown, now: &Shown) {
        let set = Set { namespace: key.namespace.clone(), set: key.name.clone() };
        set_or_end(&self.fleet_tip, &set, now.fleet_tip);
        set_or_end(&self.proven_tip, &set, now.proven_tip);
        set_or_end(&self.max_lag, &set, now.max_lag);
        set_or_end(&self.replicas, &set, now.wanted);
        set_or_end(&self.floor, &set, now.floor);
        set_or_end(&self.ready, &set, now.ready);
        for replica in before.replicas.iter().filter(|ended| !now.has(ended)) {
            self.serves.remove(&Reasoned::of(key, &replica.pod, replica.reason.as_str()));
            if !now.replicas.iter().any(|kept| kept.pod == replica.pod) {
                self.lag.remove(&Replica::of(key, &replica.pod));
            }
        }
        for replica in &now.replicas {
            let reasoned = Reasoned::of(key, &replica.pod, replica.reason.as_str());
            self.serves.get_or_create(&reasoned).set(replica.serves.into());
            set_or_end(&self.lag, &Replica::of(key, &replica.pod), replica.lag);
        }
    }

    /// The names of all metrics, also of those that have no value yet.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Everything, as a scraper reads it, with how old the latest answers of replicas are.
    ///
    /// # Errors
    /// None in practice: a string takes whatever is written.
    pub fn text(&self, ages: &[SampleAge]) -> Result<String, std::fmt::Error> {
        let family = Family::<Replica, Gauge<f64, AtomicU64>>::default();
        for SampleAge { set, pod, age } in ages {
            family.get_or_create(&Replica::of(set, pod)).set(age.as_secs_f64());
        }
        let mut measured = Registry::with_prefix(PREFIX);
        let help = "Since the latest answer of a replica with its tips";
        measured.register_with_unit(SAMPLE_AGE, help, Unit::Seconds, family);
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &measured)?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

/// How long ago the latest answer of a replica was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleAge {
    /// Its set.
    pub set: SetKey,
    /// Its pod.
    pub pod: PodName,
    /// How long ago.
    pub age: Duration,
}

impl Replica {
    fn of(set: &SetKey, pod: &PodName) -> Self {
        Self { namespace: set.namespace.clone(), set: set.name.clone(), pod: pod.to_string() }
    }
}

impl Reasoned {
    fn of(set: &SetKey, pod: &PodName, reason: &'static str) -> Self {
        let Replica { namespace, set, pod } = Replica::of(set, pod);
        Self { namespace, set, pod, reason }
    }
}

impl Conditioned {
    fn of(set: &SetKey, condition: &Condition) -> Self {
        Self {
            namespace: set.namespace.clone(),
            set: set.name.clone(),
            condition: condition.type_.clone(),
            reason: condition.reason.clone(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows a value; one that is unknown is not shown, rather than as it last was.
fn set_or_end<L: Clone + Eq + std::hash::Hash>(family: &Family<L, Gauge>, labels: &L, value: Option<u32>) {
    match value {
        Some(value) => drop(family.get_or_create(labels).set(value.into())),
        None => drop(family.remove(labels)),
    }
}

/// In seconds: by the millisecond up to 10 ms, by at most 5 ms up to 60 ms, so that 50 ms can be told from 45 and 55.
const FINE: [f64; 30] = [
    0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007, 0.008, 0.009, 0.010, 0.0125, 0.015, 0.0175, 0.020,
    0.025, 0.030, 0.035, 0.040, 0.045, 0.050, 0.055, 0.060, 0.080, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// 1 ms to 8 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 14))
}
