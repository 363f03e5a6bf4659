//! What runs on this machine and what it costs: the programs measured, their CPU and memory, and the bare disk.

pub mod disk;
pub mod groups;
pub mod procfs;
pub mod server;
