//! Tests on a real cluster.
fn main() {}
