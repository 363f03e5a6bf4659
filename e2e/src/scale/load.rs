//! What an operator with thousands of followers holds, uses and writes while nobody crosses a threshold.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tidemark_report::{Figure, Goal};

use super::{
    audit::Writes,
    crowd::Report,
    world::{Size, World},
};

const FOLLOWERS_PER_SET: u32 = 10;
const BLOCKS: Duration = Duration::from_secs(3);
/// An operator that was started tries all sets once more, a few at a time, between refreshes of statuses: it has done so when
/// it wrote nothing else for longer than a round of these takes. Then statuses have nothing to tell but movement, too.
const QUIET: Duration = Duration::from_secs(45);
const QUIET_WITHIN: Duration = Duration::from_secs(600);
/// A multiple of the 30 s between two refreshes of a status.
const WINDOW: Duration = Duration::from_secs(60);
const REFRESHES: f64 = 2.0;
const STATUS: &str = "patch storereplicasets/status";
const LEASE: &str = " leases";
const POLL: Duration = Duration::from_secs(1);

/// What was seen while nothing happened but blocks.
struct Window {
    seconds: f64,
    cpu: f64,
    /// How long the threads of the operator and of the crowd waited for a core.
    waited: [Duration; 2],
    writes: Writes,
    asked: Report,
}

pub(super) async fn measure(followers: u32) -> Result<Vec<Figure>> {
    ensure!(
        followers >= FOLLOWERS_PER_SET && followers.is_multiple_of(FOLLOWERS_PER_SET),
        "ten followers a set"
    );
    let size = Size { sets: followers / FOLLOWERS_PER_SET, followers: FOLLOWERS_PER_SET, blocks: BLOCKS };
    let mut world = World::start(size).await?;
    let name = |what: &str| format!("scale_{followers}_{what}");
    let mut figures = Vec::new();

    world.start_operator().await?;
    tokio::time::sleep(POLL).await;
    let empty = world.operator()?.memory("VmRSS")?;
    let took = world.populate().await?;
    let first = world.operator()?;
    figures.push(Figure::new(&name("populate"), took.as_secs_f64(), "s", None));
    figures.push(Figure::new(&name("populate_cpu"), first.cpu()?, "CPU s", None));
    let first_peak = first.memory("VmHWM")?;

    let begun = Instant::now();
    world.start_operator().await?;
    world.all_in().await?;
    figures.push(Figure::new(&name("restart"), begun.elapsed().as_secs_f64(), "s", None));
    figures.push(Figure::new(&name("restart_cpu"), world.operator()?.cpu()?, "CPU s", None));
    let applied = quiet(&mut world, begun).await?;
    figures.push(Figure::new(&name("restart_applied"), applied.as_secs_f64(), "s", None));

    let window = watch(&mut world).await?;
    let operator = world.operator()?;
    let (peak, now) = (operator.memory("VmHWM")?.max(first_peak), operator.memory("VmRSS")?);
    figures.push(Figure::new(&name("peak_while_made"), first_peak / 1024.0, "MiB", None));
    let each = (now - empty) * 1024.0 / f64::from(followers);
    figures.push(Figure::new(&name("peak_memory"), peak / 1024.0, "MiB", Some(Goal::AtMost(250.0))));
    figures.push(Figure::new(&name("resident"), now / 1024.0, "MiB", None));
    figures.push(Figure::new(&name("bytes_per_follower"), each, "bytes", None));
    figures.extend(window.figures(size, name));
    Ok(figures)
}

/// Waits until all sets were applied, and returns when the last one was, counted from `begun`.
async fn quiet(world: &mut World, begun: Instant) -> Result<Duration> {
    let mut wrote = begun;
    while wrote.elapsed() < QUIET {
        ensure!(
            begun.elapsed() < QUIET_WITHIN,
            "the operator goes on applying objects though nothing changes"
        );
        tokio::time::sleep(POLL).await;
        if others(&world.audit.writes()?) > 0 {
            wrote = Instant::now();
        }
    }
    Ok(wrote.duration_since(begun))
}

/// What is neither a status nor the lease.
fn others(writes: &Writes) -> usize {
    let others = writes.iter().filter(|(write, _)| *write != STATUS && !write.ends_with(LEASE));
    others.map(|(_, count)| count).sum()
}

async fn watch(world: &mut World) -> Result<Window> {
    world.audit.writes()?;
    world.crowd.report().await?;
    let waits = |world: &World| anyhow::Ok([world.operator()?.waited()?, world.crowd.waited()?]);
    let (begun, before, waited) = (Instant::now(), world.operator()?.cpu()?, waits(world)?);
    tokio::time::sleep(WINDOW).await;
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), world.operator()?.cpu()? - before);
    let after = waits(world)?;
    let waited = [0, 1].map(|who: usize| after[who].saturating_sub(waited[who]));
    let (writes, asked) = (world.audit.writes()?, world.crowd.report().await?);
    let window = Window { seconds, cpu, waited, writes, asked };
    eprintln!("{:?}; {:?}", window.writes, window.asked);
    Ok(window)
}

impl Window {
    fn figures(&self, size: Size, name: impl Fn(&str) -> String) -> Vec<Figure> {
        let status = self.writes.get(STATUS).copied().unwrap_or_default();
        let other = others(&self.writes);
        let each = number(status) / f64::from(size.sets) / REFRESHES;
        let samples = self.asked.followers_asked;
        let at_most = |goal| Some(Goal::AtMost(goal));
        let judged =
            |milliseconds: u32, goal: Option<Duration>| (Duration::from_millis(milliseconds.into()), goal);
        let (p99, _) = judged(self.asked.judged_p99, None);
        let (max, goal) = judged(self.asked.judged_max.max(self.asked.waiting_max), Some(2 * POLL));
        vec![
            Figure::new(&name("cores"), self.cpu / self.seconds, "cores", at_most(1.0)),
            Figure::new(&name("waited_for_a_core"), self.waited[0].as_secs_f64(), "s in 60 s", None),
            Figure::new(&name("crowd_waited"), self.waited[1].as_secs_f64(), "s in 60 s", None),
            Figure::new(&name("samples"), samples as f64 / self.seconds, "a second", None),
            Figure::new(&name("cpu_per_sample"), self.cpu * 1e6 / samples as f64, "us", None),
            Figure::new(&name("writes"), number(other), "in 60 s", at_most(0.0)),
            Figure::new(&name("status_writes_per_set"), each, "in 30 s", at_most(1.0)),
            Figure::milliseconds(&name("judged_p99"), p99, None),
            Figure::milliseconds(&name("judged_max"), max, goal),
        ]
    }
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
