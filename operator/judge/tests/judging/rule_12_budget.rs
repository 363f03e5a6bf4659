use crate::world::World;
use tidemark_judge::may_leave;

#[test]
fn what_is_left_must_be_the_floor() {
    for (replicas, floor, may) in [(3, 2, true), (3, 3, true), (1, 1, true), (2, 1, true)] {
        let mut world = World::in_sync(replicas);
        world.policy.min_serving = floor;
        assert_eq!(ask(&mut world, 0), may, "{replicas} replicas, floor {floor}");
    }
}

#[test]
fn one_that_is_out_already_takes_the_place_of_another() {
    for (floor, may) in [(1, true), (2, false)] {
        let mut world = World::in_sync(3);
        world.policy.min_serving = floor;
        world.set_tips(200, &[100, 200, 200]);
        world.rounds(2);
        assert_eq!(ask(&mut world, 1), may, "floor {floor}");
        assert!(ask(&mut world, 0), "one that does not serve may always leave");
    }
}

#[test]
fn one_that_is_not_ready_counts_for_nothing() {
    let mut world = World::in_sync(3);
    world.policy.min_serving = 2;
    world.kubelet = false;
    world.member(2).ready = false;
    world.judge();
    assert!(!ask(&mut world, 0));
}

fn ask(world: &mut World, at: usize) -> bool {
    let uid = world.member(at).uid.clone();
    may_leave(&world.policy, &world.observed, &world.judgement, &uid)
}
