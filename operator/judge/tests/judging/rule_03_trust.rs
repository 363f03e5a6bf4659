use crate::world::{CHAIN, OTHER_CHAIN, World, ms};
use std::time::Duration;
use tidemark_judge::{BlockNumber, Reason};

#[test]
fn another_genesis_is_out() {
    let mut world = World::in_sync(3);
    world.stores[0].genesis = OTHER_CHAIN;
    world.rounds(1);
    assert_eq!(world.reason(0), Reason::WrongGenesis);
    assert!(!world.is_open(0));
    assert!(world.has_notice("WrongGenesis"));
}

#[test]
fn a_wrong_pin_takes_no_healthy_fleet_out_and_lets_nobody_in() {
    let mut world = World::in_sync(3);
    world.policy.genesis = Some(OTHER_CHAIN);
    world.add(100);
    world.rounds(3);
    assert_eq!(world.open_gates(), 3);
    assert_eq!(world.reason(3), Reason::WrongGenesis);
    assert!(world.has_notice("WrongGenesis") && world.has_notice("PrimaryWrongGenesis"));
    assert!(!world.has_notice("PrimarySilent"));
}

#[test]
fn the_primary_pins_the_genesis_before_the_first_follower_does() {
    let mut world = World::new(1);
    world.stores[0].genesis = OTHER_CHAIN;
    world.ask(0);
    world.judge();
    assert_eq!(world.judgement.genesis, None);
    world.round();
    assert_eq!(world.judgement.genesis, Some(CHAIN));
}

#[test]
fn two_genesis_of_equal_weight_pin_nothing() {
    let mut world = World::new(2);
    world.policy.observe_primary = false;
    world.stores[0].genesis = OTHER_CHAIN;
    world.ask(0);
    world.ask(1);
    world.judge();
    assert_eq!(world.judgement.genesis, None);
}

#[test]
fn the_primary_is_right_about_a_fork() {
    let mut world = World::in_sync(3);
    world.stores[0].forks_at = Some(101);
    world.set_tips(102, &[102, 102, 102]);
    world.rounds(4);
    assert_eq!(world.reason(0), Reason::Diverged);
    assert!(world.has_notice("MembersDiverged"));
    assert_eq!(world.open_gates(), 2);
}

#[test]
fn a_laggard_hides_no_fork_above_it() {
    let mut world = World::in_sync(4);
    world.policy.min_serving = 4;
    world.stores[0].forks_at = Some(101);
    world.set_tips(102, &[102, 102, 102, 50]);
    world.rounds(4);
    assert_eq!((world.reason(0), world.reason(3)), (Reason::Diverged, Reason::HeldByFloor));
}

#[test]
fn one_that_forked_and_stopped_is_found_however_far_behind() {
    let mut world = World::in_sync(4);
    world.policy.min_serving = 4;
    (world.stores[0].forks_at, world.stores[1].forks_at) = (Some(101), None);
    world.set_tips(500, &[102, 102, 500, 500]);
    world.rounds(8);
    assert_eq!(world.reason(0), Reason::Diverged, "the floor holds no such store");
    assert_eq!(world.reason(1), Reason::HeldByFloor, "one that stopped on the right side is as good as any");
    assert!(!world.is_open(0) && world.is_open(1));
}

#[test]
fn a_height_of_one_behind_is_asked_once_and_the_others_are_asked_on() {
    for observe_primary in [true, false] {
        let mut world = World::in_sync(3);
        world.policy.observe_primary = observe_primary;
        let mut asked = Vec::new();
        for second in 0..20_u32 {
            world.set_tips(110 + second, &[105, 110 + second, 110 + second]);
            world.ask_primary();
            for at in 0..3 {
                world.ask(at);
                world.judge();
                asked.extend(world.judgement.ask_height.map(|height| height.0));
            }
            world.advance(Duration::from_secs(1));
        }
        asked.dedup();
        assert_eq!(asked.iter().filter(|height| **height == 105).count(), 1, "{asked:?}");
        assert!(asked.len() > 10, "{asked:?}");
    }
}

