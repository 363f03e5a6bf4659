//! A falling reference re-admits nobody, however it comes to fall.

use crate::world::{World, ms};
use std::time::Duration;
use tidemark_judge::{Event, GateSeen, Reason};

/// x-0 fresh at 200 and the only one; x-1 out at 100; x-2 out at 100; then the primary falls silent.
fn only_one_is_fresh() -> World {
    let mut world = World::in_sync(3);
    world.set_tips(200, &[200, 100, 100]);
    world.rounds(2);
    assert_eq!(world.reasons(), [Reason::InSync, Reason::Lagging, Reason::Lagging]);
    world.primary.answers = false;
    world
}

/// Nobody below the mark may be called in sync, and nobody who was out may get in but by the floor.
fn assert_nobody_returns(world: &mut World, rounds: usize) {
    for _ in 0..rounds {
        world.round();
        for at in 1..3 {
            assert_ne!(world.reason(at), Reason::InSync, "{:?}", world.judgement);
            assert!(!world.is_open(at) || world.reason(at) == Reason::HeldByFloor, "{:?}", world.judgement);
        }
        assert!(world.open_gates() <= 2);
    }
}

#[test]
fn the_only_fresh_replica_is_cut_off() {
    let mut world = only_one_is_fresh();
    world.stores[0].answers = false;
    assert_nobody_returns(&mut world, 60);
}

#[test]
fn the_only_fresh_replica_is_restarted_and_lost_its_store() {
    let mut world = only_one_is_fresh();
    world.restart(0);
    world.stores[0].tip = Some(3);
    assert_nobody_returns(&mut world, 60);
    assert_eq!(world.open_gates(), 1, "the floor keeps the least bad one");
}

#[test]
fn the_only_fresh_replica_is_deleted() {
    let mut world = only_one_is_fresh();
    world.member(0).terminating = true;
    world.rounds(1);
    world.observed.members.remove(0);
    world.stores.remove(0);
    world.add(100);
    for _ in 0..60 {
        world.round();
        assert!(world.reasons().iter().all(|reason| *reason != Reason::InSync), "{:?}", world.judgement);
    }
}

#[test]
fn the_only_fresh_replica_is_rolled() {
    let mut world = only_one_is_fresh();
    world.recreate(0);
    world.stores[0].tip = Some(150);
    assert_nobody_returns(&mut world, 60);
    world.stores[0].tip = Some(200);
    world.stores[0].upstream = Some(200);
    world.stores[1].upstream = Some(200);
    world.rounds(3);
    assert_eq!(world.reason(0), Reason::InSync);
}

#[test]
fn its_own_tip_brings_a_replica_back() {
    for (tip, back) in [(197, false), (198, true), (199, true)] {
        let mut world = only_one_is_fresh();
        world.stores[0].answers = false;
        world.rounds(7);
        world.set_tips(200, &[200, tip, 100]);
        world.stores[2].upstream = Some(tip);
        world.rounds(4);
        assert_eq!(world.reason(1) == Reason::InSync, back, "at {tip}: {:?}", world.judgement);
    }
}

#[test]
fn a_primary_that_takes_its_word_back_lifts_the_mark() {
    let mut world = World::in_sync(2);
    world.set_tips(200, &[100, 100]);
    world.rounds(2);
    assert!(!world.reasons().contains(&Reason::InSync));
    world.set_tips(100, &[100, 100]);
    world.rounds(3);
    assert_eq!(world.reasons(), [Reason::InSync; 2]);
}

#[test]
fn an_unsupported_mark_is_forgotten_after_forget_after() {
    let forget_after = Duration::from_secs(600);
    for (later, forgotten) in
        [(forget_after - ms(1), false), (forget_after, false), (forget_after + ms(1), true)]
    {
        let mut world = World::in_sync(1);
        let supported_at = world.now;
        world.judge();
        world.now = supported_at.plus(Duration::from_secs(10));
        world.judge();
        let event =
            |world: &World| world.judgement.events.iter().any(|e| matches!(e, Event::MarkForgotten { .. }));
        assert!(!event(&world));
        // The reference was last there when the samples of the last round were still fresh: at `supported_at`.
        world.now = supported_at.plus(later);
        world.judge();
        assert_eq!(event(&world), forgotten, "{later:?} later");
    }
}

#[test]
fn the_next_leader_finds_the_mark() {
    let mut world = only_one_is_fresh();
    assert!(world.remembered(1).mark.is_some());
    world.stores[0].answers = false;
    world.change_leader();
    assert_nobody_returns(&mut world, 60);
}

