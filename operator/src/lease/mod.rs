//! One process leads: a lease of our own, kept in the cluster. What leading permits is decided elsewhere.
//!
//! Optimistic: read, decide (pure, `candidate`), replace on the condition that nobody wrote in between. Expiry goes by
//! local observation. One that led and leads no longer never leads again: its process ends.

mod candidate;
mod guard;
mod keeper;
mod leadership;
mod record;
mod terms;
#[cfg(test)]
mod world;

pub use candidate::Loss;
pub use guard::{NotLeading, guard};
pub use keeper::Keeper;
pub use leadership::Leadership;
pub use terms::{Terms, TermsError, WRITE_TIMEOUT};
