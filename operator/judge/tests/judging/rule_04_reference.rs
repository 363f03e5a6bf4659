use crate::world::{World, ms};
use tidemark_judge::{BlockNumber, Reason};

#[test]
fn the_reference_is_the_maximum_of_trusted_tips_primary_included() {
    for (observe, fleet_tip) in [(true, 102), (false, 101)] {
        let mut world = World::in_sync(3);
        world.policy.observe_primary = observe;
        world.set_tips(102, &[101, 100, 100]);
        world.rounds(1);
        assert_eq!(world.judgement.fleet_tip, Some(BlockNumber(fleet_tip)));
    }
}

#[test]
fn a_sample_is_measured_against_what_was_known_before_it_was_asked_for() {
    let mut world = World::in_sync(1);
    world.asks_again = false;
    world.ask(0);
    world.set_tips(110, &[100]);
    world.ask_primary();
    world.judge();
    assert_eq!(world.verdict(0).lag, Some(0));
    assert_eq!(world.judgement.fleet_tip, Some(BlockNumber(110)));
    world.ask(0);
    world.judge();
    assert_eq!(world.verdict(0).lag, Some(10));
    assert_eq!(world.verdict(0).reference, Some(BlockNumber(110)));
}

#[test]
fn a_higher_reference_asks_again_at_once_and_once_an_interval() {
    for (primary, asked) in [(102, false), (103, true)] {
        let mut world = World::in_sync(1);
        world.ask(0);
        world.set_tips(primary, &[100]);
        world.ask_primary();
        world.judge();
        assert_eq!(!world.judgement.ask_again.is_empty(), asked, "primary at {primary}");
    }
    let mut world = World::in_sync(1);
    world.set_tips(110, &[100]);
    world.ask_primary();
    world.judge();
    let asked_at = world.now;
    for (after, asked) in [(0, false), (999, false), (1000, true)] {
        world.now = asked_at.plus(ms(after));
        world.judge();
        assert_eq!(!world.judgement.ask_again.is_empty(), asked, "{after} ms later");
    }
}

#[test]
fn reaction_takes_one_interval_and_a_round_trip() {
    let mut world = World::in_sync(3);
    world.set_tips(103, &[100, 103, 103]);
    let crossed = world.now;
    world.ask_primary();
    world.judge();
    let asked = world.judgement.ask_again.clone();
    assert_eq!(asked.len(), 3);
    world.ask(0);
    world.judge();
    assert_eq!(world.reason(0), Reason::Lagging);
    assert!(world.now.since(crossed) < ms(10));
}

#[test]
fn the_proven_tip_is_the_maximum_too() {
    let mut world = World::in_sync(2);
    world.set_tips(101, &[100, 99]);
    world.round();
    assert_eq!(world.judgement.proven_tip, Some(BlockNumber(101)));
}

/// A follower that lags says so after every answer of others, however seldom all are asked.
#[test]
fn a_laggard_is_measured_against_what_was_known_before_it_was_asked_and_long_after() {
    for primary in [true, false] {
        let mut world = World::in_sync(3);
        world.policy.poll_interval = ms(3000);
        world.policy.stale_after = ms(6000);
        world.policy.observe_primary = primary;
        world.asks_again = false;
        world.set_tips(200, &[100, 200, 200]);
        world.rounds(3);
        assert_eq!(world.reason(0), Reason::Lagging, "{:?}", world.judgement);
        for tip in (202..220).step_by(2) {
            world.set_tips(tip, &[100, tip, tip]);
            world.ask_primary();
            world.judge();
            assert_eq!(world.reason(0), Reason::Lagging, "{:?}", world.judgement);
            world.round();
            assert_eq!(world.reason(0), Reason::Lagging, "{:?}", world.judgement);
        }
    }
}

#[test]
fn what_the_primary_said_is_known_as_long_as_a_sample_measured_by_it_counts() {
    let mut world = World::in_sync(1);
    world.set_tips(110, &[100]);
    world.rounds(2);
    world.stores[0].answers = false;
    world.rounds(4);
    assert_eq!(world.verdict(0).lag, Some(10));
}
