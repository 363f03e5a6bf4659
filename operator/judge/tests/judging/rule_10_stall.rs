use crate::world::{World, ms};
use tidemark_judge::Reason;

#[test]
fn a_chain_stalls_after_stall_after_and_nobody_goes_out_for_it() {
    let mut world = World::new(2);
    world.round();
    world.set_tips(101, &[101, 101]);
    world.ask_primary();
    world.judge();
    let risen_at = world.now;
    for (after, stalled) in [(59_999, false), (60_000, true), (60_001, true)] {
        world.now = risen_at.plus(ms(after - 10));
        world.ask_primary();
        (0..2).for_each(|at| world.ask(at));
        world.now = risen_at.plus(ms(after));
        world.judge();
        assert_eq!(world.has_notice("NoNewBlocks"), stalled, "{after} ms after the last rise");
    }
    world.rounds(3);
    assert_eq!(world.reasons(), [Reason::InSync; 2]);
}

#[test]
fn measured_lag_still_counts_while_the_chain_stands() {
    let mut world = World::in_sync(3);
    world.rounds(70);
    world.stores[0].tip = Some(90);
    world.round();
    assert_eq!(world.reason(0), Reason::Lagging);
    assert!(world.has_notice("NoNewBlocks"));
}

#[test]
fn a_reference_that_falls_and_returns_has_not_risen() {
    let mut world = World::in_sync(2);
    for round in 0..70 {
        world.set_tips(100, &[100, 100]);
        world.primary.tip = Some(100 - round % 2);
        world.stores.iter_mut().for_each(|store| store.tip = Some(100 - round % 2));
        world.round();
    }
    assert!(world.has_notice("NoNewBlocks"));
}

/// Whether the chain counts as stalled after its tip was each of these for so many seconds, with `stallAfter: 10s` and
/// `forgetAfter: 20s`.
fn is_stalled_after(course: &[(u32, usize)]) -> bool {
    let mut world = World::in_sync(2);
    (world.policy.stall_after, world.policy.forget_after) = (ms(10_000), ms(20_000));
    for (tip, seconds) in course {
        world.set_tips(*tip, &[*tip; 2]);
        world.rounds(*seconds);
    }
    world.has_notice("NoNewBlocks")
}

#[test]
fn a_reference_that_stays_lower_for_forget_after_is_the_new_base() {
    assert!(is_stalled_after(&[(100, 15), (90, 10), (91, 2)]), "not yet");
    assert!(!is_stalled_after(&[(100, 15), (90, 25), (91, 2)]));
    assert!(is_stalled_after(&[(100, 15), (90, 25)]), "a lower base is no rise");
    assert!(is_stalled_after(&[(100, 33), (90, 8), (91, 2)]), "it was 100 a moment ago");
    assert!(is_stalled_after(&[(100, 15), (90, 25), (80, 2), (81, 2)]), "it was 90 a moment ago");
}
