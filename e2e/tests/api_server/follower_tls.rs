//! Followers that serve over TLS: asked with what Secrets hold, each as the template says that its pod was made of.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tidemark_e2e::scripted::{Manners, Script, ServerTls};
use tidemark_operator::api::StoreReplicaSet;

use crate::{
    authority::Authority,
    recorder::Recorder,
    replacing::{all_run, fleet},
    world::{World, until},
};

impl Authority {
    /// What a follower of the set in `namespace` shows.
    fn follower(&self, namespace: &str) -> ServerTls {
        self.server(&format!("set.{namespace}.svc"), None)
    }

    fn server(&self, name: &str, clients: Option<&Self>) -> ServerTls {
        let (certificate, key) = self.issue(name);
        ServerTls::new(&certificate, &key, clients.map(Self::pem).as_deref()).unwrap()
    }
}

/// At block 100, over TLS.
fn over(tls: &ServerTls) -> Script {
    Script { tip: Some(100), tls: Some(tls.clone()), ..Script::default() }
}

impl World {
    /// A world with Secrets of these authorities and a set of followers of these scripts, which is asked with `tls`.
    async fn secure(name: &str, secrets: &[(&str, &Authority)], tls: Value, scripts: &[Script]) -> Self {
        let mut world = Self::new(name).await;
        for (secret, authority) in secrets {
            world.put_authority(secret, authority).await;
        }
        let mut spec = world.spec();
        if tls.get("certSecret").is_none() {
            spec["follower"]["protocol"] = json!("rpc-status");
        }
        (spec["replicas"], spec["follower"]["tls"]) = (json!(scripts.len()), tls);
        world.create(spec).await;
        for (ordinal, script) in (0..).zip(scripts) {
            world.start_follower(ordinal, script.clone()).await;
        }
        world
    }

    async fn put_authority(&self, secret: &str, authority: &Authority) {
        self.put_secret(secret, &[("ca.crt", &authority.pem())]).await;
    }

    async fn all_in(&self, replicas: u32) {
        for ordinal in 0..replicas {
            self.gate_is(ordinal, "True", "InSync").await;
        }
    }

    /// Waits until the live view says why this one was not heard.
    async fn unheard(&self, ordinal: usize, words: &str) {
        until(&format!("{ordinal} not to be heard: {words}"), async || {
            let view = self.live("").await;
            let why =
                view["fleets"][0]["members"][ordinal]["sampleError"].as_str().unwrap_or_default().to_owned();
            ensure!(why.contains(words), "{why:?}");
            Ok(())
        })
        .await;
    }

