//! Judges a record: which endpoints were stale, which were lost, and whose doing it was. Pure.
//!
//! An endpoint is *stale* while it is ready in a slice of the read Service although it has been more than `maxLagBlocks`
//! behind, without a break, for longer than [`PATIENCE`]. Lag is the primary's tip minus the follower's own, both asked
//! directly, and an answer through the Service is stale by the same measure. A moment in an outage, or less than [`super::record::AFTERMATH`] after it, is *marked* with that victim.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use tidemark_report::percentile;

use super::{Victim, record::Record};

/// Twice the 1.5 s that 99 of 100 endpoints leave in: a percentile is no maximum, and this is one.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// What a record shows.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// How often a victim was killed.
    pub kills: usize,
    /// The longest time from a victim's death until it was well, and from then until it worked again.
    pub longest: (Duration, Duration),
    /// How often a follower that was served fell more than the threshold behind.
    pub crossings: usize,
    /// From each crossing that no marked moment touches to the follower's leaving.
    pub reactions: Vec<Duration>,
    /// Stale endpoints, by the victim whose windows they lie in: how many, and for how long together.
    pub stale: BTreeMap<Option<Victim>, Sum>,
    /// Reads through the Service, and whose windows they lie in.
    pub reads: BTreeMap<Option<Victim>, Reads>,
    /// Endpoints lost below the floor.
    pub lost: Vec<Lost>,
    /// The longest time for which a store was not heard.
    pub blind: Duration,
}

/// How often, and how long together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How often.
    pub count: usize,
    /// How long.
    pub time: Duration,
}

/// What readers got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// All of them.
    pub all: usize,
    /// Those whose answer the primary had passed by more than the threshold for longer than [`PATIENCE`].
    pub stale: usize,
    /// Those without an answer.
    pub failed: usize,
}

/// An endpoint lost when fewer than the floor were left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The follower.
    pub follower: String,
    /// Whose doing it was.
    pub by: Doer,
    /// In whose window.
    pub during: Option<Victim>,
}

/// Who took an endpoint away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doer {
    /// A gate was closed though fewer than the floor were left open and Ready.
    GateWrite,
    /// Its kubelet or its pod: the gate was open, or closed when there were enough others.
    KubeletOrPod,
}

/// A stretch of samples in which a follower was more than the threshold behind.
struct Run {
    crossed: Instant,
    samples: Vec<Instant>,
}

/// Judges a record.
#[must_use]
pub fn judge(record: &Record) -> Verdict {
    let mut verdict = Verdict {
        kills: record.outages.len(),
        longest: longest(record),
        reads: reads(record),
        lost: lost(record),
        blind: blind(record),
        ..Verdict::default()
    };
    let runs: BTreeMap<&str, Vec<Run>> =
        record.followers.iter().map(|(name, tips)| (name.as_str(), runs(record, tips))).collect();
    for (name, runs) in &runs {
        for run in runs.iter().filter(|run| record.serves(name, run.crossed)) {
            verdict.crossings += 1;
            let left = record.left(name, run.crossed).filter(|left| run.samples.last() >= Some(left));
            if let Some(left) = left.filter(|left| !record.touches(run.crossed, *left)) {
                verdict.reactions.push(left - run.crossed);
            }
        }
        runs.iter().for_each(|run| add_stale(record, name, run, &mut verdict.stale));
    }
    verdict
}

fn runs(record: &Record, tips: &[(Instant, u32)]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut lagging = false;
    for (at, tip) in tips {
        let crossed = record.passed(*tip).filter(|crossed| crossed <= at);
        match (crossed, runs.last_mut().filter(|_| lagging)) {
            (Some(_), Some(run)) => run.samples.push(*at),
            (Some(crossed), None) => runs.push(Run { crossed, samples: vec![*at] }),
            (None, _) => {}
        }
        lagging = crossed.is_some();
    }
    runs
}

/// Adds the stretches of a run in which it is a stale endpoint, each time the window changes as one.
fn add_stale(record: &Record, follower: &str, run: &Run, stale: &mut BTreeMap<Option<Victim>, Sum>) {
    let mut before: Option<(Instant, Option<Victim>)> = None;
    for at in run.samples.iter().copied() {
        let is_stale = at > run.crossed + PATIENCE && record.serves(follower, at);
        let now = is_stale.then(|| (at, record.during(at)));
        if let Some((at, during)) = now {
            let sum = stale.entry(during).or_default();
            match before.filter(|(_, same)| *same == during) {
                Some((since, _)) => sum.time += at - since,
                None => sum.count += 1,
            }
        }
        before = now;
    }
}

