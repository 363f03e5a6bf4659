//! The defect classes seen in the field that a pure judge can have, by number and name.

use crate::world::World;
use tidemark_judge::Reason;

#[test]
fn class_01_an_unknown_lag_is_not_zero() {
    let mut world = World::new(3);
    world.ask_primary();
    world.judge();
    assert!(world.judgement.verdicts.iter().all(|verdict| verdict.lag.is_none() && !verdict.serves));
}

#[test]
fn class_02_a_timed_out_check_readmits_nobody() {
    let mut world = lagging();
    world.stores.iter_mut().for_each(|store| store.answers = false);
    world.primary.answers = false;
    for _ in 0..700 {
        world.round();
        assert!(!world.is_open(0));
    }
}

#[test]
fn class_03_lag_is_not_a_replicas_own_view() {
    let mut world = World::in_sync(3);
    world.stores[0].upstream = Some(100);
    world.set_tips(200, &[100, 200, 200]);
    world.round();
    assert_eq!(world.reason(0), Reason::Lagging);
}

#[test]
fn class_04_one_rogue_high_tip_evicts_nobody() {
    let mut world = World::in_sync(3);
    world.stores[0].tip = Some(u32::MAX);
    world.rounds(20);
    assert_eq!(world.open_gates(), 3);
    world.primary.answers = false;
    world.rounds(20);
    assert_eq!(world.open_gates(), 3);
}

#[test]
fn class_05_a_bogus_maximum_is_not_kept() {
    let mut world = World::in_sync(3);
    world.primary.tip = Some(9_000_000);
    world.rounds(2);
    assert_eq!(world.open_gates(), 1);
    world.primary.tip = Some(100);
    world.rounds(4);
    assert_eq!(world.reasons(), [Reason::InSync; 3]);
}

#[test]
fn class_06_when_all_lag_not_all_are_unrouted() {
    let mut world = World::in_sync(3);
    world.primary.tip = Some(200);
    world.rounds(5);
    assert_eq!(world.open_gates(), 1);
}

#[test]
fn class_07_a_stall_is_not_lag() {
    let mut world = World::in_sync(3);
    world.rounds(100);
    assert_eq!(world.reasons(), [Reason::InSync; 3]);
    assert!(world.has_notice("NoNewBlocks"));
}

#[test]
fn class_08_an_operator_that_sees_nothing_flips_no_fleet() {
    let mut world = World::in_sync(6);
    world.primary.answers = false;
    world.stores.iter_mut().for_each(|store| store.answers = false);
    world.rounds(700);
    assert_eq!(world.open_gates(), 4);
}

#[test]
fn class_09_an_absent_gate_is_written() {
    let mut world = World::new(1);
    world.judge();
    assert_eq!(world.writes, 1);
    assert!(!world.is_open(0));
}

#[test]
fn class_10_the_gate_falls_when_the_container_restarts() {
    let mut world = World::in_sync(3);
    world.restart(1);
    world.judge();
    assert_eq!((world.reason(1), world.is_open(1)), (Reason::AwaitingFirstSample, false));
}

#[test]
fn class_11_one_that_is_out_is_checked_again() {
    let mut world = lagging();
    world.set_tips(200, &[200, 200, 200]);
    world.rounds(2);
    assert_eq!(world.reason(0), Reason::InSync);
}

#[test]
fn class_14_readmission_is_not_delayed_by_a_long_exclusion() {
    let mut world = lagging();
    world.rounds(1000);
    world.set_tips(200, &[200, 200, 200]);
    world.rounds(2);
    assert_eq!(world.reason(0), Reason::InSync);
}

#[test]
fn class_16_not_off_by_one_at_n() {
    for n in [0, 1, 2, 7] {
        for (behind, open) in [(n - 1, true), (n, true), (n + 1, false)] {
            let mut world = World::in_sync(3);
            (world.policy.max_lag, world.policy.readmit_lag) = (u32::try_from(n).expect("small"), 0);
            let tip = u32::try_from(200 - behind.max(0)).expect("positive");
            world.set_tips(200, &[tip, 200, 200]);
            world.rounds(2);
            assert_eq!(world.is_open(0), open, "{behind} behind with limit {n}");
        }
    }
}

#[test]
fn class_19_nobody_serves_before_its_first_sample() {
    let mut world = World::in_sync(2);
    world.add(100);
    world.stores[2].answers = false;
    world.rounds(20);
    assert_eq!((world.reason(2), world.is_open(2)), (Reason::AwaitingFirstSample, false));
}

#[test]
fn class_20_a_change_of_leader_resets_no_gate() {
    let mut world = lagging();
    let before: Vec<bool> = (0..3).map(|at| world.is_open(at)).collect();
    for _ in 0..5 {
        world.change_leader();
        for _ in 0..4 {
            world.round();
            assert_eq!((0..3).map(|at| world.is_open(at)).collect::<Vec<_>>(), before);
        }
    }
}

#[test]
fn class_22_a_tip_that_goes_backwards_is_lag() {
    let mut world = World::in_sync(3);
    world.primary.answers = false;
    world.stores[0].tip = Some(90);
    world.rounds(2);
    assert_eq!((world.reason(0), world.is_open(0)), (Reason::Lagging, false));
}

fn lagging() -> World {
    let mut world = World::in_sync(3);
    world.set_tips(200, &[100, 200, 200]);
    world.rounds(2);
    assert_eq!(world.reason(0), Reason::Lagging);
    world
}
