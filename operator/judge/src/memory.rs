//! What one judgement leaves for the next.

/// The judge's memory of one set. `Memory::default()` is that of a new leader, who knows only what the gates say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {}
