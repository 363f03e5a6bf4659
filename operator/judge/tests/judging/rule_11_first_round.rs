use crate::world::{CHAIN, World, ms};
use std::time::Duration;
use tidemark_judge::{BlockNumber, GateSeen, Mode, Reason, Remembered, RememberedMark};

#[test]
fn a_new_leader_changes_no_gate_and_writes_nothing() {
    let mut world = World::in_sync(3);
    world.set_tips(200, &[100, 200, 200]);
    world.rounds(2);
    world.change_leader();
    let writes = world.writes;
    world.judge();
    assert_eq!(world.reasons()[1..], [Reason::HeldFirstRound; 2]);
    world.rounds(3);
    assert_eq!(world.writes, writes);
    assert_eq!(world.reasons(), [Reason::Lagging, Reason::InSync, Reason::InSync]);
}

#[test]
fn a_new_leader_takes_nobody_out_before_all_have_been_heard() {
    let mut world = World::in_sync(3);
    world.change_leader();
    world.set_tips(200, &[100, 200, 200]);
    world.judge();
    world.ask_primary();
    world.ask(0);
    world.judge();
    assert_eq!(world.reason(0), Reason::HeldFirstRound);
    assert_eq!(world.verdict(0).held_from, Some(Reason::Lagging));
    world.ask(1);
    world.ask(2);
    world.judge();
    assert_eq!(world.reason(0), Reason::Lagging);
}

#[test]
fn the_first_round_ends_when_the_silent_have_had_their_time() {
    let mut world = World::in_sync(3);
    world.change_leader();
    world.stores[2].answers = false;
    world.set_tips(200, &[100, 200, 200]);
    world.rounds(4);
    assert_eq!(world.reason(0), Reason::HeldFirstRound);
    world.rounds(3);
    assert_eq!(world.reason(0), Reason::Lagging);
}

#[test]
fn a_container_that_stopped_needs_no_round() {
    let mut world = World::in_sync(3);
    world.change_leader();
    world.member(0).container = None;
    world.judge();
    assert_eq!(world.reason(0), Reason::NotRunning);
    assert!(!world.is_open(0));
}

#[test]
fn a_restart_while_nobody_led_is_found_by_the_message() {
    let mut world = World::in_sync(3);
    world.change_leader();
    world.restart(0);
    world.stores[0].answers = false;
    world.rounds(4);
    assert!(world.is_open(0));
    world.rounds(3);
    assert_eq!(world.reason(0), Reason::AwaitingFirstSample);
    assert!(!world.is_open(0));
}

#[test]
fn a_message_says_it_to_people_and_to_the_next_leader() {
    let remembered = Remembered {
        container: Some("containerd://ab".into()),
        mark: Some(RememberedMark { tip: BlockNumber(7), of_primary: false }),
        synced: Some("pvc-1".into()),
        diverged: Some(BlockNumber(5)),
    };
    let message = remembered.message("too far behind; 3 blocks behind 10, limit 2");
    assert_eq!(
        message,
        "too far behind; 3 blocks behind 10, limit 2 \
         [tidemark/1 container=containerd://ab mark=7 synced=pvc-1 diverged=5]"
    );
    assert_eq!(Remembered::read(&message), remembered);
    let of_primary = Some(RememberedMark { tip: BlockNumber(7), of_primary: true });
    let message = Remembered { mark: of_primary, ..Remembered::default() }.message("out");
    assert_eq!(message, "out [tidemark/1 mark=7@primary]");
    assert_eq!(Remembered::read(&message).mark, of_primary);
    for foreign in
        ["", "opened by hand", "[tidemark/1", "x [tidemark/1 mark=-1 =] [", "x [tidemark/1 mark=7@me]"]
    {
        assert_eq!(Remembered::read(foreign), Remembered::default(), "{foreign}");
    }
}

