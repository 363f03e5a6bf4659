//! The story that Tidemark exists for: a follower is cut off from its primary, leaves the Service, and returns.
//!
//! Everything is seen from outside and told with moments; nothing here decides whether that is good enough.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::{
    fault::Cut,
    observe::{self, Gate, Observer, Read, ReadyPods},
    scene::{SET, Scene},
    wait,
};

/// How often the primary and the cut follower are asked for their tips.
const LOOK: Duration = Duration::from_millis(20);
/// How often the Service is read, each time on a new connection.
const READ_EVERY: Duration = Duration::from_millis(50);
/// So many fresh answers in a row say that the victim is asked no more. Each reader is sent to one of three at random, so
/// that one such row in five billion would be chance.
const FRESH_IN_A_ROW: usize = 55;
const CROSSED_WITHIN: Duration = Duration::from_secs(60);
const REACTED_WITHIN: Duration = Duration::from_secs(30);
const RETURNED_WITHIN: Duration = Duration::from_secs(60);

/// Everything that is watched while one follower is cut off.
pub struct Watch {
    scene: Scene,
    max_lag: u32,
    /// The follower that is cut off.
    pub victim: String,
    primary_addresses: [String; 2],
    /// The primary's tip.
    pub primary: Observer<u32>,
    /// The victim's tip, asked of it directly.
    pub direct: Observer<u32>,
    /// The victim's gate.
    pub gate: Observer<Gate>,
    /// The Service's ready pods, over all its slices.
    pub endpoints: Observer<ReadyPods>,
    /// What readers of the Service get.
    pub reads: Observer<Read>,
}

/// The moments of a cut, in the order in which they must come.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    /// The packets began to be dropped.
    pub cut: Instant,
    /// The victim was first more than the threshold behind.
    pub crossed: Instant,
    /// Its gate was seen False.
    pub gate_false: Instant,
    /// It was ready in no slice of the Service.
    pub unready: Instant,
}

/// What is seen happening to a follower that is cut off, as it happens.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// It is this many blocks behind.
    Lag(u32),
    /// It is more than the threshold behind, since that moment.
    Crossed(Instant),
    /// Its gate is False, so long after the crossing.
    GateFalse(Duration),
    /// It is ready in no slice of the Service, so long after the crossing.
    Unready(Duration),
}

impl Watch {
    /// Begins to watch, and waits until everything watched has been seen once.
    ///
    /// # Errors
    /// If something cannot be seen within half a minute.
    pub async fn begin(scene: &Scene, victim: &str, max_lag: u32) -> Result<Self> {
        let primary_addresses = scene.primary_addresses().await?;
        let followers = scene.followers().await?;
        let address = followers.get(victim).with_context(|| format!("there is no follower {victim}"))?;
        let primary = observe::tips(&primary_addresses[0], LOOK);
        let reads = observe::reads(&scene.service_ip(SET).await?, READ_EVERY, &primary.seen);
        let watch = Self {
            max_lag,
            victim: victim.to_owned(),
            direct: observe::tips(address, LOOK),
            gate: observe::gate(&scene.client, &scene.namespace, victim),
            endpoints: observe::endpoints(&scene.client, &scene.namespace, SET),
            reads,
            primary,
            primary_addresses,
            scene: scene.clone(),
        };
        wait::until("the follower to be in the Service", REACTED_WITHIN, async || watch.serving()).await?;
        Ok(watch)
    }

    /// Cuts the victim off from the primary.
    ///
    /// # Errors
    /// If the packets cannot be dropped.
    pub fn cut(&self) -> Result<(Cut, Instant)> {
        let cut = Cut::between(&self.scene.namespace, &self.victim, &self.primary_addresses)?;
        Ok((cut, Instant::now()))
    }

    /// How many blocks the victim is behind the primary now.
    #[must_use]
    pub fn lag(&self) -> Option<u32> {
        Some(self.primary.seen.last()?.saturating_sub(self.direct.seen.last()?))
    }

    /// Waits until the victim has crossed the threshold, its gate is False and no slice has it ready, and tells each
    /// step as it is seen.
    ///
    /// # Errors
    /// If one of the three does not happen in time.
    pub async fn left(&self, cut: Instant, mut tell: impl FnMut(Step)) -> Result<Moments> {
        let crossed = self.crossed(cut, &mut tell).await?;
        tell(Step::Crossed(crossed));
        let gate_false = wait::until("the gate to go False", REACTED_WITHIN, async || {
            let seen = self.gate.seen.first_since(crossed, |gate| gate.open == Some(false));
            seen.with_context(|| format!("last seen {:?}", self.gate.seen.last()))
        })
        .await?;
        tell(Step::GateFalse(gate_false - crossed));
        let unready = wait::until("every slice to have it unready", REACTED_WITHIN, async || {
            let gone = |ready: &ReadyPods| !ready.contains(&self.victim);
            let seen = self.endpoints.seen.first_since(crossed, gone);
            seen.with_context(|| format!("{:?}", self.endpoints.seen.last()))
        })
        .await?;
        tell(Step::Unready(unready - crossed));
        Ok(Moments { cut, crossed, gate_false, unready })
    }

