//! One call after the other.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use anyhow::{Context as _, Result};
use tidemark_wire::{blockchain::BlockRequest, rpc::api_client::ApiClient};
use tonic::transport::Channel;

pub(super) async fn run(mut api: ApiClient<Channel>, blocks: u32, counter: Arc<AtomicU64>) -> Result<()> {
    loop {
        let block_num = rand::random_range(0..blocks);
        let answer = api.get_block_by_number(BlockRequest { block_num, include_proof: None }).await?;
        answer.into_inner().block.with_context(|| format!("there is no block {block_num}"))?;
        counter.fetch_add(1, Relaxed);
    }
}
