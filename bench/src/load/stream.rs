//! One subscription after the other, each from anywhere on and for a while only.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use anyhow::{Context as _, Result};
use tidemark_wire::rpc::{BlockSubscriptionRequest, api_client::ApiClient};
use tonic::transport::Channel;

/// Blocks read of each: many against what is sent on before the server learns that nobody reads.
const LENGTH: u32 = 4096;

pub(super) async fn run(mut api: ApiClient<Channel>, blocks: u32, counter: Arc<AtomicU64>) -> Result<()> {
    let length = LENGTH.min(blocks);
    loop {
        let block_from = rand::random_range(0..=blocks - length);
        let mut items = api.block_subscription(BlockSubscriptionRequest { block_from }).await?.into_inner();
        for _ in 0..length {
            let item = items.message().await?.context("the subscription ended")?;
            counter.fetch_add(item.block.len() as u64, Relaxed);
        }
    }
}
