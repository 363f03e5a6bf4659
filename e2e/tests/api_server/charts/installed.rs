//! What `helm test` asks of an operator.

use std::net::SocketAddr;

use tidemark_e2e::{apiserver::ApiServer, loopback};
use tidemark_operator::{
    api::Span,
    installed::{self, CheckError},
    options::{Check, Options},
};
use tokio_util::sync::CancellationToken;

use crate::world::World;

const NAME: &str = "chart-check";

fn asked(admin: SocketAddr, lease: &str, seconds: u64) -> Check {
    Check {
        admin: format!("http://{admin}").parse().unwrap(),
        lease_name: lease.to_owned(),
        lease_namespace: NAME.to_owned(),
        within: Span::seconds(seconds),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_serves_and_leads_passes_its_check_and_what_is_wrong_is_named() {
    let world = World::without_operator(ApiServer::shared().client().unwrap(), NAME).await;
    let (admin, _) = loopback::listen(8080).unwrap();
    let admin = SocketAddr::from((admin, 8080));
    let options = Options {
        namespaces: vec![NAME.to_owned()],
        admin_listen: admin,
        lease_namespace: Some(NAME.to_owned()),
        lease_renew_deadline: Span::seconds(4),
        lease_duration: Span::seconds(5),
        lease_retry: Span::seconds(1),
        identity: Some("one".to_owned()),
        ..Options::default()
    };
    let client = world.client.clone();
    let none = installed::check(&client, &asked(admin, "tidemark-operator", 0), |_| ()).await;
    assert!(matches!(none, Err(CheckError::NotReady { .. })), "{none:?}");
    let token = CancellationToken::new();
    let operator = tokio::spawn(tidemark_operator::run(client.clone(), options, token.clone()));
    let mut told = Vec::new();
    let good = asked(admin, "tidemark-operator", 30);
    installed::check(&client, &good, |found| told.push(found.to_owned())).await.unwrap();
    assert_eq!(&told[..2], ["the definition is served: tidemark.dev/v1alpha1", "an instance is ready"]);
    assert!(told[2].starts_with("one_") && told[2].ends_with(" leads"), "{told:?}");

    let other = installed::check(&client, &asked(admin, "another", 0), |_| ()).await;
    assert!(matches!(other, Err(CheckError::NoLeader { .. })), "{other:?}");
    token.cancel();
    operator.await.unwrap().unwrap();
    let released = installed::check(&client, &asked(admin, "tidemark-operator", 0), |_| ()).await;
    assert!(matches!(released, Err(CheckError::NotReady { .. })), "{released:?}");
}
