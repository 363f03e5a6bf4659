//! Finds out when an upstream that is named earlier in the list answers again, so that a failover is not for ever.

use std::time::Duration;

use super::{Trouble, backoff::Backoff, engine::Slot, lineage};
use crate::{
    replica::Replica,
    upstream::{Connector, UpstreamError},
};

/// The first pause between two questions; they double while there is no good answer, or none that lasted.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(4);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Waits until one of `upstreams` is worth returning to; for ever if there is none.
pub(super) async fn preferred<C: Connector>(
    upstreams: &[Slot<C>],
    replica: &Replica,
    pauses: &mut Backoff,
) -> Trouble {
    if upstreams.is_empty() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(pauses.failed(LONGEST_PAUSE, rand::random())).await;
        for (at, slot) in upstreams.iter().enumerate() {
            if is_worth_it(slot, replica).await.unwrap_or(false) {
                return Trouble::Preferred { at, upstream: slot.reach.connector.name().to_owned() };
            }
        }
    }
}

/// Whether the session that begins there could go on where this one ends.
async fn is_worth_it<C: Connector>(slot: &Slot<C>, replica: &Replica) -> Result<bool, UpstreamError> {
    let link = slot.reach.connect().await?;
    let status = link.status().await?;
    if replica.genesis() != Some(status.genesis) || Some(status.tip) < replica.held() {
        return Ok(false);
    }
    let lineage = link.peer(None).await?.map(|peer| lineage::through(&replica.identity().boot_id, &peer));
    Ok(lineage.is_none_or(|lineage| lineage.loop_of.is_none()))
}
