//! Sees everything that a record holds, from outside and at a high rate.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::record::{Outage, PodSeen, ReadSeen, Record};
use crate::{
    observe::{self, Gate, Observer, Read, ReadyPods},
    scene::{SET, Scene},
    wait,
};

/// How often each store is asked for its tip.
const LOOK: Duration = Duration::from_millis(40);
/// How often the Service is read, each time on a new connection.
const READ_EVERY: Duration = Duration::from_millis(50);
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// Sees what happens until it is ended.
pub(super) struct Recorder {
    max_lag: u32,
    floor: usize,
    primary: Observer<u32>,
    followers: BTreeMap<String, Observer<u32>>,
    endpoints: Observer<ReadyPods>,
    gates: Observer<(String, Gate)>,
    reads: Observer<Read>,
}

/// What somebody who cuts followers off must know of them, as it is seen now.
#[derive(Clone)]
pub(super) struct View {
    followers: BTreeMap<String, observe::Timeline<u32>>,
    primary: observe::Timeline<u32>,
    endpoints: observe::Timeline<ReadyPods>,
    max_lag: u32,
}

impl Recorder {
    /// Begins, and waits until every follower is seen serving.
    pub(super) async fn begin(scene: &Scene, max_lag: u32, floor: usize) -> Result<Self> {
        let [primary, _] = scene.primary_addresses().await?;
        let primary = observe::tips(&primary, LOOK);
        let reads = observe::reads(&scene.service_ip(SET).await?, READ_EVERY, &primary.seen);
        let followers = scene.followers().await?.into_iter();
        let recorder = Self {
            max_lag,
            floor,
            followers: followers.map(|(name, address)| (name, observe::tips(&address, LOOK))).collect(),
            endpoints: observe::endpoints(&scene.client, &scene.namespace, SET),
            gates: observe::gates(&scene.client, &scene.namespace, SET),
            reads,
            primary,
        };
        let view = recorder.view();
        wait::until("every follower to be seen serving", SEEN_WITHIN, async || {
            ensure!(view.well().len() == recorder.followers.len(), "{:?} are", view.well());
            recorder.reads.seen.last().context("no read yet")?;
            recorder.gates.seen.last().context("no gate yet").map(drop)
        })
        .await?;
        Ok(recorder)
    }

    pub(super) fn view(&self) -> View {
        let followers = self.followers.iter().map(|(name, tips)| (name.clone(), tips.seen.clone()));
        View {
            followers: followers.collect(),
            primary: self.primary.seen.clone(),
            endpoints: self.endpoints.seen.clone(),
            max_lag: self.max_lag,
        }
    }

    /// Ends, with what was seen and when victims were down.
    pub(super) fn end(self, outages: Vec<Outage>) -> Record {
        let pod =
            |(name, gate): (String, Gate)| PodSeen { name, open: gate.open == Some(true), ready: gate.ready };
        let mut reads: Vec<_> = self.reads.seen.all().into_iter().map(|(_, read)| read).collect();
        reads.sort_by_key(|read| read.asked);
        Record {
            max_lag: self.max_lag,
            floor: self.floor,
            primary: self.primary.seen.all(),
            followers: self.followers.iter().map(|(name, tips)| (name.clone(), tips.seen.all())).collect(),
            served: self
                .endpoints
                .seen
                .all()
                .into_iter()
                .map(|(at, pods)| (at, pods.into_iter().collect()))
                .collect(),
            pods: self.gates.seen.all().into_iter().map(|(at, seen)| (at, pod(seen))).collect(),
            reads: reads
                .into_iter()
                .map(|read| ReadSeen { asked: read.asked, tip: read.answer.ok() })
                .collect(),
            outages,
        }
    }
}

impl View {
    /// The followers that are served and not behind.
    pub(super) fn well(&self) -> Vec<String> {
        let (served, truth) = (self.endpoints.last().unwrap_or_default(), self.primary.last());
        let fresh = |tip: u32| truth.is_some_and(|truth| truth <= tip + self.max_lag);
        let well = |(name, tips): &(&String, &observe::Timeline<u32>)| {
            served.contains(name) && tips.last().is_some_and(fresh)
        };
        self.followers.iter().filter(well).map(|(name, _)| name.clone()).collect()
    }
}
