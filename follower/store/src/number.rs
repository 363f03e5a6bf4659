//! The number of a block.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The position of a block in its chain; genesis is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockNumber(u32);

impl BlockNumber {
    /// The first block of every chain.
    pub const GENESIS: Self = Self(0);

    /// The block of this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number as the wire carries it.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number after this one; the highest number there is follows itself, so that no chain wraps around.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number of the block that follows `tip`, where no tip means an empty chain.
    #[must_use]
    pub fn after(tip: Option<Self>) -> Self {
        tip.map_or(Self::GENESIS, Self::next)
    }

    /// The highest number among `count` blocks counted from genesis; none for no blocks.
    pub(crate) fn last_of(count: u32) -> Option<Self> {
        count.checked_sub(1).map(Self)
    }
}

impl fmt::Display for BlockNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u32> for BlockNumber {
    fn from(number: u32) -> Self {
        Self(number)
    }
}
