//! The recent samples of one store: what was known of it, and when. Bounded; decides nothing.

use crate::{BlockNumber, BootId, HashAt, Moment, Sample};
use std::time::Duration;

/// Enough for a stream of ten samples a second over twice the default `staleAfter`, with room to spare.
const SEEN_MAX: usize = 128;
/// The answers to the present question and the ones just before it.
const HASHES_MAX: usize = 8;

/// One tip that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) asked_at: Moment,
    pub(crate) received_at: Moment,
    pub(crate) tip: BlockNumber,
    pub(crate) upstream_tip: Option<BlockNumber>,
}

/// What was seen of one process of one store, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Track {
    pub(crate) boot: Option<BootId>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) hashes: Vec<HashAt>,
    received_at: Option<Moment>,
}

impl Track {
    /// Whether `sample` comes from another process than the ones before it.
    pub(crate) fn is_other_process(&self, sample: &Sample) -> bool {
        matches!((&self.boot, &sample.boot_id), (Some(known), Some(said)) if known != said)
    }

    /// Takes `sample` in; says whether it is a new one. One that was received earlier than the last is ignored.
    pub(crate) fn record(&mut self, sample: &Sample) -> bool {
        if self.received_at.is_some_and(|last| sample.received_at <= last) {
            return false;
        }
        self.received_at = Some(sample.received_at);
        self.boot = sample.boot_id.clone().or(self.boot.take());
        self.record_tip(sample);
        self.record_hashes(sample);
        true
    }

    /// A store whose tip falls takes back what it said of the blocks above.
    fn record_tip(&mut self, sample: &Sample) {
        let Some(tip) = sample.published else { return };
        self.hashes.retain(|known| known.height <= tip);
        let Sample { asked_at, received_at, upstream_tip, .. } = *sample;
        self.seen.push(Seen { asked_at, received_at, tip, upstream_tip });
        let surplus = self.seen.len().saturating_sub(SEEN_MAX);
        self.seen.drain(..surplus);
    }

    fn record_hashes(&mut self, sample: &Sample) {
        let of_tip = sample.published.zip(sample.tip_hash).map(|(height, hash)| HashAt { height, hash });
        for answer in of_tip.into_iter().chain(sample.hash_at) {
            self.hashes.retain(|known| known.height != answer.height);
            self.hashes.push(answer);
        }
        let surplus = self.hashes.len().saturating_sub(HASHES_MAX);
        self.hashes.drain(..surplus);
    }

    /// Drops tips asked for more than `age` before `now`, but never the last one.
    pub(crate) fn prune(&mut self, now: Moment, age: Duration) {
        let last = self.seen.last().copied();
        self.seen.retain(|seen| now.since(seen.asked_at) <= age || Some(*seen) == last);
    }

    /// The highest tip received by `moment` and not above `cap`.
    pub(crate) fn known_by(&self, moment: Moment, cap: BlockNumber) -> Option<BlockNumber> {
        self.seen
            .iter()
            .filter(|seen| seen.received_at <= moment && seen.tip <= cap)
            .map(|seen| seen.tip)
            .max()
    }

    /// The highest upstream tip reported by `moment`.
    pub(crate) fn upstream_known_by(&self, moment: Moment) -> Option<BlockNumber> {
        self.seen.iter().filter(|seen| seen.received_at <= moment).filter_map(|seen| seen.upstream_tip).max()
    }
}

#[cfg(test)]
mod tests {
    use super::Track;
    use crate::{BlockHash, BlockNumber, HashAt, Moment, Sample};
    use std::time::Duration;

    #[test]
    fn a_tip_that_falls_takes_back_what_was_said_of_the_blocks_above() {
        let mut track = Track::default();
        for (second, tip) in [(1, 7), (2, 9), (3, 8)] {
            let at = Moment::new(Duration::from_secs(second));
            let hash = BlockHash([tip; 32]);
            let height = BlockNumber(tip.into());
            let sample = Sample {
                asked_at: at,
                received_at: at,
                container: None,
                pod_uid: None,
                boot_id: None,
                published: Some(height),
                applied: None,
                proven: None,
                genesis: None,
                tip_hash: None,
                hash_at: Some(HashAt { height, hash }),
                upstream_tip: None,
            };
            assert!(track.record(&sample));
        }
        let heights: Vec<_> = track.hashes.iter().map(|known| known.height.0).collect();
        assert_eq!(heights, [7, 8]);
    }
}
