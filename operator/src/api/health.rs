//! `spec.health`: when a follower counts as fresh.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// The thresholds of freshness, and how often tips are collected.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.hardMaxLagBlocks) || self.hardMaxLagBlocks > self.maxLagBlocks")
        .message("spec.health.hardMaxLagBlocks must be greater than spec.health.maxLagBlocks: raise it, or leave it out for no ceiling"),
    validation = Rule::new("!has(self.readmitLagBlocks) || self.readmitLagBlocks <= self.maxLagBlocks")
        .message("spec.health.readmitLagBlocks must be at most spec.health.maxLagBlocks: lower it, or leave it out to use maxLagBlocks"),
    validation = Rule::new("duration(self.staleAfter) - duration(self.pollInterval) >= duration(self.pollInterval)")
        .message("spec.health.staleAfter must be at least twice spec.health.pollInterval, or one late answer would count as none: raise it"),
    validation = Rule::new("duration(self.stallAfter) > duration(self.pollInterval)")
        .message("spec.health.stallAfter must be longer than spec.health.pollInterval: raise it"),
    validation = Rule::new("duration(self.forgetAfter) >= duration(self.staleAfter)")
        .message("spec.health.forgetAfter must be at least spec.health.staleAfter: raise it")
)]
pub struct HealthSpec {
    /// A follower more than this many blocks behind the fleet tip is taken out of the Service.
    #[serde(default = "default_max_lag_blocks")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_lag_blocks: u32,

    /// A follower that was taken out returns at this lag or less; unset: maxLagBlocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub readmit_lag_blocks: Option<u32>,

    /// How many samples in a row must find a follower at readmitLagBlocks or less before it returns.
    #[serde(default = "default_readmit_after")]
    #[schemars(range(min = 1, max = 100))]
    pub readmit_after: u32,

    /// A follower beyond this lag is never held in the Service by minServing; unset: no ceiling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub hard_max_lag_blocks: Option<u32>,

    /// At least this many followers stay in the Service, the least lagging ones, however far they are behind.
    #[serde(default = "default_min_serving")]
    #[schemars(range(min = 0, max = 100))]
    pub min_serving: u32,

    /// How often each follower and the primary are asked for their tips.
    #[serde(default = "default_poll_interval")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,7}(ms|s|m|h)){1,4}$') && duration(self) >= duration('100ms') && duration(self) <= duration('1m')")
        .message("spec.health.pollInterval must be a span of time from 100ms to 1m, such as 500ms or 1s"))]
    pub poll_interval: Span,

    /// An answer older than this says nothing any more.
    #[serde(default = "default_stale_after")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,7}(ms|s|m|h)){1,4}$') && duration(self) >= duration('200ms') && duration(self) <= duration('10m')")
        .message("spec.health.staleAfter must be a span of time from 200ms to 10m, such as 5s"))]
    pub stale_after: Span,

    /// When no tip has risen for this long, the condition ChainStalled says so; nobody is taken out for it.
    #[serde(default = "default_stall_after")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,7}(ms|s|m|h)){1,4}$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')")
        .message("spec.health.stallAfter must be a span of time from 1s to 24h, such as 60s"))]
    pub stall_after: Span,

    /// How long a follower that was taken out is held to the tip it was judged against, when nobody reports that tip any more.
    #[serde(default = "default_forget_after")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,7}(ms|s|m|h)){1,4}$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')")
        .message("spec.health.forgetAfter must be a span of time from 1s to 24h, such as 10m"))]
    pub forget_after: Span,

    /// Whether verdicts act (Enforce), or are only reported while every follower that has once answered serves (Observe).
    #[serde(default)]
    pub mode: Mode,
}

/// Whether verdicts act.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// A follower that is out of sync leaves the Service.
    #[default]
    Enforce,
    /// Every follower that has once answered stays in the Service; the status says what Enforce would have done.
    Observe,
}

fn default_max_lag_blocks() -> u32 {
    2
}

fn default_readmit_after() -> u32 {
    2
}

fn default_min_serving() -> u32 {
    1
}

fn default_poll_interval() -> Span {
    Span::seconds(1)
}

/// Five polls may go wrong before an answer is missed.
fn default_stale_after() -> Span {
    Span::seconds(5)
}

/// Twenty blocks of a chain that makes one every 3 s.
fn default_stall_after() -> Span {
    Span::seconds(60)
}

fn default_forget_after() -> Span {
    Span::seconds(600)
}

impl HealthSpec {
    /// The lag at which a follower that was taken out returns, in blocks.
    pub fn readmit_lag(&self) -> u32 {
        self.readmit_lag_blocks.unwrap_or(self.max_lag_blocks)
    }
}

impl Default for HealthSpec {
    fn default() -> Self {
        Self {
            max_lag_blocks: default_max_lag_blocks(),
            readmit_lag_blocks: None,
            readmit_after: default_readmit_after(),
            hard_max_lag_blocks: None,
            min_serving: default_min_serving(),
            poll_interval: default_poll_interval(),
            stale_after: default_stale_after(),
            stall_after: default_stall_after(),
            forget_after: default_forget_after(),
            mode: Mode::default(),
        }
    }
}
