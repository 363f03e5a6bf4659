//! One fleet's life, and many of them side by side.

use super::{
    dice::Dice,
    faults::{Fault, Faults, carry_out_intents},
    promises::{self, Before, Promises},
};
use crate::world::World;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};
use tidemark_judge::{Notice, Reason};

/// Two virtual hours.
pub(super) const SECONDS: u32 = 7200;

/// For so many seconds after a schism its traces last: comparisons of hashes, the pin and the mark.
const TRACES_LAST: u32 = 1300;

/// What was seen in the lives of fleets.
#[derive(Default)]
pub(super) struct History {
    pub(super) reasons: BTreeMap<Reason, u64>,
    pub(super) notices: BTreeMap<&'static str, u64>,
    pub(super) faults: BTreeMap<Fault, u64>,
    pub(super) words: String,
    in_words: bool,
}

impl History {
    /// One that also tells every second in words.
    pub(super) fn in_words() -> Self {
        Self { in_words: true, ..Self::default() }
    }

    fn began(&mut self, second: u32, fault: Option<Fault>) {
        let Some(fault) = fault else { return };
        *self.faults.entry(fault).or_default() += 1;
        if self.in_words {
            writeln!(self.words, "{second} {fault:?}").expect("a string takes all");
        }
    }

    fn note(&mut self, second: u32, height: u32, world: &World) {
        for verdict in &world.judgement.verdicts {
            *self.reasons.entry(verdict.reason).or_default() += 1;
        }
        for notice in &world.judgement.notices {
            *self.notices.entry(Notice::reason(notice)).or_default() += 1;
        }
        if self.in_words {
            let line = writeln!(self.words, "{second} {height} {:?}", told(world));
            line.expect("a string takes all");
        }
    }

    fn add(&mut self, other: &Self) {
        other.reasons.iter().for_each(|(key, count)| *self.reasons.entry(*key).or_default() += count);
        other.notices.iter().for_each(|(key, count)| *self.notices.entry(key).or_default() += count);
        other.faults.iter().for_each(|(key, count)| *self.faults.entry(*key).or_default() += count);
    }
}

/// Each member's reason, whether its gate is open, and the tip it says.
fn told(world: &World) -> Vec<(Reason, bool, Option<u32>)> {
    (0..world.stores.len()).map(|at| (world.reason(at), world.is_open(at), world.stores[at].said())).collect()
}

/// A fleet about to live.
pub(super) struct Fleet {
    dice: Dice,
    world: World,
    faults: Faults,
    honest: bool,
}

impl Fleet {
    /// Everything may befall it.
    pub(super) fn troubled(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut world = World::new(1 + dice.small(6));
        world.policy.min_serving = dice.small(3);
        world.policy.hard_max_lag = dice.once_in(4).then_some(20);
        world.policy.observe_primary = !dice.once_in(5);
        world.asks_again = !dice.once_in(4);
        let with_schisms = dice.once_in(2);
        let faults = Faults::draw(&mut dice, |fault| with_schisms || !fault.is_schism());
        Self { dice, world, faults, honest: false }
    }

    /// Stores fall behind, stop, restart and lose their data, but none lies, and the leader stays. Nobody may enter
    /// below what the primary was ever known to have.
    pub(super) fn honest(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let world = World::new(1 + dice.small(6));
        let may = |fault: Fault| {
            let of_memory = matches!(fault, Fault::LeaderChanged | Fault::ClockLeaptFar);
            !fault.is_schism() && fault != Fault::RogueTip && !of_memory
        };
        let faults = Faults::draw(&mut dice, may);
        Self { dice, world, faults, honest: true }
    }

    /// Lives for two hours.
    pub(super) fn live(mut self, history: &mut History) {
        let mut promises = Promises::default();
        let (mut height, mut known, mut schism_at) = (100, 0, None);
        for second in 0..SECONDS {
            let before = Before::of(&self.world);
            let fault = self.faults.advance(second, &mut self.world, &mut self.dice);
            history.began(second, fault);
            schism_at = if self.faults.is_in_schism() { Some(second) } else { schism_at };
            height = self.grow(height);
            known = if self.world.primary.answers { height } else { known };
            self.world.round();
            let schism = schism_at.is_some_and(|at: u32| second - at <= TRACES_LAST);
            promises.check(&self.world, &before, height, schism);
            if self.honest {
                promises::nobody_entered_below(&self.world, &before, known);
            }
            history.note(second, height, &self.world);
            carry_out_intents(&mut self.world);
        }
    }

    /// The chain's next blocks, and who has copied them.
    fn grow(&mut self, height: u32) -> u32 {
        let more = self.dice.small(4);
        let grown = if self.faults.chain_stands { height } else { height + more };
        let height = grown.saturating_sub(std::mem::take(&mut self.faults.rewind));
        self.world.primary.tip = Some(height);
        for store in self.world.stores.iter_mut().filter(|store| store.upstream.is_some()) {
            store.upstream = Some(height);
            let tip = store.tip.unwrap_or(0);
            store.tip = Some(height.min(tip.saturating_add(self.dice.small(40))).max(tip.min(height)));
        }
        height
    }
}

/// Lets one fleet live for each seed, on all cores, and adds up what was seen.
pub(super) fn tally(seeds: Range<u64>, fleet: fn(u64) -> Fleet) -> History {
    let next = AtomicU64::new(seeds.start);
    let live = || {
        let mut seen = History::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return seen;
            }
            let lived = catch_unwind(AssertUnwindSafe(|| fleet(seed).live(&mut seen)));
            lived.unwrap_or_else(|cause| {
                tell_the_end(seed, fleet);
                resume_unwind(cause)
            });
        }
    };
    let mut all = History::default();
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(live)).collect();
        threads
            .into_iter()
            .for_each(|thread| all.add(&thread.join().unwrap_or_else(|cause| resume_unwind(cause))));
    });
    all
}

/// Lives a fleet's life again up to the promise it broke, and tells the seconds before.
fn tell_the_end(seed: u64, fleet: fn(u64) -> Fleet) {
    let mut history = History::in_words();
    // The promise is broken again, at the same second.
    let _ = catch_unwind(AssertUnwindSafe(|| fleet(seed).live(&mut history)));
    let seconds: Vec<_> = history.words.lines().rev().take(40).collect();
    eprintln!(
        "seed {seed} broke a promise: TIDEMARK_SIMULATION_SEEDS={seed}..{} shows it; before that:",
        seed + 1
    );
    seconds.iter().rev().for_each(|second| eprintln!("  {second}"));
}
