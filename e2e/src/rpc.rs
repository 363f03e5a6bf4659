//! Asking a store what any client could ask, on connections of our own.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tidemark_wire::{
    blockchain::BlockRequest,
    rpc::api_client::ApiClient,
    v1::{TipsRequest, TipsResponse, replica_client::ReplicaClient},
};
use tonic::transport::{Channel, Endpoint};

/// The port on which stores serve `rpc.Api`.
pub const PORT: u16 = 57291;

const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Connects anew to a store.
///
/// # Errors
/// If nothing accepts within two seconds.
pub async fn connect(address: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}:{PORT}"))?;
    let endpoint = endpoint.connect_timeout(ANSWER_WITHIN).timeout(ANSWER_WITHIN);
    endpoint.connect().await.with_context(|| format!("cannot connect to {address}:{PORT}"))
}

/// The chain tip that a store's `Status` names.
///
/// # Errors
/// If it does not answer.
pub async fn status_tip(channel: Channel) -> Result<u32> {
    Ok(ApiClient::new(channel).status(()).await?.into_inner().chain_tip)
}

/// A store's own view of its tips.
///
/// # Errors
/// If it does not answer.
pub async fn tips(channel: Channel) -> Result<TipsResponse> {
    Ok(ReplicaClient::new(channel).tips(TipsRequest { at_height: None }).await?.into_inner())
}

/// The published tip; an empty store is an error.
///
/// # Errors
/// If it does not answer or holds nothing.
pub async fn published_tip(channel: Channel) -> Result<u32> {
    tips(channel).await?.published_tip.context("the store is empty")
}

/// A block's bytes, if the store has it, and whether it has a proof.
///
/// # Errors
/// If it does not answer.
pub async fn block(channel: Channel, number: u32) -> Result<(Option<Vec<u8>>, bool)> {
    let request = BlockRequest { block_num: number, include_proof: Some(true) };
    let mut client = ApiClient::new(channel).max_decoding_message_size(64 << 20);
    let answer = client.get_block_by_number(request).await?.into_inner();
    Ok((answer.block.map(Into::into), answer.proof.is_some()))
}
