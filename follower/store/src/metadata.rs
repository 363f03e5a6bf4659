//! What a data directory is pinned to: a format and a chain.

use serde::{Deserialize, Serialize};

use crate::{Commitment, StoreError};

/// The version of the on-disk format of new directories. What is new in it: every damaged block is in the metadata's list.
pub const FORMAT_VERSION: u32 = 2;

/// The oldest version this release reads and writes; such a directory stays what it is until it is migrated.
pub const OLDEST_VERSION: u32 = FORMAT_VERSION - 1;

/// What a data directory is pinned to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Name of the chain's format, as the command line spells it.
    pub format: String,
    /// Genesis commitment of the chain.
    pub genesis: Commitment,
}

impl Metadata {
    /// A format and a genesis.
    #[must_use]
    pub fn new(format: impl Into<String>, genesis: Commitment) -> Self {
        Self { format: format.into(), genesis }
    }

    /// Whether `asked` may be written over what holds this metadata, which has blocks.
    pub(crate) fn admit(&self, asked: &Self) -> Result<(), StoreError> {
        if self.format != asked.format {
            let (held, asked) = (self.format.clone(), asked.format.clone());
            return Err(StoreError::OtherFormat { held, asked });
        }
        if self.genesis != asked.genesis {
            return Err(StoreError::OtherGenesis { held: self.genesis, asked: asked.genesis });
        }
        Ok(())
    }
}