    /// Waits until readers are sent to the victim no more, which kube-proxy sees to a while after no slice has it ready.
    ///
    /// # Errors
    /// If readers still reach it after half a minute.
    pub async fn routed_around(&self) -> Result<Instant> {
        let from = Instant::now();
        wait::until("readers to be sent to fresh followers alone", REACTED_WITHIN, async || {
            let mut reads = self.reads.seen.all();
            reads.retain(|(_, read)| read.asked >= from);
            let fresh = |read: &Read| read.lag().is_some_and(|lag| lag <= self.max_lag);
            let row = reads.iter().rev().take_while(|(_, read)| fresh(read)).count();
            ensure!(row >= FRESH_IN_A_ROW, "{row} of {} reads since were fresh in a row", reads.len());
            Ok(Instant::now())
        })
        .await
    }

    async fn crossed(&self, cut: Instant, tell: &mut impl FnMut(Step)) -> Result<Instant> {
        let mut told = None;
        wait::until("the lag to cross the threshold", CROSSED_WITHIN, async || {
            let lag = self.lag();
            if let Some(lag) = lag.filter(|_| lag != told) {
                tell(Step::Lag(lag));
                told = Some(lag);
            }
            ensure!(lag > Some(self.max_lag), "lag is {lag:?}");
            self.crossed_at(cut).context("the crossing was not seen")
        })
        .await
    }

    /// The moment since `cut` at which the primary was first seen beyond the victim's last tip and the threshold.
    fn crossed_at(&self, cut: Instant) -> Option<Instant> {
        let stuck_at = self.direct.seen.last()?;
        self.primary.seen.first_since(cut, |tip| *tip > stuck_at + self.max_lag)
    }

    /// Waits until the victim is in the Service again, after the cut was healed at `healed`.
    ///
    /// # Errors
    /// If it does not come back within a minute.
    pub async fn returned(&self, healed: Instant) -> Result<Instant> {
        wait::until("the follower to return to the Service", RETURNED_WITHIN, async || {
            let back = |ready: &ReadyPods| ready.contains(&self.victim);
            let at = self.endpoints.seen.first_since(healed, back);
            at.with_context(|| format!("lag {:?}, gate {:?}", self.lag(), self.gate.seen.last()))
        })
        .await
    }

    /// The reads asked since `since` whose answers were more than the threshold behind.
    #[must_use]
    pub fn stale_reads(&self, since: Instant) -> Vec<Read> {
        let all = self.reads.seen.all().into_iter().map(|(_, read)| read);
        all.filter(|read| read.asked >= since && read.lag() > Some(self.max_lag)).collect()
    }

    /// The reads asked since `since` that got no answer.
    #[must_use]
    pub fn failed_reads(&self, since: Instant) -> Vec<Read> {
        let all = self.reads.seen.all().into_iter().map(|(_, read)| read);
        all.filter(|read| read.asked >= since && read.answer.is_err()).collect()
    }

    /// How many answers the victim itself gave since `crossed` that were more than the threshold behind.
    #[must_use]
    pub fn stale_direct(&self, crossed: Instant) -> usize {
        let Some(limit) = self.primary_tip_at(crossed).map(|tip| tip.saturating_sub(self.max_lag)) else {
            return 0;
        };
        self.direct.seen.all().into_iter().filter(|(at, tip)| *at >= crossed && *tip < limit).count()
    }

    fn primary_tip_at(&self, moment: Instant) -> Option<u32> {
        self.primary.seen.all().into_iter().find(|(at, _)| *at >= moment).map(|(_, tip)| tip)
    }

    fn serving(&self) -> Result<()> {
        let ready = self.endpoints.seen.last().context("no slice seen")?;
        ensure!(ready.contains(&self.victim), "ready are {ready:?}");
        ensure!(self.gate.seen.last().is_some(), "no pod seen");
        ensure!(self.lag().is_some_and(|lag| lag <= self.max_lag), "lag is {:?}", self.lag());
        ensure!(self.reads.seen.last().is_some(), "no read yet");
        Ok(())
    }
}