fn reads(record: &Record) -> BTreeMap<Option<Victim>, Reads> {
    let is_stale = |asked: Instant, tip| record.passed(tip).is_some_and(|passed| passed + PATIENCE < asked);
    let mut reads: BTreeMap<Option<Victim>, Reads> = BTreeMap::new();
    for read in &record.reads {
        let sum = reads.entry(record.during(read.asked)).or_default();
        sum.all += 1;
        match read.tip {
            None => sum.failed += 1,
            Some(tip) => sum.stale += usize::from(is_stale(read.asked, tip)),
        }
    }
    reads
}

fn lost(record: &Record) -> Vec<Lost> {
    let changes = record.served.windows(2);
    let below = changes.filter(|pair| pair[1].1.len() < record.floor);
    let each = below.flat_map(|pair| pair[0].1.difference(&pair[1].1).map(|follower| (pair[1].0, follower)));
    each.map(|(at, follower)| Lost {
        follower: follower.clone(),
        by: doer(record, follower, at),
        during: record.during(at),
    })
    .collect()
}

/// Who took away an endpoint that was seen to be gone at `gone`.
fn doer(record: &Record, follower: &str, gone: Instant) -> Doer {
    let known = record.pods.partition_point(|(at, _)| *at <= gone);
    let mut open = BTreeMap::new();
    let mut closed_with = None;
    for (_, pod) in &record.pods[..known] {
        let was_open = open.insert(pod.name.as_str(), (pod.open, pod.ready));
        if pod.name == follower && pod.open {
            closed_with = None;
        } else if pod.name == follower && was_open.is_none_or(|(open, _)| open) {
            closed_with = Some(open.values().filter(|both| **both == (true, true)).count());
        }
    }
    match closed_with {
        Some(others) if others < record.floor => Doer::GateWrite,
        _ => Doer::KubeletOrPod,
    }
}

fn longest(record: &Record) -> (Duration, Duration) {
    let outages = || record.outages.iter();
    let down = outages().map(|outage| outage.well - outage.from).max();
    (down.unwrap_or_default(), outages().map(|outage| outage.to - outage.well).max().unwrap_or_default())
}

/// The longest time between two answers of one store, and from the last answers to the end of the record.
fn blind(record: &Record) -> Duration {
    let stores = || record.followers.values().chain([&record.primary]);
    let end = stores().filter_map(|tips| tips.last()).map(|(at, _)| *at).max();
    let gap = |tips: &Vec<(Instant, u32)>| {
        let moments = tips.iter().map(|(at, _)| *at).chain(end);
        let later = moments.clone().skip(1);
        moments.zip(later).map(|(one, next)| next.saturating_duration_since(one)).max()
    };
    stores().map(gap).max().flatten().unwrap_or(Duration::MAX)
}

impl Verdict {
    /// How often `by` took an endpoint away below the floor.
    #[must_use]
    pub fn lost_by(&self, by: Doer) -> usize {
        self.lost.iter().filter(|lost| lost.by == by).count()
    }

    /// The stale endpoints and the stale reads of no victim's window.
    #[must_use]
    pub fn unexcused(&self) -> (usize, usize) {
        let stale = self.stale.get(&None).map_or(0, |sum| sum.count);
        (stale, self.reads.get(&None).map_or(0, |reads| reads.stale))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reaction = |percent| percentile(&self.reactions, percent).unwrap_or_default().as_millis();
        let (down, back) = (self.longest.0.as_secs_f64(), self.longest.1.as_secs_f64());
        writeln!(
            f,
            "  kills                       {}, down {down:.1} s and at work {back:.1} s later at most",
            self.kills
        )?;
        writeln!(
            f,
            "  crossings                   {}, of which {} unmarked",
            self.crossings,
            self.reactions.len()
        )?;
        writeln!(f, "  crossing → unready          p50 {} ms, p99 {} ms", reaction(50), reaction(99))?;
        for during in [None].into_iter().chain(Victim::ALL.map(Some)) {
            let stale = self.stale.get(&during).copied().unwrap_or_default();
            let reads = self.reads.get(&during).copied().unwrap_or_default();
            if (stale, reads) == Default::default() && during.is_some() {
                continue;
            }
            match during {
                None => writeln!(f, "  outside every window")?,
                Some(victim) => writeln!(f, "  while {victim} was down, and {AFTER} s after")?,
            }
            writeln!(
                f,
                "    stale endpoints           {}, {:.1} s together",
                stale.count,
                stale.time.as_secs_f64()
            )?;
            writeln!(
                f,
                "    reads                     {}: {} stale, {} without an answer",
                reads.all, reads.stale, reads.failed
            )?;
        }
        writeln!(
            f,
            "  lost below the floor        {} by a gate write, {} by kubelet or pod",
            self.lost_by(Doer::GateWrite),
            self.lost_by(Doer::KubeletOrPod)
        )?;
        write!(f, "  longest silence of a store  {} ms", self.blind.as_millis())
    }
}

const AFTER: u64 = super::record::AFTERMATH.as_secs();

#[cfg(test)]
mod tests;