#[test]
fn one_behind_that_was_alone_with_its_answer_is_asked_again() {
    let mut world = World::in_sync(4);
    let all_but_the_first = |world: &mut World, chooses: Option<u32>| {
        world.primary.chooses = chooses;
        world.stores.iter_mut().skip(1).for_each(|store| store.chooses = chooses);
    };
    all_but_the_first(&mut world, Some(1));
    world.stores[0].forks_at = Some(101);
    world.set_tips(500, &[102, 500, 500, 500]);
    world.rounds(20);
    assert_eq!(world.reason(0), Reason::Lagging);
    all_but_the_first(&mut world, None);
    world.rounds(20);
    assert_eq!(world.reason(0), Reason::Diverged);
}

#[test]
fn one_behind_whose_tip_fell_and_rose_again_is_asked_again() {
    for restarts in [false, true] {
        let mut world = World::in_sync(4);
        world.set_tips(500, &[120, 500, 500, 500]);
        world.rounds(8);
        world.stores[0].forks_at = Some(101);
        if restarts {
            world.restart(0);
            world.stores[0].tip = Some(120);
        } else {
            world.stores[0].tip = Some(100);
            world.rounds(1);
            world.stores[0].tip = Some(120);
        }
        world.rounds(12);
        assert_eq!(world.reason(0), Reason::Diverged, "restarts: {restarts}");
    }
}

#[test]
fn those_behind_take_turns_and_one_without_hashes_keeps_no_other_waiting_for_good() {
    let mut world = World::in_sync(5);
    world.stores[3].chooses = Some(1);
    world.stores[4].forks_at = Some(101);
    world.set_tips(500, &[500, 500, 500, 120, 130]);
    world.rounds(30);
    assert_eq!(world.reason(4), Reason::Diverged);
}

#[test]
fn a_fork_is_known_to_the_next_leader_and_of_the_next_pod_on_that_volume() {
    let diverged = || {
        let mut world = World::in_sync(4);
        world.policy.min_serving = 4;
        world.stores[0].forks_at = Some(101);
        world.set_tips(102, &[102; 4]);
        world.rounds(4);
        assert_eq!(world.reason(0), Reason::Diverged);
        world
    };
    let check = |mut world: World, what: &str| {
        // Nobody but the floor would ask for it now, and it gives no hash by which it could be found again.
        world.set_tips(900, &[102, 500, 500, 500]);
        world.stores[0].chooses = Some(1);
        for _ in 0..8 {
            world.round();
            assert!(!world.is_open(0), "{what}: {:?}", world.verdict(0));
        }
        assert_eq!(world.reason(0), Reason::Diverged, "{what}");
        // And until it agrees.
        (world.stores[0].forks_at, world.stores[0].chooses) = (None, None);
        world.set_tips(901, &[901; 4]);
        world.rounds(10);
        assert_eq!(world.reason(0), Reason::InSync, "{what}");
    };
    let mut world = diverged();
    world.change_leader();
    check(world, "another leader");
    let mut world = diverged();
    world.standby_takes_over();
    check(world, "a standby");
    let mut world = diverged();
    world.recreate(0);
    check(world, "another pod");
    let mut world = diverged();
    world.standby_takes_over();
    world.recreate(0);
    check(world, "a standby, and another pod");
}

#[test]
fn a_volume_that_is_made_anew_has_not_diverged() {
    let mut world = World::in_sync(3);
    world.stores[0].forks_at = Some(101);
    world.set_tips(102, &[102; 3]);
    world.rounds(4);
    assert_eq!(world.reason(0), Reason::Diverged);
    world.recreate(0);
    world.member(0).volume = "another".into();
    world.stores[0].forks_at = None;
    world.round();
    assert_ne!(world.reason(0), Reason::Diverged);
}

#[test]
fn a_contradiction_stays_while_lower_blocks_agree() {
    let mut world = World::in_sync(4);
    world.stores.iter_mut().take(3).for_each(|store| store.forks_at = Some(102));
    world.set_tips(102, &[102; 4]);
    world.rounds(4);
    assert!(world.has_notice("Divergence"));
    world.stores[3].tip = Some(101);
    for _ in 0..8 {
        world.round();
        assert!(world.has_notice("Divergence"), "block 102 is still three to one");
    }
    world.stores.iter_mut().for_each(|store| store.forks_at = None);
    world.set_tips(101, &[101; 4]);
    world.rounds(8);
    assert!(!world.has_notice("Divergence"), "nobody has that block any more");
}

