//! What one block's bytes say of themselves: they decode, encode to themselves again, are signed, and the body is the one
//! that the header commits to.

use miden_protocol::{
    Word,
    block::{BlockBody, BlockHeader, SignedBlock},
    crypto::dsa::ecdsa_k256_keccak::PublicKey,
    utils::serde::{Deserializable as _, Serializable as _},
};
use tidemark_store::{BlockHash, BlockNumber, Commitment};

use super::super::{BlockFacts, FormatError, miden::NAME};
use crate::panics::contain;

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

/// Decodes, with no more memory than the bytes are worth; the crate panics on some bodies, which are none then.
fn decode(number: BlockNumber, bytes: &[u8]) -> Result<SignedBlock, FormatError> {
    let malformed = |detail: String| FormatError::Malformed { number, format: NAME, detail };
    let decoded = contain(|| {
        let block = SignedBlock::read_from_bytes_with_budget(bytes, bytes.len())
            .map_err(|error| error.to_string())?;
        if block.to_bytes() == bytes { Ok(block) } else { Err("it would be encoded otherwise".to_owned()) }
    });
    decoded.unwrap_or_else(|| Err("its body cannot be".to_owned())).map_err(malformed)
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
