use crate::world::World;
use tidemark_judge::Reason;

/// Newcomers that know only each other.
fn newcomers() -> World {
    let mut world = World::new(3);
    world.primary.answers = false;
    world
}

#[test]
fn newcomers_alone_wait_for_a_reference() {
    let mut world = newcomers();
    world.rounds(60);
    assert_eq!(world.reasons(), [Reason::AwaitingReference; 3]);
    assert!(world.has_notice("PrimarySilent") && world.has_notice("ReferenceIsFleetOnly"));
}

#[test]
fn a_fresh_primary_is_a_reference() {
    let mut world = newcomers();
    world.rounds(10);
    world.primary.answers = true;
    world.rounds(3);
    assert_eq!(world.reasons(), [Reason::InSync; 3]);
}

#[test]
fn an_upstream_tip_is_a_reference_and_newcomers_are_held_to_it() {
    for (upstream, reason) in [(102, Reason::InSync), (103, Reason::Lagging)] {
        let mut world = newcomers();
        world.stores[2].upstream = Some(upstream);
        world.rounds(10);
        assert_eq!(world.reason(0), reason, "upstream at {upstream}");
    }
}

#[test]
fn a_replica_in_sync_is_a_reference() {
    let mut world = World::in_sync(1);
    world.primary.answers = false;
    world.rounds(8);
    world.add(100);
    world.rounds(4);
    assert_eq!(world.reason(1), Reason::InSync);
}

#[test]
fn a_replica_that_only_the_floor_holds_is_none() {
    let mut world = World::in_sync(1);
    world.set_tips(200, &[100]);
    world.rounds(2);
    assert_eq!(world.reason(0), Reason::HeldByFloor);
    world.primary.answers = false;
    world.add(100);
    world.rounds(8);
    assert_eq!(world.reasons(), [Reason::HeldByFloor, Reason::AwaitingReference]);
}

#[test]
fn a_policy_that_leaves_only_the_fleet_uses_it_and_says_so() {
    let mut world = newcomers();
    world.policy.observe_primary = false;
    world.policy.upstream_reported = false;
    world.rounds(8);
    assert_eq!(world.reasons(), [Reason::InSync; 3]);
    assert!(world.has_notice("ReferenceIsFleetOnly"));
}

#[test]
fn an_unobserved_primary_is_no_licence_to_trust_the_fleet_alone() {
    for (observe, reported) in [(true, false), (false, true)] {
        let mut world = newcomers();
        (world.policy.observe_primary, world.policy.upstream_reported) = (observe, reported);
        world.rounds(8);
        assert_eq!(world.reasons(), [Reason::AwaitingReference; 3], "{observe} {reported}");
    }
}

#[test]
fn a_replica_at_the_very_threshold_is_still_a_reference() {
    let mut world = World::in_sync(1);
    world.primary.answers = false;
    world.rounds(8);
    world.add(102);
    world.rounds(4);
    assert_eq!(world.reasons(), [Reason::InSync; 2]);
}

#[test]
fn a_replica_that_nobody_confirms_is_none() {
    let mut world = World::in_sync(1);
    world.primary.answers = false;
    world.rounds(8);
    world.add(90);
    world.add(90);
    world.rounds(8);
    assert_eq!(world.reasons(), [Reason::Unconfirmed, Reason::AwaitingReference, Reason::AwaitingReference]);
}

#[test]
fn the_fleet_is_called_alone_only_when_nothing_else_speaks() {
    let says_so = |primary: bool, upstream: Option<u32>, rounds: usize| {
        let mut world = World::new(2);
        world.primary.answers = primary;
        world.stores[0].upstream = upstream;
        world.rounds(rounds);
        world.has_notice("ReferenceIsFleetOnly")
    };
    assert!(says_so(false, None, 8));
    assert!(!says_so(false, None, 2), "before the first round is over");
    assert!(!says_so(true, None, 8));
    assert!(!says_so(false, Some(100), 8));
    let mut silent = World::new(1);
    (silent.primary.answers, silent.stores[0].answers) = (false, false);
    silent.rounds(8);
    assert!(!silent.has_notice("ReferenceIsFleetOnly"), "nobody has said anything");
}

#[test]
fn the_primary_is_called_silent_only_when_it_is_observed_and_the_round_is_over() {
    let says_so = |observe: bool, rounds: usize| {
        let mut world = newcomers();
        world.policy.observe_primary = observe;
        world.rounds(rounds);
        world.has_notice("PrimarySilent")
    };
    assert!(says_so(true, 8));
    assert!(!says_so(true, 2));
    assert!(!says_so(false, 8));
}

#[test]
fn what_was_seen_upstream_is_forgotten_after_twice_stale_after() {
    let mut world = World::in_sync(2);
    world.policy.observe_primary = false;
    world.stores[0].upstream = Some(500);
    world.round();
    world.stores[0].upstream = Some(100);
    world.add(100);
    world.rounds(8);
    assert_eq!(world.reason(2), Reason::Lagging);
    world.rounds(6);
    assert_eq!(world.reason(2), Reason::InSync);
}
