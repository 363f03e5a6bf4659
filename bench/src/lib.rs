//! Benchmarks of the follower that need no cluster: its optimized binary runs as a process of its own on loopback,
//! beside the best that the same machine can do.
//!
//! All ratios are of one run, in which the contestants take turns; CPU and memory are read from `/proc`.

pub mod bare;
pub mod bench;
pub mod benchmarks;
pub mod chain;
pub mod client;
pub mod load;
pub mod machine;
