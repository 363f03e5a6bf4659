use crate::world::World;
use tidemark_judge::{Notice, Reason};

#[test]
fn a_third_and_at_least_one_may_be_out_for_silence() {
    for (replicas, out) in [(1, 0), (2, 1), (3, 1), (5, 1), (6, 2), (8, 2), (9, 3)] {
        let mut world = World::in_sync(replicas);
        world.stores.iter_mut().for_each(|store| store.answers = false);
        world.rounds(30);
        let open = replicas as usize - out;
        assert_eq!(world.open_gates(), open, "{replicas} replicas");
        assert!(world.has_notice("MembersSilent"));
    }
}

#[test]
fn the_last_one_is_held_by_the_floor_even_within_the_allowance() {
    let mut world = World::in_sync(1);
    world.stores[0].answers = false;
    world.rounds(8);
    assert_eq!(world.reason(0), Reason::HeldByFloor);
    assert_eq!(world.verdict(0).held_from, Some(Reason::Unknown));
}

#[test]
fn a_measured_lag_acts_at_once_whatever_is_silent() {
    let mut world = World::in_sync(3);
    world.stores[0].answers = false;
    world.stores[1].answers = false;
    world.rounds(8);
    world.set_tips(200, &[100, 100, 100]);
    world.stores[0].answers = true;
    world.rounds(2);
    assert!(matches!(
        world.verdict(0).held_from.unwrap_or(world.reason(0)),
        Reason::Lagging | Reason::CatchingUp
    ));
}

#[test]
fn one_that_was_known_to_be_behind_is_not_held_for_its_silence() {
    let mut world = World::in_sync(3);
    world.policy.min_serving = 2;
    world.set_tips(200, &[100, 150, 200]);
    world.rounds(2);
    assert_eq!(world.reason(1), Reason::HeldByFloor);
    world.policy.min_serving = 1;
    world.stores[1].answers = false;
    world.rounds(8);
    assert!(!world.is_open(1));
}

#[test]
fn when_all_speak_again_one_after_the_other_nobody_else_goes_out() {
    let mut world = World::in_sync(5);
    world.stores.iter_mut().for_each(|store| store.answers = false);
    world.rounds(8);
    assert_eq!(world.open_gates(), 4);
    world.stores.iter_mut().for_each(|store| store.answers = true);
    for _ in 0..5 {
        world.round();
        assert!(world.open_gates() >= 4, "{:?}", world.reasons());
    }
    assert_eq!(world.reasons(), [Reason::InSync; 5]);
}

#[test]
fn a_held_one_that_speaks_again_is_in_sync_at_once() {
    let mut world = World::in_sync(3);
    world.stores.iter_mut().for_each(|store| store.answers = false);
    world.rounds(8);
    let held = (0..3).find(|at| world.reason(*at) == Reason::HeldUnknown).expect("two are held");
    world.stores[held].answers = true;
    world.round();
    assert_eq!(world.reason(held), Reason::InSync);
}

#[test]
fn the_allowance_is_for_all_that_are_out_and_not_for_each_moment() {
    let mut world = World::in_sync(6);
    for silent in 0..6 {
        world.stores[silent].answers = false;
        world.rounds(8);
        assert_eq!(world.open_gates(), 6 - (silent + 1).min(2));
    }
}

#[test]
fn the_silent_and_the_held_are_named() {
    let mut world = World::in_sync(3);
    world.stores.iter_mut().take(2).for_each(|store| store.answers = false);
    world.rounds(8);
    let named = |notice: &Notice| match notice {
        Notice::MembersSilent { silent, held } => Some((silent.clone(), held.clone())),
        _ => None,
    };
    let found = world.judgement.notices.iter().find_map(named);
    assert_eq!(found, Some((vec!["x-0".into(), "x-1".into()], vec!["x-1".into()])));
}

#[test]
fn one_that_only_the_floor_held_is_not_held_for_its_silence() {
    let mut world = World::in_sync(3);
    world.policy.min_serving = 3;
    world.set_tips(200, &[100; 3]);
    world.rounds(3);
    world.stores.iter_mut().for_each(|store| store.answers = false);
    world.rounds(8);
    assert_eq!(world.reasons(), [Reason::HeldByFloor; 3]);
}

#[test]
fn one_that_is_out_for_its_lag_spends_no_allowance_for_silence() {
    let mut world = World::in_sync(3);
    world.policy.readmit_lag = 0;
    world.set_tips(200, &[100, 200, 200]);
    world.rounds(2);
    world.set_tips(200, &[199, 200, 200]);
    world.stores[1].answers = false;
    world.rounds(8);
    assert_eq!(world.reasons(), [Reason::CatchingUp, Reason::Unknown, Reason::InSync]);
}
