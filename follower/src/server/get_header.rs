//! `GetBlockHeaderByNumber`: for formats that know headers, of which there is none yet.

use std::sync::Arc;

use tidemark_wire::rpc::{BlockHeaderByNumberRequest, BlockHeaderByNumberResponse};
use tonic::Status;

use crate::{format::Format, replica::Replica};

/// The header.
///
/// # Errors
/// `Unimplemented` where the format knows none.
pub(super) async fn answer(
    replica: &Arc<Replica>,
    _: &BlockHeaderByNumberRequest,
) -> Result<BlockHeaderByNumberResponse, Status> {
    Err(refusal(replica.format()))
}

/// Why there is no header to be had.
fn refusal(format: &dyn Format) -> Status {
    let name = format.name();
    Status::unimplemented(format!(
        "the format {name} knows no block headers: ask for the block with GetBlockByNumber"
    ))
}
