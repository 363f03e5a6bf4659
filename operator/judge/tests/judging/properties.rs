//! Properties that hold for every fleet; `invariants.rs` is checked on the way at each judgement.

use crate::world::{World, ms};
use proptest::prelude::*;
use tidemark_judge::{Intent, Memory, Reason, judge};

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_members_does_not_matter(
        tips in prop::collection::vec(90_u32..110, 2..7),
        order in prop::collection::vec(any::<u32>(), 7),
    ) {
        let mut world = World::in_sync(u32::try_from(tips.len()).expect("few"));
        world.set_tips(105, &tips);
        world.rounds(2);
        world.ask_primary();
        (0..tips.len()).for_each(|at| world.ask(at));
        let mut shuffled = world.observed.clone();
        let mut keys = order.into_iter();
        shuffled.members.sort_by_cached_key(|_| keys.next());
        let one = judge(world.now, &world.policy, &world.observed, world.memory.clone());
        let other = judge(world.now, &world.policy, &shuffled, world.memory.clone());
        prop_assert_eq!(one, other);
    }

    #[test]
    fn one_rogue_cannot_take_out_a_healthy_majority(
        replicas in 3_u32..8,
        lies in prop::collection::vec(prop_oneof![0_u32..100, 103..u32::MAX], 1..20),
        primary in any::<bool>(),
        upstream in proptest::option::of(any::<u32>()),
    ) {
        let mut world = World::in_sync(replicas);
        world.primary.answers = primary;
        world.stores[0].upstream = upstream;
        for lie in lies {
            world.stores[0].tip = Some(lie);
            world.round();
            prop_assert!((1..replicas as usize).all(|at| world.is_open(at)), "{:?}", world.judgement);
        }
    }

    #[test]
    fn a_falling_reference_readmits_nobody(
        behind in 3_u32..90,
        silent in prop::collection::vec(any::<bool>(), 40),
    ) {
        let mut world = World::in_sync(3);
        world.set_tips(200, &[200, 200 - behind, 200 - behind]);
        world.rounds(2);
        prop_assert_eq!(world.reason(1), Reason::Lagging);
        for silent in silent {
            (world.primary.answers, world.stores[0].answers) = (!silent, !silent);
            world.round();
            prop_assert!(world.reason(1) != Reason::InSync && world.reason(2) != Reason::InSync);
        }
    }

    #[test]
    fn a_lag_that_stays_between_the_thresholds_changes_nothing(
        lags in prop::collection::vec(2_u32..=4, 30),
        starts_in in any::<bool>(),
    ) {
        let mut world = World::in_sync(3);
        (world.policy.max_lag, world.policy.readmit_lag) = (4, 1);
        if !starts_in {
            world.set_tips(200, &[190, 200, 200]);
            world.rounds(2);
        }
        for lag in lags {
            world.set_tips(200, &[200 - lag, 200, 200]);
            world.round();
            prop_assert_eq!(world.is_open(0), starts_in);
        }
    }

    /// The controller's part: whoever is asked to leave and is not Ready is made anew. `invariants.rs` counts.
    #[test]
    fn a_fleet_is_replaced_one_by_one_whatever_lags_meanwhile(
        replicas in 1_u32..6,
        floor in 0_u32..7,
        behind in prop::collection::vec(prop::option::weighted(0.2, 0_usize..6), 30),
    ) {
        let mut world = World::in_sync(replicas);
        world.policy.min_serving = floor;
        (0..world.stores.len()).for_each(|at| world.member(at).intent = Some(Intent::Replace));
        for laggard in behind.into_iter().map(Some).chain(std::iter::repeat_n(None, 40)) {
            let tips: Vec<u32> =
                (0..world.stores.len()).map(|at| if laggard == Some(Some(at)) { 100 } else { 200 }).collect();
            world.set_tips(200, &tips);
            world.round();
            let gone = |at: &usize| world.observed.members[*at].intent.is_some() && !world.observed.members[*at].ready;
            for at in (0..world.stores.len()).filter(gone).collect::<Vec<_>>() {
                world.recreate(at);
                world.member(at).intent = None;
            }
        }
        prop_assert!(world.observed.members.iter().all(|member| member.intent.is_none()), "{:?}", world.judgement);
        prop_assert_eq!(world.open_gates(), replicas as usize);
    }

    #[test]
    fn ten_blocks_a_second_polled_once_a_second_show_no_false_lag(
        phases in prop::collection::vec(0_u64..1000, 1..6),
        primary_phase in 0_u64..1000,
        again in any::<bool>(),
    ) {
        let mut world = World::new(u32::try_from(phases.len()).expect("few"));
        world.asks_again = again;
        fast_chain(&mut world, primary_phase, &phases, 5);
        (0..phases.len()).for_each(|at| assert_eq!(world.reason(at), Reason::InSync, "{:?}", world.judgement));
        fast_chain(&mut world, primary_phase, &phases, 20);
        prop_assert_eq!(world.open_gates(), phases.len());
    }
}

/// Every store has block k at k × 100 ms; each is polled at its own phase of every second.
fn fast_chain(world: &mut World, primary_phase: u64, phases: &[u64], seconds: u64) {
    let start = world.now.since_origin();
    for step in 0..seconds * 1000 {
        world.now = tidemark_judge::Moment::new(start + ms(step));
        let tip = u32::try_from(world.now.since_origin().as_millis() / 100).expect("small");
        world.set_tips(tip, &vec![tip; phases.len()]);
        let mut due: Vec<usize> = (0..phases.len()).filter(|at| phases[*at] == step % 1000).collect();
        if primary_phase == step % 1000 {
            world.ask_primary();
            world.judge();
            due.extend(asked_again(world));
        }
        for at in due {
            world.ask(at);
            world.judge();
            assert!(world.verdict(at).reason != Reason::Lagging, "{:?}", world.judgement);
        }
    }
    world.now = tidemark_judge::Moment::new(start + ms(seconds * 1000));
}

fn asked_again(world: &World) -> Vec<usize> {
    let asked = |at: &usize| world.judgement.ask_again.contains(&world.observed.members[*at].uid);
    (0..world.stores.len()).filter(|at| world.asks_again && asked(at)).collect()
}

#[test]
fn equal_input_gives_equal_output() {
    let world = World::in_sync(4);
    let first = judge(world.now, &world.policy, &world.observed, Memory::default());
    let second = judge(world.now, &world.policy, &world.observed, Memory::default());
    assert_eq!(first, second);
}
