//! `Status`: the chain and how far it is held, from memory.

use tidemark_wire::rpc::RpcStatus;
use tonic::Status;

use crate::replica::Replica;

/// The answer, once there is a block to speak of.
pub(super) fn answer(replica: &Replica) -> Result<RpcStatus, Status> {
    let (genesis, tip) = replica.serving().ok_or_else(not_yet)?;
    Ok(RpcStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        genesis_commitment: Some((*genesis.as_bytes()).into()),
        chain_tip: tip.get(),
        block_producer: None,
    })
}

/// What every call that needs a chain says before there is one.
pub(super) fn not_yet() -> Status {
    Status::unavailable("this store has no genesis block yet: it has not reached its upstream")
}
