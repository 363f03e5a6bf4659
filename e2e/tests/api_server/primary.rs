//! Primaries: what is asked of them, how often, and over what.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use tidemark_e2e::scripted::{Script, Scripted, ServerTls};

use crate::{
    authority::Authority,
    world::{World, set},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_is_asked_once_for_all_sets_that_name_it() {
    let world = World::with_fleet("one-primary", 1, |_| {}).await;
    for name in ["second", "third"] {
        world.api().create(&PostParams::default(), &set(name, world.spec())).await.unwrap();
    }
    world.primary.asked(3).await.unwrap();
    is_asked_once_an_interval(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_knows_rpc_api_alone_and_fails_is_asked_no_more_often() {
    let mut world = World::new("rpc-alone-fails").await;
    world.primary.say(|primary| (primary.speaks_tidemark, primary.tip) = (false, None));
    world.create(world.spec()).await;
    world.start_follower(0, Script { tip: Some(100), ..Script::default() }).await;
    world.primary.asked(3).await.unwrap();
    is_asked_once_an_interval(&world).await;
    world.condition_is("ObservationDegraded", "True", "PrimarySilent").await;
}

/// Every 200 ms, and what came late before may make the first seem early.
async fn is_asked_once_an_interval(world: &World) {
    let (started, before) = (Instant::now(), world.primary.times_asked());
    world.primary.asked(10).await.unwrap();
    let (took, asked) = (started.elapsed(), world.primary.times_asked() - before);
    let least = Duration::from_millis(200) * u32::try_from(asked - 1).unwrap();
    assert!(took + Duration::from_millis(100) >= least, "{asked} in {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_exhausted_is_left_alone_for_as_long_as_it_asks() {
    let world = World::with_fleet("exhausted", 2, |_| {}).await;
    let words = "Too Many Requests! Wait for 3s";
    world.primary.say(|primary| primary.exhausted = Some(words.to_owned()));
    world.primary.asked(1).await.unwrap();
    let told = Instant::now();
    world.primary.asked(1).await.unwrap();
    assert!(told.elapsed() >= Duration::from_millis(2_900), "asked again after {:?}", told.elapsed());
    world.primary.say(|primary| primary.exhausted = None);
    world.primary.asked(5).await.unwrap();
    world.gate_is(0, "True", "InSync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_set_may_ask_bounds_the_operator() {
    let world = World::with_fleet("budget", 1, |spec| spec["primary"]["requestsPerSecond"] = json!(1)).await;
    world.primary.asked(1).await.unwrap();
    let (started, before) = (Instant::now(), world.primary.times_asked());
    world.primary.asked(3).await.unwrap();
    let asked = u32::try_from(world.primary.times_asked() - before).unwrap();
    assert!(
        started.elapsed() >= Duration::from_millis(900) * (asked - 1),
        "{asked} in {:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_is_for_followers_and_its_tip_is_not_the_primarys() {
    let fallback = Scripted::start(Script { tip: Some(200), ..Script::default() }).await.unwrap();
    let url = fallback.url();
    let world = World::with_fleet("fallback", 2, |spec| spec["primary"]["fallbackUrls"] = json!([url])).await;
    world.primary.say(|primary| primary.failing = Some("gone".to_owned()));
    world.condition_is("ObservationDegraded", "True", "PrimarySilent").await;
    assert_eq!(fallback.times_asked(), 0, "it may be behind, or another chain's");
    world.gate_is(0, "True", "InSync").await;
}

impl World {
    /// A set of two whose primary is `url`, reached with `tls`.
    async fn create_secure(&mut self, url: &str, tls: Value) {
        let mut spec = self.spec();
        (spec["replicas"], spec["primary"]) = (json!(2), json!({ "url": url, "tls": tls }));
        self.create(spec).await;
        for ordinal in 0..2 {
            self.start_follower(ordinal, Script { tip: Some(100), ..Script::default() }).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_is_reached_over_tls_with_what_secrets_hold_as_soon_as_they_do() {
    let (authority, other) = (Authority::new("authority"), Authority::new("other"));
    let (certificate, key) = authority.issue("primary.chain.svc");
    let (client, client_key) = authority.issue("operator");
    let tls = ServerTls::new(&certificate, &key, Some(&authority.pem())).unwrap();
    let script = Script { tip: Some(100), tls: Some(tls), ..Script::default() };
    let primary = Scripted::start(script).await.unwrap();
    let mut world = World::new("tls").await;
    let tls = json!({ "caSecret": "ca", "clientSecret": "client", "serverName": "primary.chain.svc" });
    world.create_secure(&primary.url(), tls).await;
    let told = world.condition_is("ObservationDegraded", "True", "PrimarySecret").await;
    assert!(told.contains("Secret tls/ca does not exist"), "{told}");
    world.put_secret("ca", &[("other.crt", "")]).await;
    world.primary_secret("Secret tls/ca has no key ca.crt").await;
    world.put_secret("ca", &[("ca.crt", "nonsense")]).await;
    world.primary_secret("Secret tls/client does not exist").await;
    world.put_secret("client", &[("tls.crt", &client), ("tls.key", &client_key)]).await;
    world.primary_secret("key ca.crt of Secret tls/ca holds no certificate in PEM").await;
    world.put_secret("ca", &[("ca.crt", &other.pem())]).await;
    world.condition_is("ObservationDegraded", "True", "PrimarySilent").await;
    assert_eq!(primary.times_asked(), 0, "its certificate is of an authority that is not trusted");
    world.put_secret("ca", &[("ca.crt", &authority.pem())]).await;
    primary.asked(3).await.unwrap();
    world.gate_is(0, "True", "InSync").await;
    world.condition_is("ObservationDegraded", "False", "Observed").await;
    // What was good stays in use.
    world.api::<Secret>().delete("client", &DeleteParams::default()).await.unwrap();
    world.primary_secret("Secret tls/client does not exist").await;
    primary.asked(3).await.unwrap();
    world.gate_is(1, "True", "InSync").await;
}

impl World {
    /// Waits until the condition tells these words of a Secret.
    async fn primary_secret(&self, words: &str) {
        self.secret_trouble("PrimarySecret", words).await;
    }
}
