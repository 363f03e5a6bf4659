//! The Tidemark operator: deploys fleets of followers and keeps the stale ones out of their Services.

pub mod api;
