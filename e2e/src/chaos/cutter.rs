//! Cuts followers off from the primary at random moments and heals them again, so that there is real lag all the time.
//!
//! It asks no API server, and leaves the floor's worth of fresh followers in the Service: what is served stale then is
//! nobody's last resort.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{
    FLOOR,
    recorder::{Recorder, View},
};
use crate::{
    fault::{Cut, PodNetwork},
    scene::Scene,
    wait::LOOK_EVERY,
};

/// How many are cut off at a time.
pub(super) const MOST_CUT: usize = 2;
const PAUSE_MS: std::ops::Range<u64> = 200..2500;
const CUT_MS: std::ops::Range<u64> = 2500..8000;

pub(super) struct Cutter {
    view: View,
    networks: BTreeMap<String, PodNetwork>,
    primary: [String; 2],
    dice: StdRng,
    cut: BTreeMap<String, (Cut, Instant)>,
}

impl Cutter {
    pub(super) async fn new(scene: &Scene, recorder: &Recorder, dice: StdRng) -> Result<Self> {
        let mut networks = BTreeMap::new();
        for pod in scene.followers().await?.into_keys() {
            networks.insert(pod.clone(), PodNetwork::of(&scene.namespace, &pod)?);
        }
        let primary = scene.primary_addresses().await?;
        Ok(Self { view: recorder.view(), networks, primary, dice, cut: BTreeMap::new() })
    }

    /// Cuts and heals without end.
    pub(super) async fn run(&mut self) -> Result<()> {
        let mut next = Instant::now();
        loop {
            self.heal_those_due()?;
            if Instant::now() >= next && self.cut_one()? {
                next = Instant::now() + Duration::from_millis(self.dice.random_range(PAUSE_MS));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Cuts one off, if enough others are in the Service and fresh.
    fn cut_one(&mut self) -> Result<bool> {
        let well: Vec<_> = self.view.well().into_iter().filter(|name| !self.cut.contains_key(name)).collect();
        if self.cut.len() >= MOST_CUT || well.len() <= FLOOR {
            return Ok(false);
        }
        let Some(name) = well.choose(&mut self.dice) else { return Ok(false) };
        let cut = self.networks[name].cut_from(&self.primary)?;
        let heals = Instant::now() + Duration::from_millis(self.dice.random_range(CUT_MS));
        self.cut.insert(name.clone(), (cut, heals));
        Ok(true)
    }

    fn heal_those_due(&mut self) -> Result<()> {
        let now = Instant::now();
        let mut due = self.cut.extract_if(.., |_, (_, heals)| *heals <= now);
        due.try_for_each(|(_, (cut, _))| cut.heal())
    }

    /// Lets all packets pass again.
    pub(super) fn heal_all(&mut self) -> Result<()> {
        std::mem::take(&mut self.cut).into_values().try_for_each(|(cut, _)| cut.heal())
    }
}
