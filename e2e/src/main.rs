//! `tidemark-e2e`.
fn main() {}
