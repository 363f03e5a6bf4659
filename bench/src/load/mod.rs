//! Clients that keep a server busy: 8 connections with 8 calls or streams each, uniform over its blocks.

mod stream;
mod unary;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use tidemark_wire::rpc::api_client::ApiClient;
use tokio::{task::JoinSet, time::sleep};
use tonic::transport::Channel;

use crate::{client, machine::server::Server};

const CONNECTIONS: usize = 8;
const IN_FLIGHT: usize = 8;

/// How blocks are asked for.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A call for each; requests are counted.
    Unary,
    /// Subscriptions; bytes are counted.
    Stream,
}

/// Runs until dropped.
pub struct Load {
    counter: Arc<AtomicU64>,
    clients: JoinSet<Result<()>>,
}

impl Load {
    /// Keeps the server at `url` busy, whose blocks are those below `blocks`.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub async fn start(url: &str, kind: Kind, blocks: u32) -> Result<Self> {
        let mut load = Self { counter: Arc::default(), clients: JoinSet::new() };
        for _ in 0..CONNECTIONS {
            let api = client::api(url).await?;
            (0..IN_FLIGHT).for_each(|_| load.add(api.clone(), kind, blocks));
        }
        Ok(load)
    }

    fn add(&mut self, api: ApiClient<Channel>, kind: Kind, blocks: u32) {
        let counter = Arc::clone(&self.counter);
        match kind {
            Kind::Unary => self.clients.spawn(unary::run(api, blocks, counter)),
            Kind::Stream => self.clients.spawn(stream::run(api, blocks, counter)),
        };
    }

    /// What was counted in `window` for each second of CPU that `server` took, after as long a warm-up.
    ///
    /// # Errors
    /// If a client failed or the server ended.
    pub async fn per_cpu_second(&mut self, server: &Server, window: Duration) -> Result<f64> {
        sleep(window).await;
        let (cpu, count) = (server.cpu()?, self.counter.load(Relaxed));
        sleep(window).await;
        let (cpu, count) = (server.cpu()? - cpu, self.counter.load(Relaxed) - count);
        if let Some(ended) = self.clients.try_join_next() {
            ended??;
        }
        ensure!(count > 0 && !cpu.is_zero(), "the server did nothing");
        Ok(count as f64 / cpu.as_secs_f64())
    }
}
