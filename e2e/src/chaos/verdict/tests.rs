use std::{
    collections::BTreeMap,
    sync::LazyLock,
    time::{Duration, Instant},
};

use super::{Doer, Reads, Sum, Verdict, judge};
use crate::chaos::{
    Victim,
    record::{Outage, PodSeen, ReadSeen, Record},
};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn at(ms: u64) -> Instant {
    *START + Duration::from_millis(ms)
}

/// A record of twenty seconds: the primary makes a block each second, `a` and `b` follow it, all looked at each 100 ms.
struct Story(Record);

impl Story {
    fn new() -> Self {
        let tips: Vec<_> = (0..200).map(|n| (at(n * 100), u32::try_from(n / 10).expect("small"))).collect();
        let followers = ["a", "b"].map(|name| (name.to_owned(), tips.clone())).into();
        let story = Self(Record { max_lag: 2, floor: 1, primary: tips, followers, ..Record::default() });
        story.served(0, &["a", "b"]).pod(0, "a", true, true).pod(0, "b", true, true)
    }

    /// `a` takes no block from a moment to another. It is more than two behind three seconds after the first.
    fn stuck(mut self, from: u64, to: u64) -> Self {
        let tips = self.0.followers.get_mut("a").expect("there is an a");
        let stuck_at = tips.iter().find(|(seen, _)| *seen >= at(from)).expect("within the record").1;
        for (seen, tip) in tips {
            if (at(from)..at(to)).contains(seen) {
                *tip = stuck_at;
            }
        }
        self
    }

    fn served(mut self, ms: u64, pods: &[&str]) -> Self {
        self.0.served.push((at(ms), pods.iter().map(ToString::to_string).collect()));
        self
    }

    fn pod(mut self, ms: u64, name: &str, open: bool, ready: bool) -> Self {
        self.0.pods.push((at(ms), PodSeen { name: name.to_owned(), open, ready }));
        self
    }

    fn read(mut self, ms: u64, tip: Option<u32>) -> Self {
        self.0.reads.push(ReadSeen { asked: at(ms), tip });
        self
    }

    fn down(mut self, victim: Victim, from: u64, to: u64) -> Self {
        self.0.outages.push(Outage { victim, from: at(from), well: at(to), to: at(to) });
        self
    }

    fn verdict(&self) -> Verdict {
        judge(&self.0)
    }
}

fn stale(verdict: &Verdict) -> Vec<(Option<Victim>, Sum)> {
    verdict.stale.iter().map(|(during, sum)| (*during, *sum)).collect()
}

fn sum(count: usize, ms: u64) -> Sum {
    Sum { count, time: Duration::from_millis(ms) }
}

#[test]
fn a_follower_that_leaves_in_time_is_no_stale_endpoint() {
    let verdict = Story::new().stuck(2_000, 15_000).served(6_200, &["b"]).verdict();
    assert_eq!(stale(&verdict), []);
    assert_eq!((verdict.crossings, verdict.reactions), (1, vec![Duration::from_millis(1_200)]));
}

#[test]
fn a_follower_that_is_served_for_too_long_is_found() {
    let verdict = Story::new().stuck(2_000, 15_000).served(10_000, &["b"]).verdict();
    // Crossed at 5.0 s, so stale from 8.1 s to the last look before 10.0 s.
    assert_eq!(stale(&verdict), [(None, sum(1, 1_800))]);
    assert_eq!(verdict.unexcused(), (1, 0));
}

#[test]
fn one_that_is_let_in_while_it_lags_is_stale_at_once() {
    let verdict = Story::new().stuck(2_000, 15_000).served(6_000, &["b"]).served(9_000, &["a", "b"]);
    assert_eq!(verdict.served(9_500, &["b"]).verdict().unexcused(), (1, 0));
}

#[test]
fn a_stale_endpoint_counts_for_the_victim_in_whose_window_it_is_and_beyond_it_for_nobody() {
    let story = || Story::new().stuck(2_000, 19_900).down(Victim::Operator, 4_000, 7_000);
    let within = story().served(11_900, &["b"]).verdict();
    assert_eq!(stale(&within), [(Some(Victim::Operator), sum(1, 3_700))]);
    assert_eq!((within.crossings, within.reactions.len()), (1, 0), "a marked reaction is nobody's");
    let beyond = story().served(13_000, &["b"]).verdict();
    assert_eq!(stale(&beyond), [(None, sum(1, 800)), (Some(Victim::Operator), sum(1, 3_900))]);
}

#[test]
fn an_answer_is_stale_when_the_primary_had_long_passed_it() {
    let story = Story::new().down(Victim::ApiServer, 12_000, 13_000);
    // Block 5 was made at 5.0 s, which is more than two above block 2; an answer of block 2 is stale from 8.0 s on.
    let reads = [(4_000, Some(2)), (8_000, Some(2)), (8_001, Some(2)), (12_500, Some(2)), (12_600, None)];
    let verdict = reads.into_iter().fold(story, |story, (ms, tip)| story.read(ms, tip)).verdict();
    assert_eq!(
        verdict.reads,
        BTreeMap::from([
            (None, Reads { all: 3, stale: 1, failed: 0 }),
            (Some(Victim::ApiServer), Reads { all: 2, stale: 1, failed: 1 }),
        ])
    );
    assert_eq!(verdict.unexcused(), (0, 1));
}

#[test]
fn a_gate_that_takes_the_last_one_is_found() {
    let story = Story::new().pod(4_000, "b", true, false).served(4_100, &["a"]);
    let verdict = story.pod(5_000, "a", false, true).served(5_100, &[]).verdict();
    let lost: Vec<_> = verdict.lost.iter().map(|lost| (lost.follower.as_str(), lost.by)).collect();
    assert_eq!(lost, [("a", Doer::GateWrite)]);
}

#[test]
fn what_a_kubelet_takes_is_its_own_doing() {
    let story = Story::new().down(Victim::Kubelet, 4_500, 4_600);
    // The gate of `a` was closed when `b` was there; then kubelet took `b`, and `a` was gone from the slices with it.
    let story = story.pod(4_000, "a", false, true).pod(5_000, "a", false, false).pod(5_000, "b", true, false);
    let verdict = story.served(5_100, &[]).verdict();
    assert_eq!((verdict.lost_by(Doer::GateWrite), verdict.lost_by(Doer::KubeletOrPod)), (0, 2));
    assert!(verdict.lost.iter().all(|lost| lost.during == Some(Victim::Kubelet)));
}

#[test]
fn a_store_that_was_not_heard_is_told() {
    let mut story = Story::new();
    assert_eq!(story.verdict().blind, Duration::from_millis(100));
    story.0.followers.get_mut("b").expect("there is a b").retain(|(seen, _)| *seen < at(12_000));
    assert_eq!(story.verdict().blind, Duration::from_millis(8_000));
}
