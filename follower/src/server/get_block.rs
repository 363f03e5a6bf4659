//! `GetBlockByNumber`: a block and, if asked for, its proof. A number that is not held is no error.

use std::{collections::VecDeque, sync::Arc};

use tidemark_store::BlockNumber;
use tidemark_wire::blockchain::BlockRequest;
use tonic::{Status, codegen::Bytes};

use super::{
    api::{Api, read_failed, too_large},
    message::{AROUND, Field, Pieces},
};
use crate::{metrics::Limit, replica::Kind};

/// The answer, in pieces; without fields for a block that is unknown or to come.
///
/// # Errors
/// `Unavailable` when the disk no longer holds it; `ResourceExhausted` when too many bytes are in memory.
pub(super) async fn answer(api: &Arc<Api>, request: &BlockRequest) -> Result<VecDeque<Bytes>, Status> {
    let number = request.block_num.into();
    let with_proof = request.include_proof == Some(true);
    let len =
        len_of(api, Kind::Block, number)? + if with_proof { len_of(api, Kind::Proof, number)? } else { 0 };
    let share = api.budget.try_take(len + AROUND).ok_or_else(|| {
        api.replica.metrics.serving.reached(Limit::ResponseBytes);
        api.busy()
    })?;
    let block = read(api, Kind::Block, number).await?;
    let proof = if with_proof { read(api, Kind::Proof, number).await? } else { None };
    let mut pieces = Pieces::with_room(len);
    let fields =
        [(1, block), (2, proof)].into_iter().filter_map(|(tag, bytes)| Some(Field::Bytes(tag, bytes?)));
    pieces.add_fields(&fields.collect::<Vec<_>>());
    Ok(share.cover(pieces.finish()))
}

fn len_of(api: &Api, kind: Kind, number: BlockNumber) -> Result<usize, Status> {
    let len = api.replica.len_of(kind, number).map_err(|error| read_failed(number, &error))?.unwrap_or(0);
    if len as u64 > api.limits.max_block_size.0 {
        return Err(too_large(&api.replica, number, len));
    }
    Ok(len)
}

async fn read(api: &Arc<Api>, kind: Kind, number: BlockNumber) -> Result<Option<Bytes>, Status> {
    api.replica.read(kind, number).await.map_err(|error| read_failed(number, &error))
}
