//! What one block's bytes say of themselves: they decode, encode to themselves again, are signed, and the body is the one
//! that the header commits to.

use miden_protocol::{
    MAX_BATCHES_PER_BLOCK, Word,
    block::{BlockBody, BlockHeader, SignedBlock},
    crypto::dsa::ecdsa_k256_keccak::PublicKey,
    utils::serde::{BudgetedReader, ByteReader, DeserializationError, Serializable as _, SliceReader},
};
use tidemark_store::{BlockHash, BlockNumber, Commitment};

use super::super::{BlockFacts, FormatError, miden::NAME};
use crate::panics::contain;

/// What a list may claim to hold, for each byte of the block: the crate counts list items by their size in memory, which
/// is larger than the fewest bytes they are written in, and takes this factor itself where it reads programs.
const BUDGET: usize = 64;

/// A block that is sound in itself.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) hash: BlockHash,
    pub(super) header: BlockHeader,
    /// Who signed the header; none when no key can have made that signature.
    pub(super) signer: Option<PublicKey>,
}

impl Block {
    /// Reads the bytes that were handed over as block `asked`, whatever number they bear.
    pub(super) fn read(asked: BlockNumber, bytes: &[u8]) -> Result<Self, FormatError> {
        let block = decode(asked, bytes)?;
        let signer = PublicKey::recover_from(block.header().commitment(), block.signature()).ok();
        check_body(asked, block.header(), block.body())?;
        let (header, ..) = block.into_parts();
        Ok(Self { hash: BlockHash::of(bytes), header, signer })
    }

    pub(super) fn facts(&self) -> BlockFacts {
        BlockFacts {
            number: self.header.block_num().as_u32().into(),
            hash: self.hash,
            commitment: commitment(self.header.commitment()),
        }
    }
}

/// The same 32 bytes.
pub(super) fn commitment(word: Word) -> Commitment {
    Commitment::from_bytes(word.as_bytes())
}

/// Decodes; the crate panics on some bodies that can be written down, which are none then.
fn decode(number: BlockNumber, bytes: &[u8]) -> Result<SignedBlock, FormatError> {
    let malformed = |detail: String| FormatError::Malformed { number, format: NAME, detail };
    let decoded = contain(|| {
        let budget = bytes.len().saturating_mul(BUDGET);
        let block = read(&mut BudgetedReader::new(SliceReader::new(bytes), budget));
        let block = block.map_err(|error| error.to_string())?;
        if block.to_bytes() == bytes { Ok(block) } else { Err("it would be encoded otherwise".to_owned()) }
    });
    decoded.unwrap_or_else(|| Err("its body cannot be".to_owned())).map_err(malformed)
}

/// Reads a block as the crate does, but no more batches than a block can have: an empty one takes a single byte here, and
/// many in memory.
fn read(source: &mut impl ByteReader) -> Result<SignedBlock, DeserializationError> {
    let (header, accounts) = (source.read()?, source.read()?);
    let batches = source.read_usize()?;
    if batches > MAX_BATCHES_PER_BLOCK {
        return Err(DeserializationError::InvalidValue(format!("{batches} batches are too many")));
    }
    let batches = (0..batches).map(|_| source.read()).collect::<Result<_, _>>()?;
    let body = BlockBody::new_unchecked(accounts, batches, source.read()?, source.read()?);
    Ok(SignedBlock::new_unchecked(header, body, source.read()?))
}

/// Checks the two parts of the body that a header commits to by themselves.
fn check_body(number: BlockNumber, header: &BlockHeader, body: &BlockBody) -> Result<(), FormatError> {
    let notes = contain(|| body.compute_block_note_tree().root());
    let parts = [
        ("transactions", header.tx_commitment(), Some(body.transaction_commitment())),
        ("notes", header.note_root(), notes),
    ];
    for (part, named, found) in parts {
        if found != Some(named) {
            return Err(FormatError::WrongBody { number, part, named: commitment(named) });
        }
    }
    Ok(())
}