#[test]
fn what_stands_right_is_not_written_and_what_does_not_is() {
    let mut world = World::in_sync(3);
    let writes = world.writes;
    world.rounds(10);
    assert_eq!(world.writes, writes);
    world.member(0).gate = GateSeen::read("False", "ByHand", "");
    world.judge();
    assert!(world.is_open(0));
    assert_eq!(world.writes, writes + 1);
}

#[test]
fn a_risen_mark_alone_is_not_written() {
    let mut world = World::in_sync(3);
    world.set_tips(200, &[100, 200, 200]);
    world.rounds(2);
    let writes = world.writes;
    for tip in 201..220 {
        world.set_tips(tip, &[100, tip, tip]);
        world.round();
    }
    assert_eq!(world.writes, writes);
}

#[test]
fn observe_opens_after_a_valid_sample_and_only_says_the_rest() {
    let mut world = World::new(3);
    world.policy.mode = Mode::Observe;
    world.judge();
    assert_eq!(world.open_gates(), 0);
    world.set_tips(200, &[100, 200, 200]);
    world.rounds(4);
    assert_eq!(world.open_gates(), 3);
    assert_eq!(world.reasons(), [Reason::Lagging, Reason::InSync, Reason::InSync]);
    world.stores.iter_mut().for_each(|store| store.answers = false);
    world.rounds(20);
    assert_eq!(world.open_gates(), 3);
}

#[test]
fn leaving_observe_observes_a_full_round_first() {
    let mut world = World::new(3);
    world.policy.mode = Mode::Observe;
    world.set_tips(200, &[100, 200, 200]);
    world.rounds(4);
    world.policy.mode = Mode::Enforce;
    world.judge();
    assert_eq!(world.reason(0), Reason::HeldFirstRound);
    assert_eq!(world.open_gates(), 3);
    world.round();
    assert_eq!(world.reasons(), [Reason::Lagging, Reason::InSync, Reason::InSync]);
    assert_eq!(world.open_gates(), 2);
}

#[test]
fn the_same_process_under_a_new_leader_is_silent_and_not_new() {
    let mut world = World::in_sync(3);
    world.change_leader();
    world.stores[0].answers = false;
    world.rounds(7);
    assert_eq!(world.reason(0), Reason::Unknown);
}

#[test]
fn a_gate_found_open_as_in_sync_proves_its_volume_and_one_opened_by_hand_does_not() {
    for (reason, held) in [("InSync", true), ("ByHand", false)] {
        let mut world = World::in_sync(1);
        world.member(0).gate = GateSeen::read("True", reason, "");
        world.synced.clear();
        world.change_leader();
        world.set_tips(200, &[100]);
        world.rounds(4);
        assert_eq!(world.is_open(0), held, "{reason}");
    }
}

#[test]
fn an_empty_store_gives_no_valid_sample_and_observing_opens_nothing_for_it() {
    let mut world = World::new(1);
    world.policy.mode = Mode::Observe;
    world.stores[0].tip = None;
    world.rounds(3);
    assert!(!world.is_open(0));
}

#[test]
fn one_found_out_returns_like_one_that_was_taken_out() {
    let mut world = World::in_sync(3);
    world.set_tips(200, &[100, 200, 200]);
    world.rounds(2);
    world.change_leader();
    world.set_tips(200, &[200, 200, 200]);
    world.rounds(1);
    assert_eq!(world.reason(0), Reason::CatchingUp);
    world.rounds(1);
    assert_eq!(world.reason(0), Reason::InSync);
}

#[test]
fn one_that_was_never_heard_is_not_silent_under_a_new_leader_either() {
    let mut world = World::new(2);
    world.stores[0].answers = false;
    world.rounds(3);
    world.change_leader();
    world.rounds(7);
    assert_eq!(world.reason(0), Reason::AwaitingFirstSample);
}

