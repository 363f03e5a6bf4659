//! `GetBlockByNumber`: a block and, if asked for, its proof. A number that is not held is no error.

use std::sync::Arc;

use tidemark_wire::blockchain::{BlockRequest, MaybeBlock};
use tonic::Status;

use super::api::read_failed;
use crate::replica::Replica;

/// The answer; both fields unset for a block that is unknown or to come.
pub(super) async fn answer(replica: &Arc<Replica>, request: &BlockRequest) -> Result<MaybeBlock, Status> {
    let number = request.block_num.into();
    let block = replica.block(number).await.map_err(|error| read_failed(number, &error))?;
    let proof = match request.include_proof {
        Some(true) => replica.proof(number).await.map_err(|error| read_failed(number, &error))?,
        _ => None,
    };
    Ok(MaybeBlock { block, proof })
}
