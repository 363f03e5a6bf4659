//! The built-in development chain.
//!
//! | offset | len | field (integers little endian) |
//! |---|---|---|
//! | 0 | 4 | `TMN1` |
//! | 4 | 4 | block number |
//! | 8 | 32 | commitment of the parent; zeros for genesis |
//! | 40 | 8 | Unix milliseconds at which it was made; decides nothing |
//! | 48 | … | body |
//!
//! A block's commitment is BLAKE3 of all its bytes; block 0's is the chain's genesis.

use tidemark_store::{BlockHash, BlockNumber, Commitment};

use super::{
    BlockFacts, ChainCheck, Format, FormatError,
    links::{Link, Links},
};

const MAGIC: &[u8; 4] = b"TMN1";
const HEADER: usize = 48;

/// The format of the development chain.
#[derive(Debug, Clone, Copy)]
pub struct Native;

/// One block of the development chain, to be encoded.
#[derive(Debug, Clone, Copy)]
pub struct NativeBlock<'a> {
    /// The block's number.
    pub number: BlockNumber,
    /// Commitment of the block before; zeros for genesis.
    pub parent: Commitment,
    /// When the block was made.
    pub unix_millis: u64,
    /// Whatever the block carries.
    pub body: &'a [u8],
}

impl NativeBlock<'_> {
    /// The block's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.body.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.number.get().to_le_bytes());
        bytes.extend_from_slice(self.parent.as_bytes());
        bytes.extend_from_slice(&self.unix_millis.to_le_bytes());
        bytes.extend_from_slice(self.body);
        bytes
    }
}

impl Native {
    /// What the next block must name as its parent.
    #[must_use]
    pub fn commitment(block: &[u8]) -> Commitment {
        Commitment::from_bytes(*BlockHash::of(block).as_bytes())
    }
}

impl Format for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn open(
        &self,
        genesis: Commitment,
        tip: Option<(BlockNumber, &[u8])>,
    ) -> Result<Box<dyn ChainCheck>, FormatError> {
        Ok(Box::new(Links::open(read, Some(genesis), tip)?))
    }
}

fn read(asked: BlockNumber, bytes: &[u8]) -> Result<Link, FormatError> {
    let malformed = |detail: String| FormatError::Malformed { number: asked, format: "native", detail };
    let header: &[u8; HEADER] =
        bytes.first_chunk().ok_or_else(|| malformed(format!("{} bytes are too few", bytes.len())))?;
    if !header.starts_with(MAGIC) {
        return Err(malformed("it does not start with TMN1".to_owned()));
    }
    let number = u32::from_le_bytes([header[4], header[5], header[6], header[7]]).into();
    let mut parent = [0; 32];
    parent.copy_from_slice(&header[8..40]);
    let hash = BlockHash::of(bytes);
    let commitment = Commitment::from_bytes(*hash.as_bytes());
    let facts = BlockFacts { number, hash, commitment };
    Ok(Link { facts, parent: Some(Commitment::from_bytes(parent)) })
}
