//! A place in a log that spans many segments.

use serde::{Deserialize, Serialize};

/// Segment, and byte in it. Later in the log is greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

impl Position {
    /// The end of a log without any segment.
    pub(crate) const ORIGIN: Self = Self { segment: 0, offset: 0 };

    pub(crate) const fn new(segment: u32, offset: u32) -> Self {
        Self { segment, offset }
    }
}
