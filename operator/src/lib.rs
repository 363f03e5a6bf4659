//! The Tidemark operator: deploys fleets of followers and keeps the stale ones out of their Services.
//!
//! Two paths share nothing but what they see: `reconcile` makes the objects of a set (seconds, driven by objects), and
//! `freshness` judges its followers (milliseconds, driven by tips).

pub mod api;
pub mod clock;
pub mod freshness;
pub mod metrics;
pub mod names;
pub mod options;
pub mod reconcile;
