use crate::world::World;
use tidemark_judge::{Policy, Reason};

#[test]
fn out_at_once_when_the_lag_is_greater_than_max_lag() {
    for (behind, reason) in [(1, Reason::InSync), (2, Reason::InSync), (3, Reason::Lagging)] {
        let mut world = World::in_sync(3);
        world.set_tips(200, &[200 - behind, 200, 200]);
        world.round();
        assert_eq!(world.reason(0), reason, "{behind} behind");
        assert_eq!(world.is_open(0), reason == Reason::InSync);
    }
}

#[test]
fn back_in_when_the_lag_is_at_most_readmit_lag() {
    for (behind, reason) in
        [(0, Reason::InSync), (1, Reason::InSync), (2, Reason::CatchingUp), (3, Reason::Lagging)]
    {
        let mut world = lagging(Policy { readmit_lag: 1, ..Policy::default() });
        world.set_tips(200, &[200 - behind, 200, 200]);
        world.rounds(5);
        assert_eq!(world.reason(0), reason, "{behind} behind");
    }
}

#[test]
fn back_in_after_readmit_after_consecutive_samples() {
    for readmit_after in [1, 2, 3] {
        let mut world = lagging(Policy { readmit_after, ..Policy::default() });
        world.set_tips(200, &[200, 200, 200]);
        for sample in 1..=readmit_after {
            world.ask(0);
            world.judge();
            world.judge();
            assert_eq!(
                world.reason(0) == Reason::InSync,
                sample == readmit_after,
                "{sample} of {readmit_after}"
            );
        }
    }
}

#[test]
fn one_sample_beyond_starts_the_count_again() {
    let mut world = lagging(Policy::default());
    for tip in [200, 190, 200] {
        world.set_tips(200, &[tip, 200, 200]);
        world.round();
        assert_ne!(world.reason(0), Reason::InSync);
    }
    world.round();
    assert_eq!(world.reason(0), Reason::InSync);
}

fn lagging(policy: Policy) -> World {
    let mut world = World::in_sync(3);
    world.policy = policy;
    world.set_tips(200, &[100, 200, 200]);
    world.rounds(2);
    assert_eq!(world.reason(0), Reason::Lagging);
    world
}

#[test]
fn a_verdict_says_since_when_it_has_stood() {
    let mut world = World::in_sync(2);
    world.rounds(3);
    let since = world.verdict(0).since;
    assert!(since < world.now);
    world.set_tips(200, &[100, 200]);
    world.rounds(2);
    let out = world.verdict(0).since;
    assert!(out > since, "another verdict");
    world.rounds(3);
    assert_eq!(world.verdict(0).since, out, "the same");
}

#[test]
fn every_reason_has_a_name_that_reads_back() {
    for reason in Reason::ALL {
        assert_eq!(reason.to_string().parse(), Ok(*reason));
    }
    assert_eq!(Reason::HeldByFloor.to_string(), "HeldByFloor");
}
