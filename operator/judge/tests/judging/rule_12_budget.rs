use crate::world::World;
use tidemark_judge::{Intent, Mode, Reason};

fn intend(world: &mut World, at: usize, intent: Intent) {
    world.member(at).intent = Some(intent);
    world.judge();
}

fn leaves(world: &World, at: usize) -> bool {
    !world.verdict(at).serves
}

#[test]
fn what_stays_must_be_the_floor_and_never_all_that_there_are() {
    let cases =
        [(3, 1, true), (3, 2, true), (3, 3, true), (2, 1, true), (2, 2, true), (1, 1, true), (1, 0, true)];
    for (replicas, floor, may) in cases {
        let mut world = World::in_sync(replicas);
        world.policy.min_serving = floor;
        intend(&mut world, 0, Intent::Replace);
        assert_eq!(leaves(&world, 0), may, "{replicas} replicas, floor {floor}");
    }
}

#[test]
fn one_that_is_out_already_takes_the_place_of_another() {
    for (floor, may) in [(1, true), (2, false), (3, false)] {
        let mut world = World::in_sync(3);
        world.policy.min_serving = floor;
        world.policy.hard_max_lag = Some(10);
        world.set_tips(200, &[100, 200, 200]);
        world.rounds(2);
        assert_eq!(world.reason(0), Reason::Lagging);
        intend(&mut world, 1, Intent::Replace);
        assert_eq!(leaves(&world, 1), may, "floor {floor}");
        intend(&mut world, 0, Intent::Replace);
        assert_eq!(world.reason(0), Reason::Lagging, "one that is out needs no permission");
    }
}

#[test]
fn a_fenced_one_leaves_at_once_and_the_others_stay_for_it() {
    let mut world = World::in_sync(3);
    world.policy.min_serving = 2;
    world.policy.fenced.insert("x-2".into());
    world.judge();
    assert_eq!(world.reason(2), Reason::Fenced);
    intend(&mut world, 1, Intent::Replace);
    assert_eq!(world.reason(1), Reason::InSync);
    world.policy.fenced.clear();
    world.rounds(3);
    assert_eq!(world.reasons(), [Reason::InSync, Reason::Replacing, Reason::InSync]);
}

#[test]
fn one_that_is_not_seen_ready_counts_for_nothing() {
    let mut world = World::in_sync(3);
    world.policy.min_serving = 2;
    world.kubelet = false;
    world.member(2).ready = false;
    intend(&mut world, 0, Intent::Replace);
    assert!(!leaves(&world, 0));
    world.member(2).ready = true;
    world.judge();
    assert!(leaves(&world, 0));
}

#[test]
fn one_that_is_deleted_counts_for_nothing() {
    let mut world = World::in_sync(3);
    world.policy.min_serving = 2;
    world.member(2).terminating = true;
    intend(&mut world, 0, Intent::Replace);
    assert!(!leaves(&world, 0));
}

#[test]
fn only_one_is_out_to_be_replaced_and_it_stays_out() {
    let mut world = World::in_sync(5);
    for at in 0..5 {
        world.member(at).intent = Some(if at == 3 { Intent::Rebuild } else { Intent::Replace });
    }
    world.rounds(6);
    let mut expected = [Reason::InSync; 5];
    expected[4] = Reason::Replacing;
    assert_eq!(world.reasons(), expected);
    world.member(4).intent = None;
    world.rounds(1);
    assert_eq!((world.reason(4), world.reason(3)), (Reason::InSync, Reason::Rebuilding));
}

#[test]
fn what_has_begun_goes_on_whoever_else_is_asked_to_leave() {
    let mut world = World::in_sync(4);
    intend(&mut world, 0, Intent::Replace);
    intend(&mut world, 3, Intent::Replace);
    world.rounds(3);
    assert_eq!((world.reason(0), world.reason(3)), (Reason::Replacing, Reason::InSync));
    world.set_tips(200, &[200, 200, 200, 100]);
    world.rounds(2);
    assert_eq!((world.reason(0), world.reason(3)), (Reason::Replacing, Reason::Lagging));
    world.set_tips(200, &[200; 4]);
    world.rounds(3);
    assert_eq!(
        (world.reason(0), world.reason(3)),
        (Reason::Replacing, Reason::InSync),
        "it returns meanwhile"
    );
}

#[test]
fn one_that_is_out_to_be_replaced_returns_when_the_floor_needs_it() {
    let mut world = World::in_sync(2);
    intend(&mut world, 1, Intent::Replace);
    world.rounds(3);
    assert_eq!(world.reason(1), Reason::Replacing);
    world.member(0).container = None;
    world.judge();
    assert_eq!(
        world.reasons(),
        [Reason::NotRunning, Reason::HeldByFloor],
        "at once, and on merit when it speaks"
    );
    world.round();
    assert_eq!(world.reasons(), [Reason::NotRunning, Reason::InSync]);
    world.set_tips(200, &[100, 100]);
    world.rounds(3);
    assert_eq!(world.reason(1), Reason::HeldByFloor);
}

#[test]
fn the_only_replica_is_replaced_at_the_price_of_its_service() {
    let mut world = World::in_sync(1);
    intend(&mut world, 0, Intent::Replace);
    world.rounds(3);
    assert_eq!(world.reason(0), Reason::Replacing);
    world.set_tips(200, &[100]);
    world.rounds(3);
    assert!(leaves(&world, 0), "the floor does not take it back: {:?}", world.judgement);
}

