//! What the demo, the tests on a real Kubernetes and the benchmarks share.
//!
//! Nothing in this crate is needed at run time, and nothing in the product knows of it: every fault is made from
//! outside, on the network or the process table.

pub mod apiserver;
pub mod audit;
pub mod bench;
pub mod chain;
pub mod chaos;
pub mod demo;
pub mod fault;
mod folder;
pub mod gitops;
pub mod install;
pub mod kept;
pub mod loopback;
pub mod observability;
pub mod observe;
pub mod operators;
pub mod process;
mod procfs;
pub mod programs;
pub mod prometheus;
pub mod proxy;
pub mod rpc;
pub mod scale;
pub mod scene;
pub mod scripted;
pub mod story;
pub mod target;
pub mod wait;
