use crate::world::{World, ms};
use tidemark_judge::Reason;

fn all_lag(tips: &[u32], floor: u32, hard: Option<u32>) -> World {
    let mut world = World::in_sync(u32::try_from(tips.len()).expect("few"));
    world.policy.min_serving = floor;
    world.policy.hard_max_lag = hard;
    world.set_tips(200, tips);
    world.rounds(3);
    world
}

#[test]
fn the_least_lagging_are_held_up_to_the_floor() {
    for (floor, open) in [(0, vec![]), (1, vec![1]), (2, vec![1, 2]), (3, vec![0, 1, 2]), (4, vec![0, 1, 2])]
    {
        let world = all_lag(&[100, 150, 120], floor, None);
        let found: Vec<usize> = (0..3).filter(|at| world.is_open(*at)).collect();
        assert_eq!(found, open, "floor {floor}");
        assert!(open.iter().all(|at| world.reason(*at) == Reason::HeldByFloor));
    }
}

#[test]
fn a_floor_above_the_replicas_is_said() {
    for (floor, said) in [(2, false), (3, false), (4, true)] {
        assert_eq!(all_lag(&[200, 200, 200], floor, None).has_notice("FloorAboveReplicas"), said);
    }
}

#[test]
fn nobody_is_held_beyond_the_ceiling() {
    for (behind, open) in [(9, 1), (10, 1), (11, 0)] {
        assert_eq!(all_lag(&[200 - behind, 100, 100], 1, Some(10)).open_gates(), open, "{behind} behind");
    }
}

#[test]
fn a_fenced_or_diverged_or_restarted_member_is_not_held() {
    let mut world = World::in_sync(1);
    world.policy.fenced.insert("x-0".into());
    world.judge();
    assert!(!world.is_open(0));
    let mut world = World::in_sync(1);
    world.restart(0);
    world.judge();
    assert!(!world.is_open(0));
}

#[test]
fn a_store_that_was_never_in_sync_is_not_the_least_bad_answer() {
    let mut world = World::new(1);
    world.set_tips(200, &[100]);
    world.rounds(5);
    assert!(!world.is_open(0));
    world.policy.hard_max_lag = Some(99);
    world.rounds(2);
    assert!(!world.is_open(0));
    world.policy.hard_max_lag = Some(100);
    world.rounds(2);
    assert_eq!(world.reason(0), Reason::HeldByFloor);
}

#[test]
fn a_volume_that_was_in_sync_keeps_that_across_pods() {
    let mut world = World::in_sync(1);
    world.recreate(0);
    world.set_tips(200, &[100]);
    world.rounds(2);
    assert_eq!(world.reason(0), Reason::HeldByFloor);
    assert!(world.is_open(0));
}

#[test]
fn an_exit_waits_until_the_entry_it_relies_on_is_ready() {
    let mut world = all_lag(&[100, 150], 1, None);
    assert_eq!((world.is_open(0), world.is_open(1)), (false, true));
    world.kubelet = false;
    world.set_tips(200, &[200, 150]);
    world.rounds(3);
    assert_eq!(world.reasons(), [Reason::InSync, Reason::HeldByFloor]);
    world.member(0).ready = true;
    world.judge();
    assert_eq!((world.is_open(0), world.is_open(1)), (true, false));
}

#[test]
fn an_incumbent_is_displaced_only_by_one_better_by_more_than_max_lag() {
    for (challenger, displaced) in [(151, false), (152, false), (153, true)] {
        let mut world = all_lag(&[100, 150], 1, None);
        world.set_tips(200, &[challenger, 150]);
        world.rounds(3);
        assert_eq!(
            (world.is_open(0), world.is_open(1)),
            (displaced, !displaced),
            "challenger at {challenger}"
        );
    }
}

#[test]
fn when_the_last_one_is_gone_the_next_best_enters() {
    let mut world = all_lag(&[100, 150, 140], 1, None);
    world.member(1).container = None;
    world.judge();
    assert_eq!(world.reason(2), Reason::HeldByFloor);
    assert_eq!(world.open_gates(), 1);
}

#[test]
fn one_that_does_not_become_ready_makes_room_for_another() {
    let mut world = all_lag(&[100, 150, 140], 1, None);
    world.rounds(6);
    world.kubelet = false;
    world.member(1).ready = false;
    world.judge();
    assert!(world.is_open(1) && world.is_open(2));
    world.rounds(4);
    assert!(!world.is_open(0));
    world.advance(ms(2000));
    world.rounds(1);
    assert!(world.is_open(0));
}

#[test]
fn one_the_floor_holds_earns_its_return_like_one_that_is_out() {
    let mut world = all_lag(&[100], 1, None);
    world.set_tips(200, &[200]);
    world.round();
    assert_eq!(world.verdict(0).held_from, Some(Reason::CatchingUp));
    world.round();
    assert_eq!(world.reason(0), Reason::InSync);
}

#[test]
fn one_let_in_has_stale_after_to_become_ready() {
    for (after, next_is_tried) in [(4999, false), (5000, false), (5001, true)] {
        let mut world = all_lag(&[100, 150, 140], 1, None);
        world.rounds(6);
        world.kubelet = false;
        world.member(1).ready = false;
        world.judge();
        let entered_at = world.now;
        world.now = entered_at.plus(ms(4990));
        (0..3).for_each(|at| world.ask(at));
        world.judge();
        world.now = entered_at.plus(ms(after));
        world.judge();
        assert_eq!(world.is_open(0), next_is_tried, "after {after} ms");
    }
}

