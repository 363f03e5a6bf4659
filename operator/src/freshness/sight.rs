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
    /// Why it was not heard when it was asked last.
    pub unheard: Option<String>,
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
                unheard: None,
                gate: pod.map(|pod| pod.gate.clone()).unwrap_or_default(),
                ready: pod.is_some_and(|pod| pod.ready),
                terminating: pod.is_some_and(|pod| pod.terminating),
                trouble: pod.and_then(|pod| Some(pod.trouble.as_ref()?.text.clone())),
            }
        };
        judgement.verdicts.iter().map(sight).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use tidemark_judge::{BlockNumber, Judgement, Moment, PodUid, Reason, Sample, Verdict};

    use super::{Paces, Sight};
    use crate::freshness::state::Pods;

    fn at(second: u64) -> Moment {
        Moment::new(Duration::from_secs(second))
    }

    fn sample(second: u64, tip: u32) -> Sample {
        Sample {
            asked_at: at(second),
            received_at: at(second),
            container: None,
            pod_uid: None,
            boot_id: None,
            published: Some(BlockNumber(tip)),
            applied: None,
            proven: None,
            genesis: None,
            tip_hash: None,
            hash_at: None,
            upstream_tip: None,
        }
    }

    fn judgement(tip: u32, lag: u32) -> Judgement {
        let verdict = Verdict { lag: Some(lag), ..crate::testing::verdict(false, Reason::Lagging) };
        Judgement { verdicts: vec![verdict], fleet_tip: Some(BlockNumber(tip)), ..Judgement::default() }
    }

    /// Its tip rises by 10 a second and the reference by 1, from 0 and 1,000 on, up to this second.
    fn seen(paces: &mut Paces, until: u64) -> Sight {
        let mut sights = Vec::new();
        for second in (0..=until).filter_map(|second| u32::try_from(second).ok()) {
            let samples: BTreeMap<PodUid, Sample> = [("u".into(), sample(second.into(), 10 * second))].into();
            let judgement = judgement(1_000 + second, 1_000 - 9 * second);
            paces.note(at(second.into()), &judgement, &samples);
            sights = paces.sights(&judgement, &Pods::new(), &samples, 10);
        }
        sights.remove(0)
    }

    #[test]
    fn one_that_catches_up_is_seen_with_its_rate_and_the_time_that_is_left() {
        let sight = seen(&mut Paces::default(), 10);
        assert_eq!((sight.sampled_at, sight.rate), (Some(at(10)), Some(10.0)));
        assert_eq!(sight.eta.map(|eta| eta.as_secs()), Some(100), "900 blocks at 9 a second");
    }

    #[test]
    fn a_process_that_is_new_is_measured_anew() {
        let mut paces = Paces::default();
        seen(&mut paces, 10);
        let nothing = BTreeMap::new();
        paces.note(at(11), &judgement(1_011, 901), &nothing);
        let samples = [("u".into(), sample(12, 500))].into();
        paces.note(at(12), &judgement(1_012, 512), &samples);
        let sight = paces.sights(&judgement(1_012, 512), &Pods::new(), &samples, 10).remove(0);
        assert_eq!((sight.rate, sight.eta), (None, None));
    }
}
