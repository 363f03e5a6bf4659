//! The best a server of `rpc.Api` can be: tonic, a payload in memory, and nothing else.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::Result;
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tidemark_wire::{
    blockchain::{BlockRequest, MaybeBlock},
    rpc::{
        BlockHeaderByNumberRequest, BlockHeaderByNumberResponse, BlockSubscriptionRequest,
        BlockSubscriptionResponse, ProofSubscriptionRequest, ProofSubscriptionResponse, RpcStatus,
        api_server::{Api, ApiServer},
    },
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    codegen::Bytes,
    transport::{Server, server::TcpIncoming},
};

use crate::chain;

/// The command that runs it.
pub const COMMAND: &str = "bare-server";
/// Higher than anybody follows it in a benchmark.
const TIP: u32 = 1 << 31;

/// Serves blocks of `size` bytes, and writes where to standard error, as a follower does.
///
/// # Errors
/// If it cannot serve.
pub async fn serve(size: usize) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    eprintln!("{}", serde_json::json!({"rpc": listener.local_addr()?.to_string()}));
    let api = ApiServer::new(Bare { payload: chain::payload(size) });
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = Server::builder().http2_keepalive_interval(Some(Duration::from_secs(10))).add_service(api);
    Ok(server.serve_with_incoming(incoming).await?)
}

struct Bare {
    payload: Bytes,
}

type Answer<T> = Result<Response<T>, Status>;
type Items<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl Api for Bare {
    type BlockSubscriptionStream = Items<BlockSubscriptionResponse>;
    type ProofSubscriptionStream = Items<ProofSubscriptionResponse>;

    async fn status(&self, _: Request<()>) -> Answer<RpcStatus> {
        Ok(Response::new(RpcStatus {
            version: String::new(),
            genesis_commitment: Some((*chain::GENESIS.as_bytes()).into()),
            chain_tip: TIP,
            block_producer: None,
        }))
    }

    async fn get_block_by_number(&self, _: Request<BlockRequest>) -> Answer<MaybeBlock> {
        Ok(Response::new(MaybeBlock { block: Some(self.payload.clone()), proof: None }))
    }

    async fn get_block_header_by_number(
        &self,
        _: Request<BlockHeaderByNumberRequest>,
    ) -> Answer<BlockHeaderByNumberResponse> {
        Err(Status::unimplemented("it serves blocks alone"))
    }

    async fn block_subscription(
        &self,
        _: Request<BlockSubscriptionRequest>,
    ) -> Answer<Self::BlockSubscriptionStream> {
        let item = BlockSubscriptionResponse { block: self.payload.clone(), committed_chain_tip: TIP };
        Ok(Response::new(stream::repeat_with(move || Ok(item.clone())).boxed()))
    }

    async fn proof_subscription(
        &self,
        _: Request<ProofSubscriptionRequest>,
    ) -> Answer<Self::ProofSubscriptionStream> {
        Ok(Response::new(stream::pending().boxed()))
    }
}
