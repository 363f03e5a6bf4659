//! `make demo`: the whole path on a real cluster, told line by line.

use std::{
    net::SocketAddr,
    sync::LazyLock,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{
    chain, install,
    observe::Read,
    prometheus::Prometheus,
    rpc,
    scene::{Primary, SET, Scene},
    story::{Moments, Step, Watch},
    target::Target,
    wait,
};

/// The namespace that the demo leaves behind to be looked around in.
pub const NAMESPACE: &str = "tidemark-demo";

const MAX_LAG: u32 = 2;
const INTERVAL: &str = "500ms";
/// How long after the crossing readers may still meet the lagging follower.
const STALE_WITHIN: Duration = Duration::from_secs(3);
/// How long the fault lasts after that, for the readers to show that they meet it no more.
const QUIET_FOR: Duration = Duration::from_secs(4);
const ENOUGH_STALE_DIRECT: usize = 20;
/// More than the genesis of each follower.
const ENOUGH_COMPARED: usize = 4;
const RETURNED_WITHIN: Duration = Duration::from_secs(30);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What the demo found, for its closing lines and for the test that asserts it.
#[derive(Debug)]
pub struct Outcome {
    /// The follower that was cut off.
    pub victim: String,
    /// Blocks of all followers that were compared with the file.
    pub compared: usize,
    /// From the crossing on.
    pub moments: Moments,
    /// Reads through the Service since the crossing.
    pub reads: usize,
    /// Those more than the threshold behind.
    pub stale: Vec<Read>,
    /// Those that got no answer at all.
    pub failed: usize,
    /// Stale answers that the cut follower gave when asked directly.
    pub stale_direct: usize,
    /// From the healing of the fault to the follower's return.
    pub returned_after: Duration,
}

/// Runs the demo and prints it.
///
/// # Errors
/// If anything that it is meant to show did not happen.
pub async fn run(target: &Target, prometheus: Option<SocketAddr>) -> Result<()> {
    ensure!(target.node_access, "the demo cuts a pod's network and so needs the local cluster");
    LazyLock::force(&START);
    say("installing the operator with kubectl and helm");
    install::operator(target)?;
    say(&format!(
        "starting a primary that replays the recorded chain, a block every {INTERVAL}, in {NAMESPACE}"
    ));
    let scene = Scene::set(target, NAMESPACE).await?;
    let watching = match prometheus {
        Some(address) => Some(Prometheus::start_at(&scene.client, address, Some((NAMESPACE, SET))).await?),
        None => None,
    };
    let outcome = play(&scene, say).await?;
    summary(&outcome);
    check(&outcome)?;
    if let Some(watching) = watching {
        println!("\nuntil Ctrl-C:   {}/consoles/dashboard.html and {0}/alerts", watching.url());
        tokio::signal::ctrl_c().await?;
    }
    Ok(())
}

/// Plays the story in an empty namespace.
///
/// # Errors
/// If a step does not happen in time.
pub async fn play(scene: &Scene, say: impl Fn(&str)) -> Result<Outcome> {
    scene.start_primary(&Primary::Replay, INTERVAL).await?;
    say(&format!("applying a StoreReplicaSet of 3, maxLagBlocks {MAX_LAG}"));
    scene.apply_fleet(&Primary::Replay)?;
    scene.in_sync(Duration::from_secs(120)).await?;
    say("all 3 replicas are in sync");
    let compared = compare_all(scene, &say).await?;
    let victim = format!("{SET}-1");
    let watch = Watch::begin(scene, &victim, MAX_LAG).await?;
    let (cut, at) = watch.cut()?;
    say(&format!("cut {victim} off from the primary: its packets are dropped in its own network namespace"));
    let moments = watch.left(at, |step| say(&in_words(step, &victim, at))).await?;
    let (reads, stale) = quiet(&watch, &moments).await?;
    let stale_direct = watch.stale_direct(moments.crossed);
    let failed = watch.failed_reads(moments.crossed).len();
    cut.heal()?;
    let healed = Instant::now();
    say(&format!("healed the fault; {victim} is {} blocks behind", watch.lag().unwrap_or_default()));
    let returned_after = watch.returned(healed).await?.duration_since(healed);
    say(&format!("{victim} is ready in the Service again, {} after the healing", seconds(returned_after)));
    Ok(Outcome { victim, compared, moments, reads, stale, failed, stale_direct, returned_after })
}

/// Compares every block of every follower, from genesis to its tip, with the recorded file.
async fn compare_all(scene: &Scene, say: &impl Fn(&str)) -> Result<usize> {
    let recorded = chain::blocks()?;
    let mut compared = 0;
    for (name, address) in scene.followers().await? {
        let channel = rpc::connect(&address).await?;
        let tip = rpc::published_tip(channel.clone()).await?;
        ensure!(usize::try_from(tip)? < recorded.len(), "{name} has block {tip}, which was never recorded");
        for (number, expected) in (0..=tip).zip(&recorded) {
            let (block, _) = rpc::block(channel.clone(), number).await?;
            ensure!(
                block.as_ref() == Some(expected),
                "block {number} of {name} differs from the recorded one"
            );
            compared += 1;
        }
        say(&format!("{name}: blocks 0 to {tip} are byte for byte those of the recorded chain"));
    }
    Ok(compared)
}

fn in_words(step: Step, victim: &str, cut: Instant) -> String {
    match step {
        Step::Lag(1) => format!("{victim} is 1 block behind"),
        Step::Lag(lag) => format!("{victim} is {lag} blocks behind"),
        Step::Crossed(at) => {
            format!("that is more than maxLagBlocks, crossed {} after the cut", seconds(at - cut))
        }
        Step::GateFalse(after) => {
            format!("gate tidemark.dev/in-sync of {victim} is False, {} after the crossing", seconds(after))
        }
        Step::Unready(after) => {
            format!(
                "{victim} is ready in no EndpointSlice of Service {SET}, {} after the crossing",
                seconds(after)
            )
        }
    }
}

/// Lets the fault last until readers had time to meet it, and returns the reads since the crossing, all and stale.
async fn quiet(watch: &Watch, moments: &Moments) -> Result<(usize, Vec<Read>)> {
    let end = moments.crossed + STALE_WITHIN + QUIET_FOR;
    wait::until("readers to have met the fault", Duration::from_secs(30), async || {
        let last = watch.reads.seen.last();
        ensure!(last.is_some_and(|read| read.asked >= end), "reads go on");
        Ok(())
    })
    .await?;
    let reads = watch.reads.seen.all().into_iter().filter(|(_, read)| read.asked >= moments.crossed).count();
    Ok((reads, watch.stale_reads(moments.crossed)))
}

fn summary(outcome: &Outcome) {
    let Outcome { victim, compared, moments, reads, stale, failed, stale_direct, returned_after } = outcome;
    let after = |at: Instant| seconds(at.duration_since(moments.crossed));
    let last = stale.iter().map(|read| read.asked).max().map_or_else(|| "none".to_owned(), after);
    println!("\nsummary");
    println!("  blocks compared with the recorded chain     {compared}");
    println!("  lag crossed {MAX_LAG} → gate False                  {}", after(moments.gate_false));
    println!("  lag crossed {MAX_LAG} → unready in every slice      {}", after(moments.unready));
    println!("  reads through the Service since the crossing {reads}, of which without an answer {failed}");
    println!(
        "  … more than {MAX_LAG} blocks behind                 {}, the last one {last} after the crossing",
        stale.len()
    );
    println!("  stale answers of {victim} asked directly  {stale_direct}");
    println!("  healed → back in the Service                 {}", seconds(*returned_after));
    println!("\nlook around:   eval \"$(make -s cluster-env)\"");
    println!("               kubectl -n {NAMESPACE} get storereplicasets,pods,endpointslices");
    println!("               kubectl -n {NAMESPACE} describe storereplicaset {SET}");
    println!("tear down:     make cluster-down");
}

/// Holds what was found against what the demo promises.
///
/// # Errors
/// The first promise that was broken.
pub fn check(outcome: &Outcome) -> Result<()> {
    let Outcome { moments, stale, stale_direct, failed, compared, returned_after, .. } = outcome;
    ensure!(
        *compared >= ENOUGH_COMPARED,
        "only {compared} blocks of all followers were compared with the file"
    );
    ensure!(
        moments.crossed > moments.cut && moments.gate_false > moments.crossed,
        "the gate did not follow the crossing, nor that the cut: {moments:?}"
    );
    let late = stale.iter().filter(|read| read.asked > moments.crossed + STALE_WITHIN).count();
    ensure!(
        late == 0,
        "{late} stale answers were given later than {} after the crossing",
        seconds(STALE_WITHIN)
    );
    ensure!(
        *stale_direct >= ENOUGH_STALE_DIRECT,
        "only {stale_direct} stale answers came from the cut follower itself: the fault was not real"
    );
    ensure!(*failed == 0, "{failed} reads through the Service got no answer though two replicas were fresh");
    ensure!(
        *returned_after < RETURNED_WITHIN,
        "the follower returned {} after the healing only",
        seconds(*returned_after)
    );
    Ok(())
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

/// Prints a line with the time since the start and the wall clock's.
fn say(line: &str) {
    println!(
        "{} {:7.2} s  {line}",
        jiff::Zoned::now().strftime("%H:%M:%S%.3f"),
        START.elapsed().as_secs_f64()
    );
}