#[test]
fn a_fleet_that_lags_as_a_whole_can_be_replaced_though_the_floor_is_all_of_it() {
    let mut world = World::in_sync(3);
    world.policy.min_serving = 3;
    world.set_tips(200, &[100, 100, 100]);
    world.rounds(3);
    assert_eq!(world.reasons(), [Reason::HeldByFloor; 3]);
    intend(&mut world, 2, Intent::Replace);
    world.rounds(2);
    assert_eq!(world.reasons(), [Reason::HeldByFloor, Reason::HeldByFloor, Reason::Replacing]);
}

#[test]
fn a_new_leader_goes_on_with_what_has_begun_and_begins_nothing_in_its_first_round() {
    let mut world = World::in_sync(3);
    intend(&mut world, 2, Intent::Replace);
    world.rounds(1);
    world.change_leader();
    world.judge();
    (0..3).for_each(|at| world.ask(at));
    world.judge();
    assert_eq!(world.reason(2), Reason::Replacing);
    world.member(2).intent = None;
    intend(&mut world, 1, Intent::Replace);
    assert!(!leaves(&world, 1), "the primary has not been heard yet");
    world.rounds(2);
    assert_eq!(world.reason(1), Reason::Replacing);
}

#[test]
fn what_is_asked_for_is_done_in_a_fleet_that_is_only_observed_too() {
    let mut world = World::in_sync(2);
    world.policy.mode = Mode::Observe;
    world.set_tips(200, &[200, 100]);
    world.rounds(2);
    assert_eq!((world.reason(1), world.open_gates()), (Reason::Lagging, 2));
    intend(&mut world, 1, Intent::Replace);
    intend(&mut world, 0, Intent::Replace);
    world.rounds(2);
    assert_eq!((world.reason(1), world.is_open(1), world.is_open(0)), (Reason::Replacing, false, true));
    world.member(1).intent = None;
    world.member(0).intent = None;
    world.policy.fenced.insert("x-0".into());
    world.rounds(2);
    assert_eq!((world.is_open(0), world.is_open(1)), (false, true));
}

#[test]
fn scaling_down_keeps_as_many_as_are_asked_for_up_to_the_floor() {
    for (replicas, floor, left) in [(2, 1, 2), (1, 1, 1), (1, 3, 1), (0, 1, 0), (0, 3, 0)] {
        let mut world = World::in_sync(3);
        (world.policy.replicas, world.policy.min_serving) = (replicas, floor);
        for at in (left..3).rev() {
            intend(&mut world, at, Intent::ScaleDown);
            assert_eq!(world.reason(at), Reason::ScalingDown, "to {replicas}, floor {floor}");
        }
        world.rounds(3);
        assert_eq!(world.open_gates(), left, "to {replicas}, floor {floor}");
    }
}

#[test]
fn scaling_down_waits_until_those_that_stay_serve() {
    let mut world = World::in_sync(2);
    world.policy.replicas = 1;
    world.set_tips(200, &[100, 200]);
    world.rounds(2);
    intend(&mut world, 1, Intent::ScaleDown);
    world.rounds(2);
    assert_eq!(world.reasons(), [Reason::Lagging, Reason::InSync]);
    world.set_tips(200, &[200, 200]);
    world.rounds(3);
    assert_eq!(world.reasons(), [Reason::InSync, Reason::ScalingDown]);
}

#[test]
fn of_laggards_the_floor_holds_the_one_that_stays() {
    let mut world = World::in_sync(2);
    world.policy.replicas = 1;
    world.set_tips(200, &[100, 150]);
    world.rounds(3);
    assert_eq!(world.reasons(), [Reason::Lagging, Reason::HeldByFloor]);
    world.kubelet = false;
    intend(&mut world, 1, Intent::ScaleDown);
    world.rounds(1);
    assert_eq!(world.reasons(), [Reason::HeldByFloor; 2], "the exit waits for the entry to be seen");
    world.member(0).ready = true;
    world.judge();
    assert!(world.verdict(0).serves && leaves(&world, 1), "{:?}", world.judgement);
}

#[test]
fn a_laggard_beyond_the_replicas_is_not_held_for_a_floor_above_them() {
    let mut world = World::in_sync(3);
    world.policy.min_serving = 3;
    world.set_tips(200, &[100, 100, 100]);
    world.rounds(3);
    world.policy.replicas = 0;
    for at in (0..3).rev() {
        intend(&mut world, at, Intent::ScaleDown);
        world.rounds(1);
        assert!(leaves(&world, at), "{at}: {:?}", world.judgement);
    }
}

#[test]
fn one_that_is_out_and_would_return_stays_out_to_be_replaced() {
    let mut world = World::in_sync(3);
    world.set_tips(200, &[100, 200, 200]);
    world.rounds(2);
    intend(&mut world, 0, Intent::Replace);
    assert_eq!(world.reason(0), Reason::Lagging);
    world.set_tips(200, &[200, 200, 200]);
    world.rounds(2);
    for _ in 0..5 {
        assert_eq!(world.reason(0), Reason::Replacing);
        world.round();
    }
}
