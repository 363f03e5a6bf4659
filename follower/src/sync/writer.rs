//! Commits what waits in the queue, group by group: each group's blocks and proofs share one sync per log.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::sleep};

use super::{Trouble, queue::Waiting};
use crate::{
    replica::{Batch, Replica, ReplicaError},
    state::State,
};

/// How often a full volume is tried again.
const FULL: Duration = Duration::from_secs(1);

/// Writes until the queue has ended and everything in it is synced, or until the store fails. A full volume is waited
/// for, with what there is to write in memory; `full` says so, so that no more is fetched.
pub(super) async fn write(
    replica: &Arc<Replica>,
    mut waiting: Waiting,
    full: &Notify,
) -> Result<(), Trouble> {
    while let Some(batch) = waiting.group().await {
        let grows = !batch.blocks.is_empty();
        let waited = commit(replica, batch, full).await?;
        if grows || waited {
            replica.set_state(State::Syncing, "blocks arrive");
        }
    }
    Ok(())
}

/// Commits a batch; says whether it had to wait for space.
async fn commit(replica: &Arc<Replica>, mut batch: Batch, full: &Notify) -> Result<bool, Trouble> {
    let mut waited = false;
    loop {
        match replica.commit(batch.clone()).await {
            Err(ReplicaError::Store(error)) if error.is_disk_full() => {
                replica.set_state(State::DiskFull, &error.to_string());
                full.notify_one();
                waited = true;
                sleep(FULL).await;
                batch = unwritten(replica, batch);
            }
            done => return Ok(done.map(|_| waited)?),
        }
    }
}

/// Of a batch that was refused, what was not written all the same: its blocks may have found space where its proofs found
/// none.
fn unwritten(replica: &Replica, batch: Batch) -> Batch {
    let Batch { mut blocks, mut proofs } = batch;
    let held = replica.held();
    blocks.retain(|block| Some(block.number) > held);
    proofs.retain(|(number, _)| !replica.has_proof(*number));
    Batch { blocks, proofs }
}
