use crate::world::World;
use tidemark_judge::Reason;

#[test]
fn an_answer_of_another_pod_is_no_sample() {
    let mut world = World::new(1);
    world.ask_primary();
    world.ask(0);
    world.member(0).sample.as_mut().expect("asked").pod_uid = Some("somebody-else".into());
    world.judge();
    assert_eq!(world.reason(0), Reason::AwaitingFirstSample);
}

#[test]
fn an_answer_of_another_container_is_no_sample() {
    let mut world = World::in_sync(1);
    world.restart(0);
    world.judge();
    assert_eq!(world.reason(0), Reason::AwaitingFirstSample);
    assert!(!world.is_open(0));
}

#[test]
fn a_sample_without_a_genesis_is_no_sample() {
    let mut world = World::new(1);
    world.ask_primary();
    world.ask(0);
    world.member(0).sample.as_mut().expect("asked").genesis = None;
    world.judge();
    assert_eq!(world.reason(0), Reason::AwaitingFirstSample);
}

#[test]
fn an_empty_store_is_heard_and_out() {
    let mut world = World::new(1);
    world.stores[0].tip = None;
    world.rounds(3);
    assert_eq!(world.reason(0), Reason::EmptyStore);
    assert!(!world.is_open(0));
}

#[test]
fn the_gate_falls_as_soon_as_the_container_stops() {
    let mut world = World::in_sync(1);
    world.member(0).container = None;
    world.judge();
    assert_eq!(world.reason(0), Reason::NotRunning);
    assert!(!world.is_open(0));
}

#[test]
fn a_new_boot_id_starts_over_before_the_kubelet_knows() {
    let mut world = World::in_sync(3);
    world.stores[0].boot += 1;
    world.ask(0);
    world.judge();
    assert!(!world.is_open(0));
    world.round();
    assert_eq!(world.reason(0), Reason::InSync);
}

#[test]
fn a_restart_returns_only_after_enough_samples() {
    let mut world = World::in_sync(3);
    world.restart(0);
    world.round();
    assert_eq!(world.reason(0), Reason::CatchingUp);
    world.round();
    assert_eq!(world.reason(0), Reason::InSync);
}

#[test]
fn a_pod_being_deleted_is_out_and_its_gate_left_alone() {
    let mut world = World::in_sync(2);
    world.member(0).terminating = true;
    world.judge();
    assert_eq!(world.reason(0), Reason::Terminating);
    assert_eq!(world.verdict(0).gate, None);
}

#[test]
fn a_fenced_member_is_out_and_has_no_say() {
    let mut world = World::in_sync(3);
    world.policy.fenced.insert("x-0".into());
    world.primary.answers = false;
    world.set_tips(100, &[102, 100, 100]);
    world.rounds(7);
    assert_eq!(world.reason(0), Reason::Fenced);
    assert_eq!(world.judgement.fleet_tip.map(|tip| tip.0), Some(100));
}

#[test]
fn a_restarted_process_returns_with_its_second_sample() {
    let mut world = World::in_sync(3);
    world.restart(0);
    world.rounds(1);
    assert_eq!(world.reason(0), Reason::CatchingUp);
    world.rounds(1);
    assert!(world.verdict(0).in_sync());
}

#[test]
fn a_restart_that_is_seen_together_with_its_first_sample_starts_over_too() {
    let mut world = World::in_sync(3);
    world.restart(0);
    world.ask(0);
    world.judge();
    assert_eq!(world.reason(0), Reason::CatchingUp);
}