#[test]
fn the_mark_is_lifted_when_every_source_takes_its_word_back_and_not_before() {
    for (restarted, lifted) in [(false, true), (true, false)] {
        let mut world = World::in_sync(3);
        world.policy.observe_primary = false;
        world.set_tips(110, &[110, 110, 100]);
        world.rounds(2);
        assert_eq!(world.reason(2), Reason::Lagging);
        world.set_tips(110, &[100, 100, 100]);
        if restarted {
            world.restart(1);
        }
        world.rounds(8);
        assert_eq!(world.reason(2) == Reason::InSync, lifted, "{:?}", world.judgement);
    }
}

#[test]
fn a_source_that_stands_by_its_word_alone_keeps_the_mark() {
    let mut world = World::in_sync(3);
    world.policy.observe_primary = false;
    world.set_tips(102, &[102, 100, 100]);
    world.rounds(2);
    world.restart(1);
    world.set_tips(102, &[102, 95, 95]);
    world.rounds(10);
    assert_eq!(world.reasons()[..2], [Reason::Unconfirmed, Reason::BelowExitMark]);
}

#[test]
fn one_members_word_alone_raises_no_mark() {
    let mut world = World::in_sync(1);
    world.primary.answers = false;
    world.stores[0].tip = Some(200);
    world.rounds(8);
    world.restart(0);
    (world.stores[0].tip, world.stores[0].upstream) = (Some(150), Some(150));
    world.rounds(4);
    assert_eq!(world.reason(0), Reason::InSync);
}

#[test]
fn one_below_the_mark_is_no_source_of_it() {
    let mut world = World::in_sync(3);
    world.policy.observe_primary = false;
    world.set_tips(110, &[110, 110, 100]);
    world.rounds(2);
    world.restart(2);
    world.set_tips(110, &[100, 100, 100]);
    world.rounds(8);
    assert_eq!(world.reason(2), Reason::InSync, "those that had said 110 took it back");
}

#[test]
fn what_another_says_takes_nothing_back_for_a_source() {
    let mut world = World::in_sync(3);
    world.policy.observe_primary = false;
    world.set_tips(110, &[110, 109, 100]);
    world.rounds(2);
    world.stores[0].answers = false;
    world.set_tips(110, &[110, 109, 107]);
    world.rounds(10);
    assert_eq!(world.reason(2), Reason::BelowExitMark);
}

#[test]
fn what_the_primary_alone_said_it_takes_back_before_the_next_leader_too() {
    let mut world = World::in_sync(3);
    world.primary.rogue = Some(9_000_000);
    world.rounds(3);
    assert_eq!(world.open_gates(), 1, "all but the floor are out: {:?}", world.reasons());
    world.change_leader();
    world.rounds(3);
    world.primary.rogue = None;
    world.rounds(6);
    assert_eq!(world.reasons(), [Reason::InSync; 3]);
}

#[test]
fn of_two_marks_at_one_height_that_counts_which_nobody_takes_back_alone() {
    for marks in [["200", "200@primary"], ["200@primary", "200"], ["200", "200"], ["200@primary", "150"]] {
        let mut world = World::in_sync(3);
        for (at, mark) in marks.into_iter().enumerate() {
            let message = format!("out [tidemark/1 mark={mark}]");
            world.member(at + 1).gate = GateSeen::read("False", "Lagging", &message);
        }
        world.change_leader();
        world.rounds(10);
        let bound = marks.contains(&"200");
        assert_eq!(world.open_gates(), if bound { 1 } else { 3 }, "{marks:?}: {:?}", world.reasons());
    }
}

#[test]
fn what_a_member_has_reached_too_the_primary_takes_back_before_nobody() {
    let mut world = World::in_sync(3);
    world.set_tips(200, &[200, 100, 100]);
    world.rounds(3);
    world.stores[0].answers = false;
    world.change_leader();
    world.primary.tip = Some(100);
    assert_nobody_returns(&mut world, 30);
}

#[test]
fn the_gate_of_one_that_is_not_in_on_its_own_merit_tells_of_the_mark() {
    let mut world = World::in_sync(3);
    world.policy.min_serving = 2;
    world.set_tips(200, &[200, 100, 90]);
    world.rounds(2);
    assert_eq!(world.reasons(), [Reason::InSync, Reason::HeldByFloor, Reason::Lagging]);
    let told = [0, 1, 2].map(|at| world.remembered(at).mark.map(|mark| mark.tip.0));
    assert_eq!(told, [None, Some(200), Some(200)]);
}
