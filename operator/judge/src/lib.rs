//! Decides which followers of one set are fresh enough to serve.
//!
//! This crate owns the verdict and nothing else. It is pure: [`judge`] takes the time, the policy, what was
//! observed and its own memory, and gives back verdicts and the next memory. It holds no clock, client, randomness
//! or environment, and iterates over sorted collections only, so that equal input gives equal output.
//!
//! The caller keeps one [`Memory`] per set, starts it with `Memory::default()`, or with [`Memory::taken_over`] when it
//! becomes the leader after it has judged as a standby, and calls [`judge`] once its watch of pods has synced, then after every sample, after every change of a pod, and at
//! least once per poll interval (silence is an observation too).
//!
//! The rules, with worked examples, are in `docs/judging.md`.

mod admission;
mod budget;
mod case;
mod confirmation;
mod divergence;
mod floor;
mod freshness;
mod gate;
mod genesis;
mod identity;
mod ids;
mod judgement;
mod mark;
mod memory;
mod observed;
mod outcome;
mod policy;
mod reason;
mod reference;
mod round;
mod silence;
mod stall;
mod threshold;
mod time;
mod track;
mod words;

pub use gate::{GateSeen, GateStatus, GateWrite, Remembered, RememberedMark};
pub use ids::{BlockHash, BlockNumber, BootId, ContainerId, Genesis, PodName, PodUid, VolumeUid};
pub use judgement::{ConditionType, Event, Judgement, Notice, Verdict};
pub use memory::Memory;
pub use observed::{HashAt, Intent, Member, Observed, Sample};
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
    let mut set = identity::gather(now, policy, observed, memory); // 1
    freshness::weigh(&mut set); // 2
    round::advance(&mut set); // 11
    genesis::hold_to_pin(&mut set); // 3
    divergence::compare(&mut set);
    confirmation::confirm(&mut set);
    reference::measure(&mut set); // 4
    divergence::ask(&mut set);
    mark::update(&mut set); // 5
    let witnesses = admission::Witnesses::of(&set); // 6
    threshold::claim(&mut set, witnesses); // 7
    round::hold(&mut set); // 11
    silence::hold_most(&mut set); // 9
    floor::hold(&mut set); // 8
    budget::spend(&mut set); // 12
    admission::report(&mut set, witnesses);
    silence::report(&mut set);
    stall::watch(&mut set); // 10
    outcome::conclude(set)
}
