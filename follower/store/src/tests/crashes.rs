//! Seeded random workloads, crashed at every write and sync, with what was not synced kept, lost or torn, and crashed
//! again while they recover.
//!
//! `TIDEMARK_CRASH_REOPENINGS` asks for that many reopenings instead of some seconds' worth; `TIDEMARK_CRASH_SEED`
//! names the first seed.

use std::{
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    model::Model,
    sim::{Fate, SimDisk, State},
    subject::Subject,
};

use crate::{BlockStore as _, StoreReader};

/// Time that one run of the tests spends on this.
const BUDGET: Duration = Duration::from_secs(40);
const STEPS: usize = 30;

struct Run {
    rng: StdRng,
    reopenings: u64,
    sync_lies: bool,
}

impl Run {
    fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), reopenings: 0, sync_lies: false }
    }

    /// One workload on a fresh disk, crashed at every point of it.
    fn workload(&mut self) -> Result<(), String> {
        let disk = SimDisk::new(State::default());
        disk.set(|faults| faults.sync_lies = self.sync_lies);
        disk.record();
        let is_new = self.rng.random_ratio(3, 4);
        let subject = if is_new { Subject::open(&disk) } else { Subject::open_old(&disk) };
        let mut subject = subject.map_err(|error| error.to_string())?;
        let mut model = Model::of_version(is_new);
        Model::initialise(subject.store()).map_err(|error| error.to_string())?;
        self.crash_all(&disk.take_points(), &model)?;
        for _ in 0..STEPS {
            let step = model.draw(&mut self.rng);
            let during = model.during(step);
            model.take(step, &mut subject).map_err(|error| format!("{step:?}: {error}"))?;
            let mut points = disk.take_points();
            let done = points.pop().into_iter().collect::<Vec<_>>();
            self.crash_all(&points, &during).map_err(|error| format!("{step:?}: {error}"))?;
            self.crash_all(&done, &model).map_err(|error| format!("after {step:?}: {error}"))?;
        }
        Ok(())
    }

    fn crash_all(&mut self, points: &[State], model: &Model) -> Result<(), String> {
        for state in points {
            for fate in Fate::ALL {
                self.crash(state, model, fate).map_err(|error| format!("{fate:?}: {error}"))?;
            }
        }
        Ok(())
    }

    /// Crashes, crashes again at some point of the recovery, and once more behind it.
    fn crash(&mut self, state: &State, model: &Model, fate: Fate) -> Result<(), String> {
        let mut seen = model.clone();
        let crashed = state.crash(fate, &mut self.rng);
        let points = self.reopen(&crashed, &mut seen)?;
        let again = self.rng.random_range(0..points.len());
        let fate = Fate::ALL[self.rng.random_range(0..Fate::ALL.len())];
        let torn = points[again].crash(fate, &mut self.rng);
        let interrupted = self.reopen(&torn, &mut model.clone());
        interrupted.map_err(|error| format!("again at {again} of {}, {fate:?}: {error}", points.len()))?;
        let recovered = points[points.len() - 1].crash(Fate::None, &mut self.rng);
        self.reopen(&recovered, &mut seen).map_err(|error| format!("behind the recovery: {error}"))?;
        if self.rng.random_ratio(1, 8) { self.live_on(&points[points.len() - 1], seen) } else { Ok(()) }
    }

    /// A few steps on what was recovered, with other blocks than those the crash took; crashed once in each.
    fn live_on(&mut self, state: &State, mut model: Model) -> Result<(), String> {
        let disk = SimDisk::new(state.clone());
        let mut subject = Subject::open(&disk).map_err(|error| error.to_string())?;
        Model::initialise(subject.store()).map_err(|error| error.to_string())?;
        model.diverge();
        for _ in 0..3 {
            disk.record();
            let step = model.draw(&mut self.rng);
            let during = model.during(step);
            model.take(step, &mut subject).map_err(|error| format!("living on, {step:?}: {error}"))?;
            let points = disk.take_points();
            let at = self.rng.random_range(0..points.len());
            let fate = Fate::ALL[self.rng.random_range(0..Fate::ALL.len())];
            let crashed = points[at].crash(fate, &mut self.rng);
            let mut seen = if at + 1 == points.len() { model.clone() } else { during };
            self.reopen(&crashed, &mut seen)
                .map_err(|error| format!("living on, {step:?}: {fate:?}: {error}"))?;
        }
        Ok(())
    }

    /// Opens and checks; the points at which that could have been interrupted, the last of them when it was done.
    fn reopen(&mut self, state: &State, model: &mut Model) -> Result<Vec<State>, String> {
        self.reopenings += 1;
        let disk = SimDisk::new(state.clone());
        disk.record();
        let read = StoreReader::open_on(Arc::new(SimDisk::new(state.clone())));
        let read = read.map(|reader| reader.tips().durable).unwrap_or_default();
        let subject = Subject::open(&disk).map_err(|error| format!("reopening: {error}"))?;
        let points = disk.take_points();
        model.check(subject.store(), subject.tally())?;
        model.see(subject.store());
        if read > subject.store().tips().durable {
            return Err(format!("a reader went to {read:?}, past what the store holds"));
        }
        disk.set(|faults| faults.dead = true);
        Ok(points)
    }
}

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn nothing_published_is_lost_whenever_the_power_goes() {
    let (asked_for, start) = (asked("TIDEMARK_CRASH_REOPENINGS"), Instant::now());
    let first = asked("TIDEMARK_CRASH_SEED").unwrap_or_else(|| rand::random::<u32>().into());
    let (mut seed, mut reopenings) = (first, 0);
    while asked_for.map_or(start.elapsed() < BUDGET, |asked| reopenings < asked) {
        eprintln!("TIDEMARK_CRASH_SEED={seed}"); // for whatever panics on the way
        let mut run = Run::new(seed);
        run.workload().unwrap_or_else(|error| panic!("TIDEMARK_CRASH_SEED={seed}: {error}"));
        reopenings += run.reopenings;
        seed += 1;
    }
    let mut shown = std::io::stderr(); // past the capture of passing tests' output
    writeln!(shown, "{reopenings} reopenings from TIDEMARK_CRASH_SEED={first} to {seed}")
        .expect("stderr is there");
}

#[test]
fn a_disk_whose_sync_does_nothing_is_found_out() {
    let mut run = Run { sync_lies: true, ..Run::new(1) };
    let found = run.workload().expect_err("a published block must be missing");
    assert!(found.contains("went back") || found.contains("reopening"), "{found}");
}