    /// What followers were asked and came to, by outcome.
    async fn samples(&self, outcome: &str) -> u64 {
        let metrics = self.admin("/metrics").await;
        let name = format!("tidemark_operator_samples_total{{outcome=\"{outcome}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(0, |count| count.parse().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_serves_over_tls_is_judged_as_any_other() {
    let authority = Authority::new("authority");
    let script = over(&authority.follower("secure"));
    // Where cert-manager puts what issued the certificate.
    let (secrets, tls) = ([("cert", &authority)], json!({ "certSecret": "cert" }));
    let world = World::secure("secure", &secrets, tls, &[script.clone(), script]).await;
    world.all_in(2).await;
    world.condition_is("ObservationDegraded", "False", "Observed").await;
    world.primary.say(|primary| primary.tip = Some(103));
    world.follower(0).say(|follower| follower.tip = Some(103));
    world.gate_is(1, "False", "Lagging").await;
    world.follower(1).say(|follower| follower.tip = Some(103));
    world.all_in(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_that_want_a_certificate_are_shown_the_operators() {
    let (authority, readers) = (Authority::new("authority"), Authority::new("readers"));
    let script = over(&authority.server("chain.example", Some(&readers)));
    let tls = json!({
        "certSecret": "cert", "caSecret": "roots", "clientCaSecret": "readers", "clientSecret": "operator",
        "serverName": "chain.example",
    });
    let world = World::secure("mutual", &[("roots", &authority)], tls, &[script]).await;
    world.secret_trouble("FollowerSecret", "Secret mutual/operator does not exist").await;
    world.unheard(0, "Secret mutual/operator does not exist: create it, or correct spec.follower.tls").await;
    let (stranger, stranger_key) = authority.issue("operator");
    world.put_secret("operator", &[("tls.crt", &stranger), ("tls.key", &stranger_key)]).await;
    world.handshake("set-0").await;
    assert_eq!(world.follower(0).times_asked(), 0, "the certificate shown is not of the readers' authority");
    let (certificate, key) = readers.issue("operator");
    world.put_secret("operator", &[("tls.crt", &certificate), ("tls.key", &key)]).await;
    world.gate_is_within(SECRETS_WITHIN, 0, "True", "InSync").await;
    world.condition_is("ObservationDegraded", "False", "Observed").await;
}

/// What Secrets hold is read anew every 20 s.
const SECRETS_WITHIN: Duration = Duration::from_secs(60);

impl World {
    /// Waits until these followers are said not to be heard over TLS, and returns the words.
    async fn handshake(&self, pods: &str) -> String {
        tidemark_e2e::wait::until("the handshake to be told of", SECRETS_WITHIN, async || {
            let set: StoreReplicaSet = self.api().get("set").await?;
            let conditions = set.status.unwrap_or_default().conditions;
            let found = conditions.into_iter().find(|condition| condition.reason == "FollowerHandshake");
            let message = found.context("no such condition")?.message;
            ensure!(message.contains(&format!("over TLS: {pods}: ")), "{message}");
            Ok(message)
        })
        .await
        .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_of_an_authority_that_is_not_trusted_are_not_heard_until_it_is() {
    let (authority, other) = (Authority::new("authority"), Authority::new("other"));
    let script = over(&authority.follower("distrust"));
    let tls = json!({ "certSecret": "cert", "caSecret": "roots" });
    let world = World::secure("distrust", &[("roots", &other)], tls, &[script.clone(), script]).await;
    let told = world.handshake("set-0, set-1").await;
    assert!(told.contains("no TLS with set.distrust.svc: invalid peer certificate: UnknownIssuer"), "{told}");
    world.unheard(1, "UnknownIssuer").await;
    world.gate_is(0, "False", "AwaitingFirstSample").await;
    assert_eq!((world.samples("ok").await, world.follower(0).times_asked()), (0, 0));
    assert!(world.samples("tls").await > 0);
    world.put_authority("roots", &authority).await;
    for ordinal in 0..2 {
        world.gate_is_within(SECRETS_WITHIN, ordinal, "True", "InSync").await;
    }
    world.condition_is("ObservationDegraded", "False", "Observed").await;
    // Both sides turn to another authority, the followers first.
    let renewed = other.follower("distrust");
    world.follower(0).say(|follower| follower.tls = Some(renewed));
    world.handshake("set-0").await;
    world.put_authority("roots", &other).await;
    world.gate_is_within(SECRETS_WITHIN, 0, "True", "InSync").await;
    // The other one goes on over the connection that it has.
    world.follower(1).asked(3).await.unwrap();
    assert_eq!(world.gate(1).await.unwrap().status, "True");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_with_which_tls_does_not_come_about_costs_only_itself() {
    let (authority, other) = (Authority::new("authority"), Authority::new("other"));
    let honest = authority.follower("no-tls");
    let (secrets, tls) = ([("cert", &authority)], json!({ "certSecret": "cert" }));
    let world = World::secure("no-tls", &secrets, tls, &[over(&honest), over(&honest), over(&honest)]).await;
    world.all_in(3).await;
    let (foreign, named) = (other.follower("no-tls"), authority.server("set.elsewhere.svc", None));
    let cases: [(&str, &str, Manners, Option<ServerTls>); 4] = [
        ("hangs", "no TLS within", Manners::Hangs, Some(honest.clone())),
        ("foreign", "UnknownIssuer", Manners::Honest, Some(foreign)),
        ("another's", "not valid for name", Manners::Honest, Some(named)),
        // What it says then would be believed of a pod that is to speak without.
        ("without", "no TLS with set.no-tls.svc", Manners::Honest, None),
    ];
    let mut tip = 100;
    for (case, words, manners, tls) in cases {
        let asked = world.follower(2).times_asked();
        world.follower(2).say(|follower| (follower.manners, follower.tls) = (manners, tls));
        world.unheard(2, words).await;
        world.gate_is(2, "False", "Unknown").await;
        tip += 3;
        world.primary.say(|primary| primary.tip = Some(tip));
        world.follower(0).say(|follower| follower.tip = Some(tip));
        world.gate_is(1, "False", "Lagging").await;
        world.follower(1).say(|follower| follower.tip = Some(tip));
        world.gate_is(1, "True", "InSync").await;
        assert_eq!(world.gate(0).await.unwrap().status, "True", "{case}");
        let more = world.follower(2).times_asked() - asked;
        assert!(more <= 2, "{case}: it was asked {more} times, where one request may have been under way");
        let tls = Some(honest.clone());
        world.follower(2).say(|follower| {
            (follower.manners, follower.tls, follower.tip) = (Manners::Honest, tls, Some(tip));
        });
        world.all_in(3).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_image_is_asked_over_tls_for_its_status_and_its_blocks() {
    let authority = Authority::new("authority");
    let tls = authority.server("chain.example", None);
    let script = Script { speaks_tidemark: false, ..over(&tls) };
    let asked = json!({ "caSecret": "roots", "serverName": "chain.example" });
    let world =
        World::secure("plain-secure", &[("roots", &authority)], asked, &[script.clone(), script]).await;
    world.all_in(2).await;
    until("blocks to be read over TLS", async || {
        let metrics = world.admin("/metrics").await;
        ensure!(metrics.contains("hash_reads_total{of=\"follower\",outcome=\"ok\"} "), "{metrics}");
        Ok(())
    })
    .await;
    assert!(world.follower(0).blocks_read() + world.follower(1).blocks_read() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_turns_to_tls_is_judged_throughout() {
    let authority = Authority::new("authority");
    let (world, controller) = fleet("turning", 3, |_| {}).await;
    world.put_authority("cert", &authority).await;
    controller.show(authority.follower("turning"));
    let recorder = Recorder::start(world.client.clone(), "turning").await;
    let tls = json!({ "certSecret": "cert" });
    world.change(json!({ "follower": { "image": "tidemark.local/follower:behind", "tls": tls } })).await;
    // Halfway: the new pod is heard over TLS and is far behind, the others are heard without.
    controller.tip(102);
    world.primary.say(|primary| primary.tip = Some(102));
    until("each to be heard in its own way", async || {
        let view = world.live("").await;
        let members = view["fleets"][0]["members"].as_array().context("members")?;
        let tips: Vec<_> = members.iter().map(|member| member["tip"].as_u64()).collect();
        ensure!(tips == [Some(102), Some(102), Some(1)], "{view}");
        Ok(())
    })
    .await;
    for ordinal in 0..2 {
        assert_eq!(world.gate(ordinal).await.unwrap().status, "True", "it was never behind");
    }
    world.change(json!({ "follower": { "image": "tidemark.local/follower:good" } })).await;
    all_run(&world, 3, "good").await;
    world.condition_is("Progressing", "True", "RolledOut").await;
    world.condition_is("ObservationDegraded", "False", "Observed").await;
    // And back.
    world.change(json!({ "follower": { "image": "tidemark.local/follower:plain", "tls": null } })).await;
    all_run(&world, 3, "plain").await;
    world.condition_is("ObservationDegraded", "False", "Observed").await;
    let record = recorder.record().await;
    assert_eq!(record.deleted, ["set-2", "set-2", "set-1", "set-0", "set-2", "set-1", "set-0"]);
    assert_eq!((record.fewest, record.ready_when_deleted), (2, vec![]));
}
