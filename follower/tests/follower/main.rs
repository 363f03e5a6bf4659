//! Whole followers and development primaries on loopback, each in a data directory of its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod budgets;
mod crowd;
mod disk;
mod ends;
mod following;
mod forks;
mod harness;
mod healing;
mod heights;
mod hostile;
mod killing;
mod limits;
mod loops;
#[cfg(feature = "miden")]
mod miden;
mod network;
mod process;
mod protocols;
mod proxy;
mod restoring;
mod scripted;
mod serving;
mod silence;
mod tls;
mod tools;
mod trace;
mod trickle;
