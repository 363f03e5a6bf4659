//! Chaos: a victim is killed at random moments while followers fall behind and return, and all is recorded from outside.
//!
//! What happened is [`record`], what it means is [`verdict`], which is pure; the rest makes it happen.

use std::{env, fmt, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;

use crate::scene::{Primary, Scene};

mod canary;
mod cutter;
pub mod record;
mod recorder;
mod strike;
pub mod verdict;

use canary::Canary;
use cutter::Cutter;
use recorder::Recorder;
use verdict::{Doer, Verdict};

const MAX_LAG: u32 = 2;
const FLOOR: usize = 2;
/// The floor is met by followers that are not cut off, and one more than it may be cut off while two wait to return.
const FOLLOWERS: usize = FLOOR + cutter::MOST_CUT + 1;
const SETTLED_WITHIN: Duration = Duration::from_secs(120);
/// No store may go unheard for as long, or the record says nothing.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Victim {
    /// The operator that leads.
    Operator,
    /// The API server.
    ApiServer,
    /// The kubelet of one node.
    Kubelet,
}

impl Victim {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Operator, Self::ApiServer, Self::Kubelet];
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "the operator",
            Self::ApiServer => "the API server",
            Self::Kubelet => "a kubelet",
        })
    }
}

/// How long, and by which dice.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Who is killed, again and again.
    pub victim: Victim,
    /// For how long.
    pub length: Duration,
    /// What all random choices follow from.
    pub seed: u64,
}

impl Plan {
    /// As `TIDEMARK_CHAOS_SECONDS` (90) and `TIDEMARK_CHAOS_SEED` (another one each time) say.
    ///
    /// # Errors
    /// If one of them is no number.
    pub fn of_environment(victim: Victim) -> Result<Self> {
        let seconds = number("TIDEMARK_CHAOS_SECONDS")?.unwrap_or(90);
        let seed = number("TIDEMARK_CHAOS_SEED")?.unwrap_or_else(rand::random);
        Ok(Self { victim, length: Duration::from_secs(seconds), seed })
    }
}

fn number(variable: &str) -> Result<Option<u64>> {
    let Ok(text) = env::var(variable) else { return Ok(None) };
    Ok(Some(text.parse().with_context(|| format!("{variable}={text} is not a number"))?))
}

/// Kills the victim at random moments under load, and says what was seen meanwhile.
///
/// # Errors
/// If something cannot be killed, seen or brought back, or if the fleet is not well again at the end.
pub async fn play(scene: &Scene, plan: Plan) -> Result<Verdict> {
    println!(
        "chaos: {} dies for {} s; TIDEMARK_CHAOS_SEED={}",
        plan.victim,
        plan.length.as_secs(),
        plan.seed
    );
    start(scene).await?;
    let mut dice = StdRng::seed_from_u64(plan.seed);
    let canary = Canary::start(scene).await?;
    let recorder = Recorder::begin(scene, MAX_LAG, FLOOR).await?;
    let mut cutter = Cutter::new(scene, &recorder, StdRng::seed_from_u64(dice.random())).await?;
    let outages = tokio::select! {
        outages = strike::again_and_again(scene, &canary, plan, dice) => outages?,
        stopped = cutter.run() => return Err(stopped.expect_err("it runs until it fails")),
    };
    cutter.heal_all()?;
    scene.in_sync(SETTLED_WITHIN).await.context("the fleet is not well again")?;
    strike::all_well(scene).await?;
    Ok(verdict::judge(&recorder.end(outages)))
}

async fn start(scene: &Scene) -> Result<()> {
    let primary = Primary::Native { body_size: "1KiB" };
    scene.start_primary(&primary, "250ms").await?;
    let spec = json!({"replicas": FOLLOWERS, "health": {"maxLagBlocks": MAX_LAG, "minServing": FLOOR}});
    scene.apply_fleet_with(&primary, &json!({ "spec": spec }))?;
    scene.in_sync(SETTLED_WITHIN).await
}

/// Holds a verdict against what is promised.
///
/// # Errors
/// The first promise that was broken, or that nothing happened by which it could have been.
pub fn check(verdict: &Verdict) -> Result<()> {
    let (endpoints, reads) = verdict.unexcused();
    ensure!(verdict.blind < HEARD_WITHIN, "a store was not heard for {:?}", verdict.blind);
    ensure!(verdict.kills > 1, "killed {} times only", verdict.kills);
    ensure!(verdict.reactions.len() > 3, "too few followers fell behind outside the marked windows");
    ensure!(endpoints == 0, "{endpoints} stale endpoints while nothing was down");
    ensure!(reads == 0, "{reads} stale reads while nothing was down");
    let lost = verdict.lost_by(Doer::GateWrite);
    ensure!(lost == 0, "{lost} endpoints were lost below the floor by a gate write: {:?}", verdict.lost);
    Ok(())
}
