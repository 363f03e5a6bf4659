//! What is shown of a member beside its verdict: how old its sample is, how fast it goes, what stands on its pod. Pure.

use std::{collections::BTreeMap, time::Duration};

use tidemark_judge::{GateSeen, Judgement, Moment, PodUid, Sample, Verdict};

use super::{
    pace::{self, Pace},
    state::Pods,
};

/// A member as it is seen, in the order of the judgement's verdicts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sight {
    /// When its latest answer was there.
    pub sampled_at: Option<Moment>,
    /// Blocks per second by which its tip rises.
    pub rate: Option<f64>,
    /// Until it is within `readmitLagBlocks`, if it and the reference go on as they do; None if it is there already, or
    /// never will be.
    pub eta: Option<Duration>,
    /// What it says of its upstream: the name of its state, and why.
    pub upstream: Option<(&'static str, String)>,
    /// The gate as it stands on the pod.
    pub gate: GateSeen,
    /// Whether the pod is Ready.
    pub ready: bool,
    /// Whether the pod is being deleted.
    pub terminating: bool,
    /// What keeps the pod from starting.
    pub trouble: Option<String>,
}

/// The paces of a fleet: of its members and of its reference.
#[derive(Debug, Default)]
pub(super) struct Paces {
    reference: Pace,
    members: BTreeMap<PodUid, Pace>,
}

impl Paces {
    /// Takes what is known now. A process that is new, and so has no sample of before, starts anew.
    pub(super) fn note(&mut self, now: Moment, judgement: &Judgement, samples: &BTreeMap<PodUid, Sample>) {
        match judgement.fleet_tip {
            Some(tip) => self.reference.note(now, tip),
            None => self.reference = Pace::default(),
        }
        self.members.retain(|uid, _| samples.contains_key(uid));
        for (uid, sample) in samples {
            if let Some(tip) = sample.published {
                self.members.entry(uid.clone()).or_default().note(sample.received_at, tip);
            }
        }
    }

    /// What is seen of the members that were judged.
    pub(super) fn sights(
        &self,
        judgement: &Judgement,
        pods: &Pods,
        samples: &BTreeMap<PodUid, Sample>,
        readmit: u32,
    ) -> Vec<Sight> {
        let sight = |verdict: &Verdict| {
            let rate = self.members.get(&verdict.uid).and_then(Pace::rate);
            let eta = |lag, rate| pace::eta(lag, readmit, rate, self.reference.rate()?);
            let pod = pods.get(&verdict.uid);
            Sight {
                sampled_at: samples.get(&verdict.uid).map(|sample| sample.received_at),
                rate,
                eta: verdict.lag.zip(rate).and_then(|(lag, rate)| eta(lag, rate)),
                upstream: None,
                gate: pod.map(|pod| pod.gate.clone()).unwrap_or_default(),
                ready: pod.is_some_and(|pod| pod.ready),
                terminating: pod.is_some_and(|pod| pod.terminating),
                trouble: pod.and_then(|pod| Some(pod.trouble.as_ref()?.text.clone())),
            }
        };
        judgement.verdicts.iter().map(sight).collect()
    }
}
