//! What people read of judgements.

use crate::world::{CHAIN, OTHER_CHAIN, World, ms};
use tidemark_judge::{BlockNumber, Event, Notice};

#[test]
fn every_notice_says_what_is_wrong_with_whom_and_of_which_condition_it_is() {
    let (height, pods) = (BlockNumber(7), vec!["x-0".into(), "x-1".into()]);
    let silent = pods.clone();
    let said = [
        (
            Notice::ChainStalled { tip: height, for_at_least: ms(60_000) },
            "ChainStalled NoNewBlocks",
            "no block after 7 for at least 60 s; check the primary",
        ),
        (
            Notice::MembersSilent { silent: silent.clone(), held: Vec::new() },
            "ObservationDegraded MembersSilent",
            "no fresh sample from x-0, x-1",
        ),
        (
            Notice::MembersSilent { silent, held: vec!["x-1".into()] },
            "ObservationDegraded MembersSilent",
            "no fresh sample from x-0, x-1; kept in: x-1",
        ),
        (
            Notice::PrimarySilent,
            "ObservationDegraded PrimarySilent",
            "no fresh sample from the primary; check its address and network",
        ),
        (
            Notice::PrimaryWrongGenesis { pinned: CHAIN, found: OTHER_CHAIN },
            "Degraded PrimaryWrongGenesis",
            "correct spec.primary.url, or set spec.primary.genesis to the chain that is meant",
        ),
        (
            Notice::Divergence { height, pods: pods.clone() },
            "Degraded Divergence",
            "nobody is taken out: x-0, x-1; compare them by hand",
        ),
        (
            Notice::MembersDiverged { height, pods },
            "Degraded MembersDiverged",
            "x-0, x-1 hold other blocks at height 7 than the rest; rebuild them from a good store",
        ),
        (
            Notice::MembersWrongGenesis { pinned: CHAIN, found: vec![("x-0".into(), OTHER_CHAIN)] },
            "Degraded WrongGenesis",
            "x-0 follows 0x0202",
        ),
        (
            Notice::FloorAboveReplicas { min_serving: 4, replicas: 3 },
            "Accepted FloorAboveReplicas",
            "health.minServing is 4, but there are only 3 replicas; lower it or scale up",
        ),
        (
            Notice::ReferenceIsFleetOnly,
            "ObservationDegraded ReferenceIsFleetOnly",
            "a fleet that is behind as a whole looks fresh; set primary.observe",
        ),
    ];
    for (notice, name, text) in said {
        assert_eq!(format!("{} {}", notice.condition().as_str(), notice.reason()), name);
        assert!(notice.to_string().contains(text), "{notice}");
        assert_eq!(notice.to_string().contains("kept in"), text.contains("kept in"), "{notice}");
    }
}

#[test]
fn a_mark_that_is_forgotten_is_told_with_its_height() {
    let event = Event::MarkForgotten { mark: BlockNumber(200) };
    assert!(event.to_string().starts_with("height 200 is no longer demanded"), "{event}");
}

#[test]
fn a_verdict_says_why_how_far_behind_what_and_the_limit() {
    let mut world = World::in_sync(3);
    world.set_tips(200, &[200, 100, 90]);
    world.policy.min_serving = 2;
    world.policy.readmit_lag = 1;
    world.restart(2);
    world.stores[2].answers = false;
    world.rounds(2);
    let said = [0, 1, 2].map(|at| world.verdict(at).text());
    let expected = [
        "in sync; 0 blocks behind 200, limit 2",
        "held in because the set has too few others instead of Lagging; 100 blocks behind 200, limit 1",
        "not yet heard from since its process started",
    ];
    assert_eq!(said, expected);
}
