//! Blocks of the Miden chain, protocol version 0.15, checked with the chain's own crate.
//!
//! What a block cannot prove without the state of all accounts is not checked: its account updates and nullifiers are
//! bound only by `account_root` and `nullifier_root`.

mod block;
mod chain;
mod header;
mod mmr;
mod peaks;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use tidemark_store::{BlockNumber, Commitment, Medium, StoreError};
use tidemark_wire::{
    blockchain::BlockHeader,
    primitives::{Digest, MerklePath},
};
use tonic::codegen::Bytes;

use self::{block::Block, chain::Chain, mmr::ChainMmr};
use super::{ChainCheck, Format, FormatError, Headers, MediumFactory};

const NAME: &str = "miden";

/// The format of the Miden chain, and the Merkle mountain range of the one held.
#[derive(Default)]
pub struct Miden {
    mmr: Arc<OnceLock<Arc<ChainMmr>>>,
}

impl Miden {
    fn mmr(&self) -> Result<&ChainMmr, StoreError> {
        let detail = "the store was opened without the chain's Merkle mountain range".to_owned();
        self.mmr.get().map(|mmr| &**mmr).ok_or(StoreError::Medium { detail })
    }

    /// The chain that ends with `tip`, if the range kept is the one that this block commits to.
    fn continued(&self, genesis: Commitment, tip: &Block) -> Result<Chain, FormatError> {
        let number = tip.facts().number;
        let unfit = |detail: String| FormatError::Kept { number, format: NAME, detail };
        let failed = |error: StoreError| unfit(error.to_string());
        let mmr = self.mmr().map_err(failed)?;
        let reached = mmr.peaks().count;
        if reached <= number.get() {
            return Err(FormatError::Behind { number, reached: reached.into() });
        }
        let before = mmr.peaks_at(number.get()).map_err(failed)?;
        let chain = Chain::continued(genesis, tip, before);
        match chain {
            Ok(chain) if *chain.peaks() == mmr.peaks() => Ok(chain),
            _ => {
                mmr.forget().map_err(failed)?;
                Err(unfit("it is the Merkle mountain range of other blocks".to_owned()))
            }
        }
    }
}

impl Format for Miden {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open(
        &self,
        genesis: Commitment,
        tip: Option<(BlockNumber, &[u8])>,
    ) -> Result<Box<dyn ChainCheck>, FormatError> {
        Ok(Box::new(match tip {
            Some((number, bytes)) => self.continued(genesis, &Block::read(number, bytes)?)?,
            None => Chain::new(genesis),
        }))
    }

    fn medium(&self) -> Option<MediumFactory> {
        let held = Arc::clone(&self.mmr);
        Some(Box::new(move |disk| {
            let opened =
                held.get().map_or_else(|| ChainMmr::open(disk).map(Arc::new), |mmr| Ok(Arc::clone(mmr)))?;
            Ok(Arc::clone(held.get_or_init(|| opened)) as Arc<dyn Medium>)
        }))
    }

    fn headers(&self) -> Option<&dyn Headers> {
        Some(self)
    }
}

impl Headers for Miden {
    fn header(&self, block: &Bytes) -> Option<BlockHeader> {
        header::header(block)
    }

    fn path(&self, number: BlockNumber, count: u32) -> Result<Option<MerklePath>, StoreError> {
        let path = self.mmr()?.path(number, count)?;
        Ok(path.map(|siblings| MerklePath {
            siblings: siblings.iter().map(|sibling| Digest::from(sibling.as_bytes())).collect(),
        }))
    }
}
