//! Why an upstream has no block of a number that it should have.

use tidemark_store::BlockNumber;

use super::{Trouble, link::Link};
use crate::upstream::Upstream;

/// Asks for at most two other blocks to tell a hole from a chain whose beginning is no longer kept.
pub(super) async fn absent<U: Upstream>(link: &Link<U>, number: BlockNumber, tip: BlockNumber) -> Trouble {
    let hole = Trouble::Hole { number, tip };
    match is_pruned(link, number, tip).await {
        Ok(true) => Trouble::Pruned { number, tip },
        Ok(false) => hole,
        Err(trouble) => trouble,
    }
}

async fn is_pruned<U: Upstream>(
    link: &Link<U>,
    number: BlockNumber,
    tip: BlockNumber,
) -> Result<bool, Trouble> {
    let early = early(number);
    Ok(early < tip && !has(link, early).await? && has(link, tip).await?)
}

/// A block that a store which forgets its oldest blocks has forgotten with `number`; genesis may be kept for ever.
fn early(number: BlockNumber) -> BlockNumber {
    if number.get() == 1 { 2.into() } else { 1.into() }
}

async fn has<U: Upstream>(link: &Link<U>, number: BlockNumber) -> Result<bool, Trouble> {
    Ok(link.block(number, false).await.map_err(Trouble::at(number))?.block.is_some())
}
