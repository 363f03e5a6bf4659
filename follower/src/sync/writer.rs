//! Commits what waits in the queue, group by group: each group's blocks and proofs share one sync per log.

use std::sync::Arc;

use super::{Trouble, queue::Waiting};
use crate::{replica::Replica, state::State};

/// Writes until the queue has ended and everything in it is synced, or until the store fails.
pub(super) async fn write(replica: &Arc<Replica>, mut waiting: Waiting) -> Result<(), Trouble> {
    while let Some(batch) = waiting.group().await {
        let grows = !batch.blocks.is_empty();
        replica.commit(batch).await?;
        if grows {
            replica.set_state(State::Syncing, "blocks arrive");
        }
    }
    Ok(())
}