#[test]
fn without_a_primary_the_larger_side_is_right() {
    let mut world = fork_without_primary(3, 1);
    world.rounds(8);
    assert_eq!(world.reasons()[..3], [Reason::Diverged, Reason::InSync, Reason::InSync]);
}

#[test]
fn a_tie_takes_nobody_out_and_is_reported() {
    let mut world = fork_without_primary(4, 2);
    world.rounds(8);
    assert_eq!(world.open_gates(), 4);
    assert!(world.has_notice("Divergence"));
}

#[test]
fn half_of_the_set_may_be_out_as_diverged_and_no_more() {
    for (forked, open) in [(1, 3), (2, 2), (3, 4)] {
        let mut world = World::in_sync(4);
        world.stores.iter_mut().take(forked).for_each(|store| store.forks_at = Some(101));
        world.set_tips(102, &[102; 4]);
        world.rounds(4);
        assert_eq!(world.open_gates(), open, "{forked} forked");
        assert_eq!(world.has_notice("Divergence"), forked == 3);
    }
}

#[test]
fn a_diverged_member_returns_when_its_blocks_agree_again() {
    let mut world = World::in_sync(3);
    world.stores[0].forks_at = Some(101);
    world.set_tips(102, &[102; 3]);
    world.rounds(4);
    assert_eq!(world.reason(0), Reason::Diverged);
    world.stores[0].forks_at = None;
    world.restart(0);
    world.set_tips(103, &[103; 3]);
    world.rounds(8);
    assert_eq!(world.reason(0), Reason::InSync);
}

#[test]
fn a_primary_that_chooses_the_heights_is_met_there_and_is_right_about_a_fork_of_the_most() {
    let mut world = World::in_sync(3);
    world.primary.chooses = Some(101);
    world.stores.iter_mut().take(2).for_each(|store| store.forks_at = Some(101));
    world.set_tips(102, &[102; 3]);
    world.round();
    world.set_tips(103, &[103; 3]);
    for _ in 0..8 {
        world.round();
        assert_eq!(world.judgement.ask_height, Some(BlockNumber(101)), "the primary's own height");
        assert!(!world.has_notice("MembersDiverged"), "two of three are a majority: {:?}", world.judgement);
    }
    assert!(world.has_notice("Divergence"));
    world.stores[1].forks_at = None;
    world.rounds(3);
    assert!(!world.has_notice("Divergence"));
    assert_eq!(world.reasons(), [Reason::Diverged, Reason::InSync, Reason::InSync]);
}

#[test]
fn comparisons_are_as_far_apart_as_hashes_are_dear() {
    let mut world = World::in_sync(3);
    world.policy.compare_every = Duration::from_secs(30);
    let mut asked = Vec::new();
    for second in 0..70_u32 {
        world.set_tips(101 + second, &[101 + second; 3]);
        world.round();
        asked.extend(world.judgement.ask_height.map(|height| height.0));
    }
    asked.dedup();
    assert!((2..=3).contains(&asked.len()), "{asked:?}");
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] >= 30), "{asked:?}");
}

fn fork_without_primary(replicas: u32, forked: usize) -> World {
    let mut world = World::in_sync(replicas);
    world.policy.observe_primary = false;
    world.stores.iter_mut().take(forked).for_each(|store| store.forks_at = Some(101));
    world.set_tips(102, &vec![102; replicas as usize]);
    world
}

#[test]
fn a_tip_is_unconfirmed_when_more_than_max_lag_above_the_next() {
    for (tip, fleet_tip, reason) in
        [(101, 101, Reason::InSync), (102, 102, Reason::InSync), (103, 100, Reason::Unconfirmed)]
    {
        let mut world = World::in_sync(3);
        world.set_tips(100, &[tip, 100, 100]);
        world.rounds(7);
        assert_eq!(world.judgement.fleet_tip, Some(BlockNumber(fleet_tip)), "at {tip}");
        assert_eq!(world.reason(0), reason, "at {tip}");
        assert_eq!(world.open_gates(), 3, "at {tip}");
    }
}

#[test]
fn an_unconfirmed_newcomer_stays_out() {
    let mut world = World::in_sync(2);
    world.add(9000);
    world.rounds(3);
    assert_eq!(world.reason(2), Reason::Unconfirmed);
    assert!(!world.is_open(2));
}

