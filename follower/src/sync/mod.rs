//! Follows an upstream: the engine keeps one session at a time with one of the upstreams, and each session is checked
//! before a single block is taken from it.
//!
//! Owns what a follower believes about its upstream. It writes through `Replica` alone and knows no wire type.

mod absent;
mod admit;
mod ancestry;
mod backoff;
mod budget;
mod copy;
mod ends;
mod engine;
mod fork;
mod gather;
mod heal;
mod home;
mod intake;
mod lineage;
mod link;
mod load;
mod mode;
mod pacer;
mod poll;
mod poll_proofs;
mod proof;
mod pulse;
mod queue;
mod session;
mod silence;
mod subscribe;
mod trouble;
mod turns;
mod writer;

pub(crate) use copy::{copy, same_block};
pub use engine::{Engine, EngineOptions};
pub use fork::{Common, OnFork};
pub use load::{LoadError, Loaded, load};
pub use mode::SyncMode;
pub use trouble::Trouble;
