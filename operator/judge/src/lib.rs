//! Decides which followers of one set are fresh enough to serve.
//!
//! This crate owns the verdict and nothing else. It is pure: [`judge`] takes the time, the policy, what was
//! observed and its own memory, and gives back verdicts and the next memory. It holds no clock, client, randomness
//! or environment, and iterates over sorted collections only, so that equal input gives equal output.
//!
//! The caller keeps one [`Memory`] per set, starts it with `Memory::default()` when it becomes the leader, and
//! calls [`judge`] once its watch of pods has synced, then after every sample, after every change of a pod, and at
//! least once per poll interval (silence is an observation too).
//!
//! The rules, with worked examples, are in `docs/judging.md`.

mod gate;
mod ids;
mod judgement;
mod memory;
mod observed;
mod policy;
mod reason;
mod time;
mod words;

pub use gate::{GateSeen, GateStatus, GateWrite, Remembered};
pub use ids::{BlockHash, BlockNumber, BootId, ContainerId, Genesis, PodName, PodUid, VolumeUid};
pub use judgement::{ConditionType, Event, Judgement, Notice, Verdict};
pub use memory::Memory;
pub use observed::{HashAt, Member, Observed, Sample};
pub use policy::{Mode, Policy};
pub use reason::Reason;
pub use time::Moment;

/// Judges one set: the only entry point.
///
/// `now` must not be earlier than any moment in `observed`; a sample from the future is treated as taken now.
/// The order of `observed.members` does not matter. Members that are gone are forgotten with the call that no
/// longer lists them.
#[must_use]
pub fn judge(now: Moment, policy: &Policy, observed: &Observed, memory: Memory) -> (Judgement, Memory) {
    let _ = (now, policy, observed);
    (Judgement::default(), memory)
}
