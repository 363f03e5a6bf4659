//! What was seen while victims died: data alone, which [`super::verdict`] judges.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::Victim;

/// How long after a victim is back what happens may still be of its absence.
pub const AFTERMATH: Duration = Duration::from_secs(5);

/// Everything recorded, each list in the order in which it was seen.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// `maxLagBlocks`.
    pub max_lag: u32,
    /// `minServing`.
    pub floor: usize,
    /// The primary's tip, asked of it directly.
    pub primary: Vec<(Instant, u32)>,
    /// Each follower's own tip, asked of it directly.
    pub followers: BTreeMap<String, Vec<(Instant, u32)>>,
    /// The pods that are ready in any slice of the read Service. Without an API server nothing can change them.
    pub served: Vec<(Instant, BTreeSet<String>)>,
    /// Changes of pods: name, whether the gate is open, whether kubelet says Ready.
    pub pods: Vec<(Instant, PodSeen)>,
    /// Reads through the Service.
    pub reads: Vec<ReadSeen>,
    /// When victims were down.
    pub outages: Vec<Outage>,
}

/// A pod as its status showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSeen {
    /// Its name.
    pub name: String,
    /// Whether its gate is open.
    pub open: bool,
    /// Whether kubelet says that it is Ready.
    pub ready: bool,
}

/// A read through the Service.
#[derive(Clone, Copy, Debug)]
pub struct ReadSeen {
    /// When it was asked.
    pub asked: Instant,
    /// The tip that was answered; None without an answer.
    pub tip: Option<u32>,
}

/// A victim that was down.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    /// Which.
    pub victim: Victim,
    /// When it was killed.
    pub from: Instant,
    /// When it said that it was well.
    pub well: Instant,
    /// When it worked again: another operator led, or Kubernetes carried a pod's condition to the routes of a Service.
    pub to: Instant,
}

impl Record {
    /// The victim in whose outage, or the aftermath of it, a moment lies.
    #[must_use]
    pub fn during(&self, moment: Instant) -> Option<Victim> {
        let within = |outage: &&Outage| outage.from <= moment && moment <= outage.to + AFTERMATH;
        self.outages.iter().find(within).map(|outage| outage.victim)
    }

    /// Whether any part of a span lies in a marked window.
    #[must_use]
    pub fn touches(&self, from: Instant, to: Instant) -> bool {
        self.outages.iter().any(|outage| outage.from <= to && from <= outage.to + AFTERMATH)
    }

    /// When the primary was first seen more than the threshold above a tip: whoever has that tip lags since then.
    #[must_use]
    pub fn passed(&self, tip: u32) -> Option<Instant> {
        let reached = self.primary.partition_point(|(_, truth)| truth.saturating_sub(tip) <= self.max_lag);
        self.primary.get(reached).map(|(at, _)| *at)
    }

    /// Whether a follower is served at a moment.
    #[must_use]
    pub fn serves(&self, follower: &str, moment: Instant) -> bool {
        latest(&self.served, moment).is_some_and(|served| served.contains(follower))
    }

    /// When a follower was first seen not served, from a moment on.
    #[must_use]
    pub fn left(&self, follower: &str, since: Instant) -> Option<Instant> {
        let gone = |(at, served): &&(Instant, BTreeSet<String>)| *at >= since && !served.contains(follower);
        self.served.iter().find(gone).map(|(at, _)| *at)
    }
}

/// What was last seen by a moment.
fn latest<T>(seen: &[(Instant, T)], moment: Instant) -> Option<&T> {
    let known = seen.partition_point(|(at, _)| *at <= moment);
    seen[..known].last().map(|(_, value)| value)
}