#[test]
fn a_new_leader_finds_the_highest_mark_and_holds_those_that_are_out_to_it() {
    for marks in [[150, 200], [200, 150]] {
        let mut world = World::new(3);
        world.primary.answers = false;
        for (at, mark) in marks.into_iter().enumerate() {
            let message =
                format!("too far behind [tidemark/1 container=containerd://{} mark={mark}]", at + 1);
            world.member(at).gate = GateSeen::read("False", "Lagging", &message);
        }
        world.stores[2].upstream = Some(100);
        world.rounds(8);
        assert_eq!(world.reason(0), Reason::BelowExitMark);
        assert_eq!(world.verdict(0).reference, Some(tidemark_judge::BlockNumber(200)));
    }
}

#[test]
fn one_who_stood_by_takes_nobody_out_before_all_have_been_heard_again() {
    let mut world = World::in_sync(3);
    world.standby_takes_over();
    let writes = world.writes;
    world.set_tips(200, &[100, 200, 200]);
    world.ask_primary();
    world.ask(0);
    world.judge();
    assert_eq!((world.reason(0), world.writes), (Reason::HeldFirstRound, writes));
    world.rounds(2);
    assert_eq!(world.reason(0), Reason::Lagging);
}

/// x-1 was taken out at 200; then the fleet came to 500, and leader and reference are lost together.
fn lost_at_500(change: impl FnOnce(&mut World)) -> Reason {
    let mut world = World::in_sync(3);
    world.set_tips(200, &[200, 100, 200]);
    world.rounds(2);
    world.set_tips(500, &[500, 300, 500]);
    world.rounds(2);
    world.primary.answers = false;
    (world.stores[0].answers, world.stores[2].answers) = (false, false);
    world.stores[1].upstream = Some(300);
    change(&mut world);
    world.rounds(12);
    world.reason(1)
}

#[test]
fn one_who_stood_by_knows_the_mark_that_no_gate_tells() {
    assert_eq!(lost_at_500(with_nothing_but_memory), Reason::BelowExitMark);
    assert_ne!(lost_at_500(World::change_leader), Reason::BelowExitMark, "the gate tells of 200 alone");
}

#[test]
fn one_that_does_not_run_or_is_being_deleted_is_not_waited_for() {
    for terminating in [false, true] {
        let mut world = World::in_sync(3);
        world.change_leader();
        world.set_tips(200, &[100, 200, 200]);
        world.member(2).terminating = terminating;
        if !terminating {
            world.member(2).container = None;
        }
        world.judge();
        world.ask_primary();
        world.ask(0);
        world.ask(1);
        world.judge();
        assert_eq!(world.reason(0), Reason::Lagging, "terminating: {terminating}");
    }
}

#[test]
fn one_that_was_restarted_while_nobody_led_keeps_the_merit_it_was_found_with() {
    let mut world = World::in_sync(3);
    world.policy.readmit_lag = 1;
    world.set_tips(102, &[100, 102, 102]);
    world.rounds(2);
    world.change_leader();
    world.restart(0);
    world.rounds(1);
    assert_eq!(world.reason(0), Reason::InSync, "within maxLagBlocks");

    let mut world = World::in_sync(1);
    world.policy.readmit_lag = 1;
    world.set_tips(200, &[100]);
    world.rounds(2);
    world.set_tips(200, &[198]);
    world.rounds(1);
    world.change_leader();
    world.restart(0);
    world.rounds(2);
    assert_eq!(world.reason(0), Reason::HeldByFloor, "not within readmitLagBlocks");
}

#[test]
fn one_taken_out_in_the_first_round_is_not_let_in_by_a_restart() {
    let mut world = World::in_sync(3);
    world.change_leader();
    world.writes_arrive = false;
    world.member(0).container = None;
    world.judge();
    world.restart(0);
    world.judge();
    assert_eq!(world.reason(0), Reason::AwaitingFirstSample);
}

/// Nothing that was asked counts any more, and no gate or status says what was known.
fn with_nothing_but_memory(world: &mut World) {
    world.standby_takes_over();
    world.observed.primary = None;
    world.observed.pinned_genesis = None;
    world.observed.members.iter_mut().for_each(|member| member.sample = None);
}