#[test]
fn an_upstream_tip_seen_elsewhere_confirms() {
    let mut world = World::in_sync(3);
    world.policy.observe_primary = false;
    world.set_tips(200, &[200, 100, 100]);
    world.stores[1].upstream = Some(198);
    world.rounds(2);
    assert_eq!(world.judgement.fleet_tip, Some(BlockNumber(200)));
    assert_eq!(world.reason(2), Reason::Lagging);
}

#[test]
fn its_own_upstream_confirms_nothing() {
    let mut world = World::in_sync(3);
    world.policy.observe_primary = false;
    world.set_tips(200, &[200, 100, 100]);
    world.stores[0].upstream = Some(200);
    world.rounds(7);
    assert_eq!(world.judgement.fleet_tip, Some(BlockNumber(100)));
    assert_eq!(world.open_gates(), 3);
}

#[test]
fn a_majority_is_one_of_those_that_are_not_being_deleted() {
    let mut world = World::in_sync(2);
    world.member(1).terminating = true;
    world.policy.genesis = Some(OTHER_CHAIN);
    world.judge();
    assert!(world.is_open(0), "the one that is left is all of the set");
    let mut world = World::in_sync(3);
    world.member(1).terminating = true;
    world.stores[0].genesis = OTHER_CHAIN;
    world.stores[1].genesis = OTHER_CHAIN;
    world.rounds(1);
    assert!(!world.is_open(0), "one that is being deleted has no say in it");
}

#[test]
fn one_of_two_is_no_majority() {
    let mut world = World::in_sync(2);
    world.stores[0].genesis = OTHER_CHAIN;
    world.rounds(1);
    assert!(!world.is_open(0));
}

#[test]
fn one_that_gives_no_hash_delays_a_comparison_and_does_not_prevent_it() {
    let mut world = World::in_sync(3);
    // Rounds whose times never add up to staleAfter.
    world.policy.poll_interval = std::time::Duration::from_millis(1003);
    world.stores[2].chooses = Some(1);
    world.stores[0].forks_at = Some(101);
    world.set_tips(102, &[102, 102, 102]);
    world.rounds(3);
    assert_eq!(world.reason(0), Reason::InSync);
    world.rounds(10);
    assert_eq!(world.reason(0), Reason::Diverged);
}

#[test]
fn without_a_primary_most_of_the_followers_pin_the_genesis() {
    for silent in [true, false] {
        let mut world = World::new(3);
        world.policy.observe_primary = silent;
        world.primary.answers = false;
        world.stores[0].genesis = OTHER_CHAIN;
        (0..3).for_each(|at| world.ask(at));
        world.judge();
        world.rounds(8);
        assert_eq!(world.judgement.genesis, Some(CHAIN));
    }
}

#[test]
fn one_that_gives_no_hash_is_waited_for_as_long_as_a_sample_counts() {
    for (longer, diverged) in [(ms(0), false), (ms(1), true)] {
        let mut world = World::in_sync(3);
        world.stores[2].chooses = Some(1);
        world.stores[0].forks_at = Some(101);
        world.set_tips(102, &[102; 3]);
        while world.judgement.ask_height != Some(BlockNumber(102)) {
            ask_all(&mut world);
            world.judge();
        }
        let patience = world.now.plus(world.policy.stale_after);
        world.advance(world.policy.stale_after / 2);
        ask_all(&mut world);
        world.judge();
        world.now = patience.plus(longer);
        world.judge();
        assert_eq!(world.has_notice("MembersDiverged"), diverged, "{longer:?} longer");
    }
}

fn ask_all(world: &mut World) {
    world.ask_primary();
    (0..world.stores.len()).for_each(|at| world.ask(at));
}

#[test]
fn one_that_is_contested_is_not_let_in() {
    let mut world = World::in_sync(4);
    (world.policy.observe_primary, world.policy.readmit_after) = (false, 10);
    world.set_tips(101, &[101, 101, 101, 90]);
    world.rounds(2);
    world.set_tips(101, &[101; 4]);
    world.rounds(2);
    assert_eq!(world.reason(3), Reason::CatchingUp);
    world.stores.iter_mut().take(2).for_each(|store| store.forks_at = Some(102));
    world.set_tips(102, &[102; 4]);
    world.rounds(15);
    assert_eq!((world.reason(3), world.open_gates()), (Reason::Diverged, 3));
}
