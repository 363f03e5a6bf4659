//! A follower copies a numbered chain of blocks and their proofs from an upstream store and serves it to readers.
//!
//! `node` puts the parts together; `replica` is what they share. The parts know each other only through it: `sync`
//! writes what an upstream sends, `produce` writes what it makes, `server` and `admin` read.

pub mod admin;
pub mod cli;
pub mod format;
pub mod limits;
mod listen;
pub mod logging;
pub mod metrics;
pub mod node;
pub mod opening;
pub mod panics;
pub mod produce;
mod recent;
pub mod replica;
pub mod restore;
pub mod scrub;
pub mod server;
pub mod size;
pub mod state;
pub mod sync;
pub mod tls;
pub mod tools;
pub mod upstream;
mod volume;
