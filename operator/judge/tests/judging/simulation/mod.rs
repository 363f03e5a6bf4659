//! Whole fleets in virtual time, driven by a seed: faults begin and end, and the promises are checked on the way.
//!
//! `invariants.rs` is checked at each judgement, `promises.rs` after each second. A failure names its seed and second;
//! `TIDEMARK_SIMULATION_SEEDS=17..18` runs that fleet alone, and a wider range more of them.

mod dice;
mod faults;
mod promises;
mod run;

use run::{Fleet, History, SECONDS, tally};
use std::{env, ops::Range};
use tidemark_judge::Reason;

use faults::Fault;

/// Fleets that live for two virtual hours each.
const SEEDS: u64 = 1000;

fn seeds() -> Range<u64> {
    let Ok(text) = env::var("TIDEMARK_SIMULATION_SEEDS") else { return 0..SEEDS };
    let range = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range.expect("TIDEMARK_SIMULATION_SEEDS is a range such as 0..5000")
}

#[test]
fn the_promises_hold_and_every_reason_and_fault_occurs() {
    let seeds = seeds();
    let all = seeds.end - seeds.start >= SEEDS;
    let tally = tally(seeds.clone(), Fleet::troubled);
    println!("seeds {seeds:?} of {SECONDS} virtual seconds each");
    println!("how often each reason was given: {:#?}", tally.reasons);
    println!("how often each condition was raised: {:#?}", tally.notices);
    println!("how often each fault began: {:#?}", tally.faults);
    let never: Vec<_> = Reason::ALL.iter().filter(|reason| !tally.reasons.contains_key(reason)).collect();
    assert!(!all || never.is_empty(), "these reasons never occurred: {never:?}");
    let never: Vec<_> = Fault::ALL.iter().filter(|fault| !tally.faults.contains_key(fault)).collect();
    assert!(!all || never.is_empty(), "these faults never began: {never:?}");
}

#[test]
fn nobody_enters_below_what_was_known() {
    let seeds = seeds();
    tally(seeds.start..seeds.start + (seeds.end - seeds.start).div_ceil(10), Fleet::honest);
}

#[test]
fn one_seed_twice_gives_the_same_history() {
    for seed in [3, 77] {
        let history = || {
            let mut history = History::in_words();
            Fleet::troubled(seed).live(&mut history);
            history.words
        };
        assert_eq!(history(), history());
    }
}