#[test]
fn an_entry_that_is_decided_stands_until_it_is_seen() {
    let mut world = all_lag(&[100, 150, 140], 1, None);
    world.writes_arrive = false;
    world.member(1).container = None;
    world.judge();
    assert!(world.verdict(2).serves);
    world.stores[0].tip = Some(141);
    world.ask(0);
    world.judge();
    assert_eq!((world.verdict(0).serves, world.verdict(2).serves), (false, true));
}

#[test]
fn an_entry_that_was_decided_and_not_seen_is_not_made_on_an_old_sample() {
    let mut world = all_lag(&[100, 200], 1, None);
    world.writes_arrive = false;
    world.set_tips(200, &[200, 200]);
    world.rounds(2);
    assert!(world.verdict(0).serves && world.verdict(0).gate.is_some());
    world.stores[0].answers = false;
    world.rounds(8);
    assert_eq!((world.reason(0), world.verdict(0).serves), (Reason::Unknown, false));
}

#[test]
fn the_worst_of_the_held_is_displaced() {
    let mut world = all_lag(&[100, 150, 170], 2, None);
    world.set_tips(200, &[155, 150, 170]);
    world.rounds(3);
    let found: Vec<bool> = (0..3).map(|at| world.is_open(at)).collect();
    assert_eq!(found, [true, false, true]);
}

#[test]
fn of_two_with_one_tip_the_one_that_speaks_is_held() {
    let mut world = World::in_sync(2);
    world.policy.min_serving = 2;
    world.stores[0].answers = false;
    world.rounds(8);
    assert_eq!(world.reasons(), [Reason::HeldByFloor, Reason::InSync]);
    world.policy.min_serving = 1;
    world.set_tips(200, &[100, 100]);
    world.ask_primary();
    world.ask(1);
    world.judge();
    assert_eq!(world.reasons(), [Reason::Unknown, Reason::HeldByFloor]);
}

#[test]
fn one_that_is_out_by_decision_is_no_incumbent_though_its_gate_still_stands_open() {
    let mut world = World::in_sync(2);
    world.writes_arrive = false;
    world.set_tips(200, &[100, 200]);
    world.rounds(2);
    world.stores[0].answers = false;
    world.rounds(7);
    assert_eq!((world.reason(0), world.is_open(0)), (Reason::Unknown, true));
    world.member(1).container = None;
    world.judge();
    assert!(!world.verdict(0).serves, "nothing is known of it but that it was behind");
}

#[test]
fn of_those_that_are_not_ready_only_as_many_are_held_as_are_missing() {
    let mut world = World::in_sync(4);
    world.policy.min_serving = 2;
    world.rounds(7);
    world.kubelet = false;
    world.member(2).ready = false;
    world.member(3).ready = false;
    world.set_tips(200, &[100, 100, 100, 100]);
    world.rounds(2);
    let held: Vec<usize> = (0..4).filter(|at| world.is_open(*at)).collect();
    assert_eq!(held, [0, 1]);
}

#[test]
fn while_one_is_coming_no_other_is_let_in_for_the_same_place() {
    let mut world = all_lag(&[150, 100, 100], 1, None);
    assert_eq!(world.reason(0), Reason::HeldByFloor);
    world.kubelet = false;
    world.set_tips(200, &[150, 160, 170]);
    world.rounds(3);
    assert_eq!(world.reasons(), [Reason::HeldByFloor, Reason::HeldByFloor, Reason::Lagging]);
}

#[test]
fn one_that_fell_silent_is_held_to_the_ceiling_by_its_last_tip() {
    for (tip, open) in [(110, true), (111, false)] {
        let mut world = World::in_sync(1);
        world.policy.hard_max_lag = Some(10);
        world.stores[0].answers = false;
        world.primary.tip = Some(tip);
        world.rounds(8);
        assert_eq!(world.is_open(0), open, "the reference is at {tip}");
    }
}

#[test]
fn a_new_leader_waits_for_one_that_may_just_have_been_let_in() {
    let mut world = World::in_sync(2);
    world.rounds(7);
    world.kubelet = false;
    world.member(1).ready = false;
    world.change_leader();
    world.set_tips(200, &[100, 100]);
    world.rounds(3);
    assert_eq!(world.reasons(), [Reason::HeldByFloor; 2]);
    world.rounds(5);
    assert_eq!(world.reasons(), [Reason::HeldByFloor, Reason::Lagging]);
}

#[test]
fn one_that_is_worse_and_not_held_by_the_floor_is_nobodys_measure() {
    let mut world = all_lag(&[150, 100, 50], 2, None);
    world.policy.min_serving = 1;
    world.policy.fenced.insert("x-1".into());
    world.set_tips(200, &[150, 100, 151]);
    world.ask(2);
    world.judge();
    assert_eq!((world.is_open(0), world.is_open(2)), (true, false), "151 is not better by more than 2");
}

#[test]
fn nobody_wanted_needs_no_floor() {
    let mut world = World::new(0);
    world.judge();
    assert!(!world.has_notice("FloorAboveReplicas"));
}

#[test]
fn one_that_left_without_having_become_ready_is_tried_last() {
    let mut world = all_lag(&[100, 150, 140, 120], 1, None);
    world.rounds(6);
    world.kubelet = false;
    (world.member(1).container, world.member(1).ready) = (None, false);
    world.rounds(7);
    assert_eq!((world.is_open(2), world.is_open(3)), (false, true), "x-2 did not become Ready");
    world.rounds(6);
    assert_eq!((world.is_open(0), world.is_open(2)), (true, false), "{:?}", world.judgement);
}
