//! Chains of which all there is to check lies in two neighbours: the number, the parent, and the genesis.

use tidemark_store::{BlockNumber, Commitment};

use super::{BlockFacts, ChainCheck, FormatError};

/// One block, and the parent it names; none when the format cannot tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) facts: BlockFacts,
    pub(super) parent: Option<Commitment>,
}

/// Reads a block that was handed over as the one of that number.
pub(super) type Read = fn(BlockNumber, &[u8]) -> Result<Link, FormatError>;

/// Checks such a chain.
pub(super) struct Links {
    read: Read,
    /// The commitment that block 0 must have; none when the format cannot tell.
    genesis: Option<Commitment>,
    head: Option<BlockFacts>,
}

impl Links {
    /// A checker of the blocks behind `tip`.
    pub(super) fn open(
        read: Read,
        genesis: Option<Commitment>,
        tip: Option<(BlockNumber, &[u8])>,
    ) -> Result<Self, FormatError> {
        let head = tip.map(|(number, bytes)| read(number, bytes)).transpose()?;
        Ok(Self { read, genesis, head: head.map(|link| link.facts) })
    }
}

impl ChainCheck for Links {
    fn next(&self) -> BlockNumber {
        BlockNumber::after(self.head.map(|head| head.number))
    }

    fn check(&mut self, bytes: &[u8]) -> Result<BlockFacts, FormatError> {
        let asked = self.next();
        let link = (self.read)(asked, bytes)?;
        if link.facts.number != asked {
            return Err(FormatError::WrongNumber { asked, found: link.facts.number });
        }
        match self.head {
            Some(parent) => check_parent(&link, &parent)?,
            None => check_genesis(link.facts.commitment, self.genesis)?,
        }
        self.head = Some(link.facts);
        Ok(link.facts)
    }
}

fn check_parent(link: &Link, parent: &BlockFacts) -> Result<(), FormatError> {
    match link.parent {
        Some(named) if named != parent.commitment => {
            Err(FormatError::WrongParent { number: link.facts.number, held: parent.commitment, named })
        }
        _ => Ok(()),
    }
}

/// Checks what block 0 commits to.
pub(super) fn check_genesis(found: Commitment, pinned: Option<Commitment>) -> Result<(), FormatError> {
    match pinned {
        Some(pinned) if found != pinned => Err(FormatError::WrongGenesis { pinned, found }),
        _ => Ok(()),
    }
}
