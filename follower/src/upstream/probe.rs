//! Finds out which protocol a server speaks that does not know `rpc.Api`, to say so instead of "unknown call".

use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::timeout;
use tonic::{Code, Request, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

const LIMIT: Duration = Duration::from_secs(2);
/// What the Miden node speaks from 0.17 on.
const LATER: &str = "miden.node.v1.NodeService";
const LATER_STATUS: &str = "/miden.node.v1.NodeService/Status";
/// Services that any gRPC server may have.
const COMMON: [&str; 2] = ["grpc.health.", "grpc.reflection."];
/// No more services than this are named.
const NAMED: usize = 8;

/// The services the server has, as far as it can be found out.
pub(super) async fn services(channel: &Channel) -> Vec<String> {
    let found = timeout(LIMIT, reflected(channel)).await.ok().flatten().unwrap_or_default();
    if found.is_empty() && timeout(LIMIT, knows_later(channel)).await.unwrap_or(false) {
        return vec![LATER.to_owned()];
    }
    found
}

async fn reflected(channel: &Channel) -> Option<Vec<String>> {
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let questions = futures::stream::iter([question]).chain(futures::stream::pending());
    let mut client = ServerReflectionClient::new(channel.clone());
    let mut answers = client.server_reflection_info(questions).await.ok()?.into_inner();
    let MessageResponse::ListServicesResponse(list) = answers.message().await.ok()??.message_response? else {
        return None;
    };
    Some(named(list.service.into_iter().map(|service| service.name)))
}

/// The names that tell one protocol from another, few and short.
fn named(services: impl Iterator<Item = String>) -> Vec<String> {
    let telling = services.filter(|name| !COMMON.iter().any(|common| name.starts_with(common)));
    telling.filter(|name| name.len() <= 100).take(NAMED).collect()
}

async fn knows_later(channel: &Channel) -> bool {
    let mut client = Grpc::new(channel.clone());
    if client.ready().await.is_err() {
        return false;
    }
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let answered = client.unary(Request::new(()), PathAndQuery::from_static(LATER_STATUS), codec).await;
    !matches!(answered, Err(status) if matches!(status.code(), Code::Unimplemented | Code::Unavailable | Code::Unknown))
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn services_of_every_server_say_nothing_and_a_flood_of_names_is_cut() {
        let names =
            ["grpc.health.v1.Health", "miden.node.v1.NodeService", "grpc.reflection.v1.ServerReflection"];
        let names = names.into_iter().map(str::to_owned);
        assert_eq!(named(names), ["miden.node.v1.NodeService"]);
        assert!(named(std::iter::repeat_n("x".repeat(1000), 9)).is_empty());
        assert_eq!(named((0..1000).map(|n| n.to_string())).len(), super::NAMED);
    }
}
