//! Which proof of an upstream is one of the chain held here.

use tidemark_store::{BlockHash, BlockNumber};
use tonic::codegen::Bytes;

use super::{Trouble, fork::Common};
use crate::{replica::Replica, upstream::Answer};

/// The proof in `answer`, if there is one and it came with the block held here: a proof alone does not say which block
/// of this number it proves.
///
/// # Errors
///
/// `Diverged`: it came with another block.
pub(super) fn of_our_block(
    replica: &Replica,
    number: BlockNumber,
    answer: Answer,
) -> Result<Option<Bytes>, Trouble> {
    let (Some(ours), Some(block)) = (replica.hash_at(number), answer.block) else { return Ok(None) };
    let theirs = BlockHash::of(&block);
    if ours != theirs {
        return Err(Trouble::Diverged { number, ours, theirs, common: Common::Unknown });
    }
    Ok(answer.proof)
}
