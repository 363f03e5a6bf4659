//! What the operator says of itself: the live view, the metrics, the status, and how seldom it writes.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::ensure;
use kube::client::{Body, ClientBuilder};
use serde_json::{Value, json};
use tidemark_e2e::apiserver::ApiServer;
use tidemark_operator::api::StoreReplicaSet;
use tower::util::MapRequestLayer;

use crate::world::{World, until};

fn member(view: &Value, ordinal: usize) -> &Value {
    &view["fleets"][0]["members"][ordinal]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_view_tells_of_every_member_what_it_was_judged_by() {
    let world = World::with_fleet("live", 2, |_| {}).await;
    world.primary.say(|primary| primary.tip = Some(120));
    world.follower(0).say(|follower| follower.tip = Some(120));
    world.gate_is(1, "False", "Lagging").await;
    let view = until("the gate to be seen as it was written", async || {
        let view = world.live("").await;
        ensure!(member(&view, 1)["gate"]["status"] == "False", "{view}");
        Ok(view)
    })
    .await;
    let fleet = &view["fleets"][0];
    assert_eq!(
        (&fleet["namespace"], &fleet["name"], &fleet["mode"]),
        (&json!("live"), &json!("set"), &json!("Enforce"))
    );
    assert_eq!(fleet["fleetTip"], 120);
    let laggard = member(&view, 1);
    assert_eq!(laggard["pod"], "set-1");
    assert_eq!(laggard["uid"], json!(world.pod(1).await.metadata.uid.unwrap()));
    assert_eq!((&laggard["verdict"], &laggard["reason"]), (&json!("Out"), &json!("Lagging")));
    assert_eq!(
        (&laggard["tip"], &laggard["reference"], &laggard["lag"]),
        (&json!(100), &json!(120), &json!(20))
    );
    assert_eq!((&laggard["threshold"], &laggard["upstream"]["state"]), (&json!(2), &json!("SYNCING")));
    assert!(laggard["sampleAgeSeconds"].as_f64().unwrap() < 30.0 && laggard["since"].is_string());
    assert_eq!(
        (&member(&view, 0)["verdict"], &member(&view, 0)["gate"]["status"]),
        (&json!("In"), &json!("True"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_view_answers_about_one_set_or_one_namespace() {
    let world = World::with_fleet("asked", 1, |_| {}).await;
    let count = async |query: &str| world.live(query).await["fleets"].as_array().unwrap().len();
    assert_eq!(count("?namespace=asked&name=set").await, 1);
    assert_eq!(count("?name=set").await, 1);
    assert_eq!(count("?namespace=elsewhere").await, 0);
    assert_eq!(count("?namespace=asked&name=another").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_are_in_the_live_view_as_they_are_in_the_conditions() {
    let world = World::with_fleet("notices", 1, |_| {}).await;
    world.primary.say(|primary| primary.failing = Some("gone fishing".to_owned()));
    world.condition_is("ObservationDegraded", "True", "PrimarySilent").await;
    let view = world.live("").await;
    assert_eq!(view["fleets"][0]["notices"][0]["reason"], "PrimarySilent");
    assert!(view["fleets"][0]["primaryError"].as_str().unwrap().contains("gone fishing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_catches_up_says_how_fast_and_when_it_is_back() {
    let world = World::with_fleet("pace", 2, |_| {}).await;
    world.primary.say(|primary| primary.tip = Some(1_000_000));
    world.follower(0).say(|follower| follower.tip = Some(1_000_000));
    world.gate_is(1, "False", "Lagging").await;
    let member = until("the pace of the laggard", async || {
        world.follower(1).say(|follower| follower.tip = follower.tip.map(|tip| tip + 50));
        tokio::time::sleep(Duration::from_millis(100)).await;
        let view = world.live("").await;
        let laggard = member(&view, 1).clone();
        ensure!(laggard["etaSeconds"].is_u64(), "{laggard}");
        Ok(laggard)
    })
    .await;
    assert!(member["rate"].as_f64().unwrap() > 0.0, "{member}");
    // Any change of a verdict has the status written.
    world.follower(0).say(|follower| follower.tip = Some(500_000));
    let status = until("the status to tell of it", async || {
        let set: StoreReplicaSet = world.api().get("set").await?;
        let laggard = set.status.unwrap_or_default().members.remove(1);
        ensure!(laggard.rate.is_some() && laggard.eta.is_some(), "{laggard:?}");
        Ok(laggard)
    })
    .await;
    assert!(status.eta.unwrap().starts_with("20"), "a time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_only_observes_closes_no_gate_and_says_what_it_would_have_done() {
    let world = World::with_fleet("observes", 2, |spec| spec["health"]["mode"] = json!("Observe")).await;
    world.condition_is("Accepted", "True", "ObserveOnly").await;
    world.primary.say(|primary| primary.tip = Some(200));
    world.follower(0).say(|follower| follower.tip = Some(200));
    until("the condition to name the laggard", async || {
        let message = world.condition_is("Accepted", "True", "ObserveOnly").await;
        ensure!(message.contains("Enforce would keep out set-1 (Lagging)"), "{message}");
        Ok(())
    })
    .await;
    assert_eq!(world.gate(1).await.unwrap().status, "True");
    world.change(json!({ "health": { "mode": "Enforce" } })).await;
    world.gate_is(1, "False", "Lagging").await;
    world.condition_is("Accepted", "True", "Accepted").await;
}

/// The writes of an operator, by method and path. Its lease is no set's.
#[derive(Clone, Default)]
struct Writes(Arc<Mutex<Vec<String>>>);

impl Writes {
    /// A client whose writes are noted here.
    fn client(&self) -> kube::Client {
        let writes = self.clone();
        let note = MapRequestLayer::new(move |request: http::Request<Body>| {
            let path = request.uri().path();
            if request.method() != http::Method::GET && !path.contains("/leases") {
                writes.0.lock().unwrap().push(format!("{} {path}", request.method()));
            }
            request
        });
        ClientBuilder::try_from(ApiServer::shared().config()).unwrap().with_layer(&note).build()
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// The chain grows by a block, for everybody before anybody is asked again.
async fn grow(world: &World) {
    for follower in world.followers.values() {
        follower.say(|script| script.tip = script.tip.map(|tip| tip + 1));
    }
    world.primary.say(|script| script.tip = script.tip.map(|tip| tip + 1));
    world.follower(0).asked(2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_while_nobody_crosses_a_threshold_but_a_status_each_half_minute() {
    let mut world = World::with_fleet("silent", 3, |_| {}).await;
    let writes = Writes::default();
    world.start_operator_with(writes.client());
    until("the operator to have done what there is to do", async || {
        let before = writes.all().len();
        for _ in 0..10 {
            grow(&world).await;
        }
        let view = world.live("").await;
        let members = view["fleets"][0]["members"].as_array().unwrap();
        ensure!(members.len() == 3 && members.iter().all(|member| member["reason"] == "InSync"), "{view}");
        ensure!(writes.all().len() == before && before > 0, "{:?}", writes.all());
        Ok(())
    })
    .await;
    let (before, start) = (writes.all().len(), Instant::now());
    for _ in 0..30 {
        grow(&world).await;
    }
    let written = writes.all().split_off(before);
    let allowed = 1 + start.elapsed().as_secs() / 30;
    assert!(written.iter().all(|write| write.ends_with("/storereplicasets/set/status")), "{written:?}");
    assert!(u64::try_from(written.len()).unwrap() <= allowed, "{written:?} in {:?}", start.elapsed());
}
