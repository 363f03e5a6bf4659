use crate::world::{World, ms};
use tidemark_judge::Reason;

#[test]
fn a_sample_is_stale_when_older_than_stale_after() {
    for (age, expected) in [(4999, Reason::InSync), (5000, Reason::InSync), (5001, Reason::Unknown)] {
        let mut world = World::in_sync(3);
        let asked_at = world.member(0).sample.as_ref().expect("asked").asked_at;
        for moment in [age / 3, age * 2 / 3, age] {
            world.now = asked_at.plus(ms(moment));
            (1..3).for_each(|at| world.ask(at));
            world.now = asked_at.plus(ms(moment));
            world.judge();
        }
        assert_eq!(world.reason(0), expected, "after {age} ms");
    }
}

#[test]
fn silence_never_readmits() {
    let mut world = World::in_sync(3);
    world.set_tips(110, &[100, 110, 110]);
    world.rounds(2);
    assert_eq!(world.reason(0), Reason::Lagging);
    world.stores[0].answers = false;
    world.rounds(700);
    assert_eq!(world.reason(0), Reason::Unknown);
    assert!(!world.is_open(0));
}

#[test]
fn what_is_stale_or_gone_does_not_count_in_the_fleet_tip() {
    for emptied in [true, false] {
        let mut world = World::in_sync(3);
        world.set_tips(200, &[200, 198, 198]);
        world.rounds(2);
        world.primary.answers = false;
        if emptied {
            world.stores[0].tip = None;
        } else {
            world.stores[0].answers = false;
        }
        world.rounds(8);
        assert_eq!(world.judgement.fleet_tip, Some(tidemark_judge::BlockNumber(198)));
    }
}
