//! Follows an upstream: the engine keeps one session at a time with one of the upstreams, and each session is checked
//! before a single block is taken from it.
//!
//! Owns what a follower believes about its upstream. It writes through `Replica` alone and knows no wire type.

mod backoff;
mod copy;
mod engine;
mod gather;
mod home;
mod intake;
mod load;
mod mode;
mod pacer;
mod poll;
mod poll_proofs;
mod session;
mod stall;
mod subscribe;
mod trouble;

pub(crate) use copy::{copy, same_block};
pub use engine::{Engine, EngineOptions};
pub use load::{LoadError, Loaded, load};
pub use mode::SyncMode;
pub use trouble::Trouble;