#[test]
fn one_who_stood_by_knows_the_genesis() {
    let mut world = World::in_sync(2);
    with_nothing_but_memory(&mut world);
    world.judge();
    assert_eq!(world.judgement.genesis, Some(CHAIN));
}

#[test]
fn one_who_stood_by_knows_how_long_the_chain_has_stood_still() {
    let mut world = World::in_sync(2);
    world.rounds(50);
    with_nothing_but_memory(&mut world);
    world.rounds(15);
    assert!(world.has_notice("NoNewBlocks"));
}

#[test]
fn one_who_stood_by_knows_which_volumes_were_in_sync() {
    let mut world = World::in_sync(1);
    with_nothing_but_memory(&mut world);
    world.member(0).gate = GateSeen::read("True", "ByHand", "");
    world.set_tips(200, &[100]);
    world.rounds(4);
    assert_eq!(world.reason(0), Reason::HeldByFloor);
}

#[test]
fn what_the_primary_alone_had_said_it_may_take_back_under_the_next_leader_too() {
    let mut world = World::in_sync(2);
    world.set_tips(200, &[100, 100]);
    world.rounds(2);
    world.standby_takes_over();
    world.set_tips(100, &[100, 100]);
    world.rounds(4);
    assert_eq!(world.reasons(), [Reason::InSync; 2]);
}

#[test]
fn one_who_stood_by_counts_no_answer_from_before_as_heard() {
    let mut world = World::in_sync(3);
    world.standby_takes_over();
    world.judge();
    world.set_tips(200, &[100, 200, 200]);
    world.ask_primary();
    world.ask(0);
    world.judge();
    assert_eq!(world.reason(0), Reason::HeldFirstRound);
}

#[test]
fn the_silent_have_as_long_as_a_sample_counts() {
    for (longer, over) in [(ms(0), false), (ms(1), true)] {
        let mut world = World::in_sync(3);
        world.change_leader();
        world.set_tips(200, &[100, 200, 200]);
        let started = world.now;
        for second in 0..5 {
            world.now = started.plus(ms(1000 * second));
            world.judge();
            world.ask_primary();
            world.ask(0);
            world.ask(1);
        }
        world.now = started.plus(world.policy.stale_after + longer);
        world.judge();
        assert_eq!(world.reason(0) == Reason::Lagging, over, "{longer:?} longer");
    }
}

/// x-0 lags; nobody is judged for so long after everybody was in sync.
fn after_a_pause_of(pause: Duration, poll_interval: Duration) -> Reason {
    let mut world = World::in_sync(3);
    world.policy.poll_interval = poll_interval;
    world.set_tips(200, &[100, 200, 200]);
    let judged_at = world.now;
    world.judge();
    world.now = judged_at.plus(pause - ms(2));
    world.ask_primary();
    world.ask(0);
    world.judge();
    world.reason(0)
}

#[test]
fn one_who_stood_still_observes_a_round_first() {
    let (second, half) = (ms(1000), ms(2500));
    assert_eq!(after_a_pause_of(half, second), Reason::Lagging, "half of staleAfter");
    assert_eq!(after_a_pause_of(half + ms(1), second), Reason::HeldFirstRound);
    assert_eq!(after_a_pause_of(ms(4000), second * 2), Reason::Lagging, "twice pollInterval");
    assert_eq!(after_a_pause_of(ms(4001), second * 2), Reason::HeldFirstRound);
}

#[test]
fn standing_still_lets_nobody_in_whose_gate_was_to_be_closed() {
    let mut world = World::in_sync(3);
    world.writes_arrive = false;
    world.set_tips(200, &[100, 200, 200]);
    world.rounds(2);
    assert!(!world.verdict(0).serves && world.is_open(0));
    world.advance(ms(10_000));
    world.judge();
    assert!(!world.verdict(0).serves, "{:?}", world.judgement);
}
