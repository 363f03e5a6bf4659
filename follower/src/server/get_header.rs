//! `GetBlockHeaderByNumber`, for formats that know headers.

use std::sync::Arc;

use tidemark_store::BlockNumber;
use tidemark_wire::rpc::{BlockHeaderByNumberRequest, BlockHeaderByNumberResponse};
use tonic::Status;

use super::api::{Api, read_failed};
use crate::replica::Kind;

/// The answer; no field is set for a block that is unknown or to come. Without a number, that of the latest block.
pub(super) async fn answer(
    api: &Arc<Api>,
    request: &BlockHeaderByNumberRequest,
) -> Result<BlockHeaderByNumberResponse, Status> {
    let replica = &api.replica;
    let name = replica.format().name();
    let Some(headers) = replica.format().headers() else {
        return Err(Status::unimplemented(format!(
            "the format {name} knows no block headers: ask for the block with GetBlockByNumber"
        )));
    };
    // From the store itself, as `Replica/Tips` is: whoever saw a tip there finds its header here.
    let tip = replica.tips().published;
    let Some(number) = request.block_num.map(BlockNumber::new).or(tip) else { return Ok(Default::default()) };
    let len = replica.blocking(move |replica| replica.len_of(Kind::Block, number)).await;
    let len = len.map_err(|error| read_failed(number, &error))?.unwrap_or(0);
    let _share = api.share_now(len)?;
    let block = replica.block(number).await.map_err(|error| read_failed(number, &error))?;
    let Some(block) = block else { return Ok(Default::default()) };
    let block_header = headers.header(&block);
    if request.include_mmr_proof != Some(true) {
        return Ok(BlockHeaderByNumberResponse { block_header, mmr_path: None, chain_length: None });
    }
    let count = BlockNumber::after(tip.max(Some(number))).get();
    let path = replica.header_path(number, count).await.map_err(|error| read_failed(number, &error))?;
    let Some(path) = path else {
        return Err(Status::unavailable(format!(
            "blocks before {count} are being fetched anew here: ask another store for the path of block {number}"
        )));
    };
    Ok(BlockHeaderByNumberResponse { block_header, mmr_path: Some(path), chain_length: Some(count) })
}
