//! Replacing, removing and rebuilding pods: all that spends a fleet's availability on purpose.
//!
//! `plan` decides (pure) whom the judge is asked to take out and which pods are to be deleted now; `act` deletes them.
//! Nothing of the plan is kept: it is made anew from the objects and the latest judgement each time, so that an operator
//! that starts in the middle of it goes on. The judge alone takes members out of the Service (rule 12 of
//! `docs/judging.md`); no pod is deleted here that is Ready or that the judge has in.

mod act;
mod fleet;
mod plan;
mod scale;
#[cfg(test)]
mod tests;

pub use act::ReplaceError;
pub(crate) use act::{Told, carry_out};
pub(crate) use fleet::{Fleet, Missing};
pub(crate) use plan::{Progress, plan};
pub(crate) use scale::target;
