//! Servers that are no store of this protocol: the state says what they speak.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    task::{Context, Poll},
};

use tidemark_wire::v1::ReplicaState;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Status,
    body::Body,
    codegen::{
        Service,
        http::{Request, Response},
    },
    server::NamedService,
    transport::{Server, server::Router},
};

use crate::harness::{follow, in_state};

/// What the Miden node serves from 0.17 on, which answers every call with an error of its own.
#[derive(Clone)]
struct NodeService;

impl NamedService for NodeService {
    const NAME: &'static str = "miden.node.v1.NodeService";
}

impl Service<Request<Body>> for NodeService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Ok(Status::invalid_argument("not like that").into_http()))
    }
}

/// The reflection service of a server that has a service of that name.
fn reflection(package: &str, service: &str) -> Router {
    let service =
        prost_types::ServiceDescriptorProto { name: Some(service.to_owned()), ..Default::default() };
    let file = prost_types::FileDescriptorProto {
        name: Some("api.proto".to_owned()),
        package: Some(package.to_owned()),
        service: vec![service],
        ..Default::default()
    };
    let reflection = tonic_reflection::server::Builder::configure()
        .register_file_descriptor_set(prost_types::FileDescriptorSet { file: vec![file] })
        .build_v1()
        .unwrap();
    Server::builder().add_service(reflection)
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

async fn check_says(router: Router, spoken: &str) {
    let address = serve(router).await;
    let follower = follow(&[&format!("http://{address}")], |_| {}).await;
    let tips = in_state(follower.rpc, ReplicaState::UnsupportedProtocol).await;
    let said = tips.state_detail;
    assert!(said.contains(spoken) && said.contains("this follower speaks rpc.Api"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_node_is_named_by_its_reflection() {
    check_says(reflection("miden.node.v1", "NodeService"), "miden.node.v1.NodeService").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_node_without_reflection_is_named_by_its_answer() {
    check_says(Server::builder().add_service(NodeService), "miden.node.v1.NodeService").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_is_named_by_what_it_has() {
    check_says(reflection("acme.v2", "Rockets"), "acme.v2.Rockets").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_of_itself_is_no_store_either() {
    let (_, health) = tonic_health::server::health_reporter();
    check_says(Server::builder().add_service(health), "no protocol known here").await;
}
