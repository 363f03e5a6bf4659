//! Whole fleets in virtual time, driven by a seed; `invariants.rs` is checked at each judgement.

use crate::world::{OTHER_CHAIN, World, ms};
use std::{collections::BTreeMap, fmt::Write};
use tidemark_judge::{Intent, Reason};

/// Virtual seconds per seed.
const SECONDS: u32 = 300;
const SEEDS: u64 = 150;

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn small(&mut self, bound: u32) -> u32 {
        u32::try_from(self.below(u64::from(bound))).expect("below a u32")
    }

    fn once_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// An honest fleet: stores fall behind, stop, restart and lose their data, but none lies, and the leader stays.
/// Nobody may enter below what the primary was ever known to have.
fn simulate_honest(seed: u64) {
    let mut dice = Dice(seed);
    let mut world = World::new(1 + dice.small(6));
    let (mut height, mut known) = (100, 0);
    for _ in 0..SECONDS {
        height += dice.small(4);
        disturb_with(&mut world, &mut dice, |event| !(30..=34).contains(&event) && event != 36);
        follow(&mut world, &mut dice, height);
        let before: Vec<bool> = (0..world.stores.len()).map(|at| world.is_open(at)).collect();
        known = if world.primary.answers { height } else { known };
        world.round();
        for at in (0..before.len()).filter(|at| !before[*at] && world.verdict(*at).in_sync()) {
            let tip = world.stores[at].tip.unwrap_or(0);
            assert!(tip + world.policy.readmit_lag >= known, "{tip} of {known}: {:?}", world.verdict(at));
        }
    }
}

#[test]
fn nobody_enters_below_what_was_known() {
    (1000..1000 + SEEDS).for_each(simulate_honest);
}

/// One fleet for `SECONDS`: the reasons seen, line by line.
fn simulate(seed: u64) -> String {
    let mut dice = Dice(seed);
    let mut world = World::new(1 + dice.small(6));
    world.policy.min_serving = dice.small(3);
    world.policy.hard_max_lag = dice.once_in(4).then_some(20);
    world.policy.observe_primary = !dice.once_in(5);
    let mut log = String::new();
    let mut height = 100;
    for second in 0..SECONDS {
        height += if dice.once_in(20) { 0 } else { dice.small(4) };
        disturb(&mut world, &mut dice);
        follow(&mut world, &mut dice, height);
        world.round();
        check_promise(&world, height);
        writeln!(log, "{second} {height} {:?}", world.reasons()).expect("a string takes all");
    }
    log
}

/// With a primary that answers, nobody whose answer of this round shows more than the allowed lag is in sync.
fn check_promise(world: &World, height: u32) {
    let primary_counts = world.policy.observe_primary && world.primary.answers;
    for at in (0..world.stores.len()).filter(|at| primary_counts && world.stores[*at].answers) {
        let behind = world.stores[at].tip.map_or(u32::MAX, |tip| height.saturating_sub(tip));
        let in_sync = world.verdict(at).in_sync();
        assert!(!in_sync || behind <= world.policy.max_lag, "{behind} behind: {:?}", world.verdict(at));
    }
}

/// Stores that have an upstream catch up with the chain.
fn follow(world: &mut World, dice: &mut Dice, height: u32) {
    world.primary.tip = Some(height);
    for store in world.stores.iter_mut().filter(|store| store.upstream.is_some()) {
        store.upstream = Some(height);
        let tip = store.tip.unwrap_or(0);
        store.tip = Some(height.min(tip.saturating_add(dice.small(40))).max(tip.min(height)));
    }
}

fn disturb(world: &mut World, dice: &mut Dice) {
    disturb_with(world, dice, |_| true);
}

fn disturb_with(world: &mut World, dice: &mut Dice, may: impl Fn(u64) -> bool) {
    let at = usize::try_from(dice.below(world.stores.len() as u64)).expect("an index");
    match Some(dice.below(60)).filter(|event| may(*event)).unwrap_or(u64::MAX) {
        0..6 => world.stores[at].upstream = None,
        6..18 => world.stores[at].upstream = world.primary.tip,
        18..21 => world.stores[at].answers = false,
        21..27 => world.stores[at].answers = true,
        27 => world.restart(at),
        28 => world.recreate(at),
        29 => world.stores[at].tip = None,
        30 => world.stores[at].tip = Some(1_000_000),
        31 => world.stores[at].forks_at = world.primary.tip,
        32 => world.stores[at].forks_at = None,
        33 => world.stores[at].genesis = OTHER_CHAIN,
        34 => world.stores[at].genesis = crate::world::CHAIN,
        35 => world.primary.answers = !world.primary.answers,
        36 => world.change_leader(),
        37 => world.kubelet = !world.kubelet,
        38 => world.member(at).container = None,
        39 => world.restart(at),
        40 => world.member(at).terminating = true,
        41..43 => world.recreate(at),
        43 => drop(world.policy.fenced.insert(world.observed.members[at].name.clone())),
        44 => world.policy.fenced.clear(),
        45 => world.advance(ms(7000)),
        46 => world.stores.iter_mut().for_each(|store| store.answers = false),
        47..49 => world.stores.iter_mut().for_each(|store| store.answers = true),
        49 => world.primary.answers = true,
        50 => world.kubelet = true,
        51 => world.member(at).intent = Some(Intent::Replace),
        52 => world.member(at).intent = Some(Intent::ScaleDown),
        53 => world.member(at).intent = Some(Intent::Rebuild),
        54..56 => world.observed.members.iter_mut().for_each(|member| member.intent = None),
        _ => {}
    }
}

#[test]
fn the_promises_hold_and_every_reason_occurs() {
    let mut counts = BTreeMap::<&str, usize>::new();
    for seed in 0..SEEDS {
        let log = simulate(seed);
        for reason in Reason::ALL {
            *counts.entry(reason.as_str()).or_default() += log.matches(&format!("{reason:?}")).count();
        }
    }
    println!("{SEEDS} seeds of {SECONDS} s: {counts:#?}");
    assert!(counts.values().all(|count| *count > 0), "a reason never occurred: {counts:?}");
}

#[test]
fn one_seed_twice_gives_the_same_history() {
    for seed in [3, 77] {
        assert_eq!(simulate(seed), simulate(seed));
    }
}
