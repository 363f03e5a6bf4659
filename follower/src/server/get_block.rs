//! `GetBlockByNumber`: a block and, if asked for, its proof. A number that is not held is no error.

use std::{collections::VecDeque, sync::Arc};

use tidemark_store::BlockNumber;
use tidemark_wire::blockchain::BlockRequest;
use tonic::{Status, codegen::Bytes};

use super::{
    api::{Api, read_failed},
    budget::Share,
    message::{AROUND, Field, Pieces},
    progress::Progress,
};
use crate::replica::Kind;

/// What was read, and its share of the budget.
struct Found {
    share: Share,
    block: Option<Bytes>,
    proof: Option<Bytes>,
}

/// The answer, in pieces; without fields for a block that is unknown or to come.
///
/// # Errors
/// `Unavailable` when the disk no longer holds it; `ResourceExhausted` when too many bytes are in memory.
pub(super) async fn answer(
    api: &Arc<Api>,
    request: &BlockRequest,
    progress: &Progress,
) -> Result<VecDeque<Bytes>, Status> {
    let number = request.block_num.into();
    let with_proof = request.include_proof == Some(true) && api.replica.has_proof(number);
    let block = if with_proof { None } else { api.replica.at_hand(Kind::Block, number) };
    let found = match block {
        Some(block) => at_hand(api, number, block)?,
        None => Box::pin(from_disk(api, number, with_proof)).await?,
    };
    Ok(encode(found, progress))
}

fn at_hand(api: &Api, number: BlockNumber, block: Bytes) -> Result<Found, Status> {
    api.admit(number, block.len())?;
    Ok(Found { share: api.share_now(block.len() + AROUND)?, block: Some(block), proof: None })
}

async fn from_disk(api: &Arc<Api>, number: BlockNumber, with_proof: bool) -> Result<Found, Status> {
    let reader = Arc::clone(api);
    let read = api.replica.blocking(move |_| Ok(read(&reader, number, with_proof))).await;
    read.map_err(|error| read_failed(number, &error))?
}

/// Waits for the disk. Nothing is read before there is room for it.
fn read(api: &Api, number: BlockNumber, with_proof: bool) -> Result<Found, Status> {
    let proof_len = if with_proof { api.len_of(Kind::Proof, number)? } else { 0 };
    let share = api.share_now(api.len_of(Kind::Block, number)? + proof_len + AROUND)?;
    let read = |kind| api.replica.read_now(kind, number).map_err(|error| read_failed(number, &error));
    let proof = if with_proof { read(Kind::Proof)? } else { None };
    Ok(Found { share, block: read(Kind::Block)?, proof })
}

fn encode(found: Found, progress: &Progress) -> VecDeque<Bytes> {
    let fields = [(1, found.block), (2, found.proof)];
    let fields: Vec<_> =
        fields.into_iter().filter_map(|(tag, bytes)| Some(Field::Bytes(tag, bytes?))).collect();
    let mut pieces = Pieces::with_room(fields.iter().map(Field::len).sum());
    pieces.add_fields(&fields);
    found.share.cover(pieces.finish(), progress)
}
