//! What the user asked for: `spec.health` and what else of the spec judging needs.

use crate::{Genesis, PodName};
use std::{collections::BTreeSet, time::Duration};

/// Whether verdicts are acted on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Gates follow the verdicts.
    #[default]
    Enforce,
    /// A gate is opened after the first valid sample and then left alone but for what is asked for; verdicts say what
    /// would have been done.
    Observe,
}

/// The policy of one set. [`Policy::default`] is the API's default for every field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `spec.replicas`.
    pub replicas: u32,
    /// `spec.primary.genesis`: the pin the user set, if any.
    pub genesis: Option<Genesis>,
    /// `spec.primary.observe`: the primary's own tip counts in the maximum.
    pub observe_primary: bool,
    /// Whether the followers' protocol reports upstream tips at all (`tidemark` does, `rpc-status` does not).
    pub upstream_reported: bool,
    /// `maxLagBlocks`, in blocks: a member is out when its lag is *greater*.
    pub max_lag: u32,
    /// `readmitLagBlocks`, in blocks: a member that is out returns when its lag is at most this.
    pub readmit_lag: u32,
    /// `readmitAfter`: for that many consecutive samples (0 counts as 1).
    pub readmit_after: u32,
    /// `hardMaxLagBlocks`, in blocks: the floor holds nobody beyond it.
    pub hard_max_lag: Option<u32>,
    /// `minServing`: the floor, in ready members.
    pub min_serving: u32,
    /// `pollInterval`: bounds how often a member is asked out of turn.
    pub poll_interval: Duration,
    /// `staleAfter`: a sample whose request went out longer ago is no sample.
    pub stale_after: Duration,
    /// `stallAfter`: without a rise of the reference for that long the chain counts as stalled.
    pub stall_after: Duration,
    /// `forgetAfter`: the exit mark is dropped when nothing has supported it for that long.
    pub forget_after: Duration,
    /// How much time must pass from one comparison of hashes to the next: zero where a hash costs nothing to ask for.
    pub compare_every: Duration,
    /// `mode`.
    pub mode: Mode,
    /// `spec.fenced`: out, and without a say, whatever they report.
    pub fenced: BTreeSet<PodName>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            replicas: 3,
            genesis: None,
            observe_primary: true,
            upstream_reported: true,
            max_lag: 2,
            readmit_lag: 2,
            readmit_after: 2,
            hard_max_lag: None,
            min_serving: 1,
            poll_interval: Duration::from_secs(1),
            stale_after: Duration::from_secs(5),
            stall_after: Duration::from_secs(60),
            forget_after: Duration::from_secs(600),
            compare_every: Duration::ZERO,
            mode: Mode::Enforce,
            fenced: BTreeSet::new(),
        }
    }
}
