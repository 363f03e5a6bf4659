//! How GitOps engines read a set: Flux by its kstatus library, Argo CD by `deploy/argocd/health.lua`, each run on what the
//! API server holds.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject},
    runtime::{
        WatchStreamExt as _,
        watcher::{Config, watcher},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};
use tidemark_e2e::programs;
use tidemark_operator::{api::StoreReplicaSet, names::PAUSED};
use tokio::task::JoinHandle;

use crate::{
    controller::Controller,
    replacing::{GOOD, all_run, fleet, image},
    world::{World, status_of, until},
};

/// What an engine makes of an object.
#[derive(Clone, Debug, Deserialize)]
struct Health {
    status: String,
    message: String,
}

fn run(how: &[&str], objects: &[Value]) -> Vec<Health> {
    let program = programs::module("health").unwrap().join("health");
    let mut child =
        Command::new(program).args(how).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let text: String = objects.iter().map(Value::to_string).collect();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "health {how:?} failed");
    let answers = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    let answers: Vec<Health> = answers.collect::<Result<_, _>>().unwrap();
    assert_eq!(answers.len(), objects.len());
    answers
}

fn flux(objects: &[Value]) -> Vec<Health> {
    run(&["kstatus"], objects)
}

fn argo(objects: &[Value]) -> Vec<Health> {
    let script = Path::new("deploy/argocd/health.lua");
    run(&["argo", programs::checkout().join(script).to_str().unwrap()], objects)
}

fn sets(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &ApiResource::erase::<StoreReplicaSet>(&()))
}

/// Waits until both read the set so: a status, and words of the message.
async fn reads(world: &World, by_flux: (&str, &str), by_argo: (&str, &str)) {
    let sets = sets(&world.client, &world.namespace);
    until(&format!("Flux to read {by_flux:?} and Argo CD {by_argo:?}"), async || {
        let set = [serde_json::to_value(sets.get("set").await?)?];
        for (found, (status, words)) in [(flux(&set), by_flux), (argo(&set), by_argo)] {
            let found = found.first().context("an answer")?;
            ensure!(found.status == status && found.message.contains(words), "{found:?}");
        }
        Ok(())
    })
    .await;
}

/// Every version of the set that the server showed; dropping it ends the watch.
struct Versions(JoinHandle<()>, Arc<Mutex<Vec<Value>>>);

impl Versions {
    fn watch(world: &World) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (into, sets) = (Arc::clone(&seen), sets(&world.client, &world.namespace));
        let watching = tokio::spawn(async move {
            let mut versions = watcher(sets, Config::default()).default_backoff().applied_objects().boxed();
            while let Some(version) = versions.next().await {
                // A watch that broke is taken up again.
                let Ok(version) = version else { continue };
                into.lock().unwrap().push(serde_json::to_value(version).unwrap());
            }
        });
        Self(watching, seen)
    }

    /// What was seen of this generation, once one of these versions says what is waited for.
    async fn of(&self, generation: i64, what: (&str, &str)) -> Vec<Value> {
        until(&format!("a version of generation {generation} whose {} says {}", what.0, what.1), async || {
            let seen = self.1.lock().unwrap().clone();
            let of = seen.into_iter().filter(|version| version["metadata"]["generation"] == generation);
            let of: Vec<_> = of.collect();
            let last = of.last().context("none yet")?;
            ensure!(condition(last, what.0)["reason"] == what.1, "{}", last["status"]);
            Ok(of)
        })
        .await
    }
}

impl Drop for Versions {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn condition<'a>(set: &'a Value, type_: &str) -> &'a Value {
    let conditions = set["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == type_);
    found.unwrap_or(&Value::Null)
}

/// In these versions of one generation, no engine takes the set for done before it says that it is rolled out and Ready.
fn done_only_at_the_end(versions: &[Value]) {
    let (by_flux, by_argo) = (flux(versions), argo(versions));
    for (version, (by_flux, by_argo)) in versions.iter().zip(by_flux.iter().zip(&by_argo)) {
        let done = condition(version, "Progressing")["reason"] == "RolledOut"
            && condition(version, "Ready")["status"] == "True"
            && version["status"]["observedGeneration"] == version["metadata"]["generation"];
        let expected = if done { ("Current", "Healthy") } else { ("InProgress", "Progressing") };
        let found = (by_flux.status.as_str(), by_argo.status.as_str());
        assert_eq!(found, expected, "{by_flux:?} {by_argo:?} {}", version["status"]);
    }
    assert_eq!(by_flux[0].status, "InProgress", "the first version: {}", versions[0]["status"]);
    assert_eq!(by_flux.last().unwrap().status, "Current");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_in_progress_until_it_serves_and_at_every_change_that_rolls_out() {
    let mut world = World::new("health-new").await;
    world.operator = None;
    let mut spec = world.spec();
    spec["health"]["staleAfter"] = json!("8s");
    spec["follower"]["image"] = json!("tidemark.local/follower:first");
    let versions = Versions::watch(&world);
    world.create(spec).await;
    reads(&world, ("InProgress", "observed generation is -1"), ("Progressing", "not seen this spec")).await;
    world.start_operator();
    let _controller = Controller::start(world.client.clone(), &world.namespace);
    all_run(&world, 3, "first").await;
    done_only_at_the_end(&versions.of(1, ("Ready", "EnoughReplicasServe")).await);
    reads(&world, ("Current", ""), ("Healthy", "3 of 3 replicas serve")).await;

    image(&world, GOOD).await;
    all_run(&world, 3, "good").await;
    let changed = versions.of(2, ("Ready", "EnoughReplicasServe")).await;
    done_only_at_the_end(&changed);
    let seen_and_not_done = changed.iter().find(|version| version["status"]["observedGeneration"] == 2);
    assert_eq!(condition(seen_and_not_done.unwrap(), "Reconciling")["status"], "True");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_spec_is_a_failure_with_its_cause_until_it_is_corrected() {
    let (world, _controller) = fleet("health-refused", 2, |_| {}).await;
    reads(&world, ("Current", ""), ("Healthy", "")).await;
    world.change(json!({ "primary": { "url": "http://primary:70000" } })).await;
    let cause = "spec.primary.url http://primary:70000 is no URL";
    reads(&world, ("Failed", cause), ("Degraded", cause)).await;
    for ordinal in [0, 1] {
        assert_eq!(world.gate(ordinal).await.unwrap().status, "True", "the fleet is not touched");
    }
    world.change(json!({ "primary": { "url": world.primary.url() } })).await;
    reads(&world, ("Current", ""), ("Healthy", "")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_and_a_silent_primary_make_no_fleet_unhealthy_and_an_outage_does_in_the_end() {
    let (world, controller) = fleet("health-lag", 2, |_| {}).await;
    controller.tip(110);
    world.primary.say(|primary| primary.tip = Some(110));
    controller.say("set-1", |script| script.tip = Some(100));
    world.gate_is(1, "False", "Lagging").await;
    reads(&world, ("Current", ""), ("Healthy", "1 of 2 replicas serve")).await;
    world.primary.say(|primary| primary.failing = Some("gone fishing".to_owned()));
    reads(&world, ("Current", ""), ("Healthy", "gone fishing")).await;
    world.primary.say(|primary| primary.failing = None);
    for pod in ["set-0", "set-1"] {
        let ended = status_of("follower", "c", json!({ "terminated": { "exitCode": 0 } }));
        world.write_status(pod, json!({ "containerStatuses": [ended] })).await;
    }
    let cause = "0 of 2 replicas serve, 1 are needed";
    reads(&world, ("InProgress", cause), ("Progressing", cause)).await;
    world.change(json!({ "rollout": { "progressDeadline": "1s" } })).await;
    let cause = "has not been in sync";
    reads(&world, ("InProgress", cause), ("Degraded", cause)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_contradicts_a_fleet_shows_where_an_engine_has_a_place_for_it() {
    let (world, controller) = fleet("health-genesis", 3, |_| {}).await;
    controller.say("set-2", |script| script.genesis = 7);
    reads(&world, ("Current", ""), ("Degraded", "WrongGenesis: ")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_does_not_get_on_is_degraded_with_its_cause() {
    let (world, _controller) = fleet("health-rollout", 2, |_| {}).await;
    image(&world, "tidemark.local/follower:crash").await;
    reads(&world, ("InProgress", "CrashLoopBackOff"), ("Degraded", "CrashLoopBackOff")).await;
    world.change(json!({ "rollout": { "progressDeadline": "1s" } })).await;
    image(&world, "tidemark.local/follower:behind").await;
    world.primary.say(|primary| primary.tip = Some(102));
    let cause = "has not been in sync";
    reads(&world, ("InProgress", cause), ("Degraded", cause)).await;
    image(&world, GOOD).await;
    all_run(&world, 2, "good").await;
    reads(&world, ("Current", ""), ("Healthy", "")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_fleet_is_suspended_and_its_new_spec_is_not_taken_for_done() {
    let (world, _controller) = fleet("health-paused", 1, |_| {}).await;
    world.annotate(json!({ PAUSED: "true" })).await;
    world.condition_is("Progressing", "Unknown", "Paused").await;
    reads(&world, ("Current", ""), ("Suspended", "tidemark.dev/paused")).await;
    world.change(json!({ "replicas": 2 })).await;
    reads(&world, ("InProgress", "observed generation is 1"), ("Suspended", "")).await;
    world.annotate(json!({ PAUSED: null })).await;
    reads(&world, ("Current", ""), ("Healthy", "2 of 2 replicas serve")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_fleet_that_does_not_serve_is_degraded() {
    let (world, _controller) = fleet("health-paused-out", 1, |_| {}).await;
    world.annotate(json!({ PAUSED: "true" })).await;
    world.condition_is("Progressing", "Unknown", "Paused").await;
    let ended = status_of("follower", "c", json!({ "terminated": { "exitCode": 0 } }));
    world.write_status("set-0", json!({ "containerStatuses": [ended] })).await;
    let cause = "0 of 1 replicas serve, 1 are needed";
    reads(&world, ("InProgress", cause), ("Degraded", cause)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_is_being_deleted_is_terminating() {
    let (world, _controller) = fleet("health-deleted", 1, |_| {}).await;
    let sets = sets(&world.client, &world.namespace);
    sets.delete("set", &DeleteParams::foreground()).await.unwrap();
    reads(&world, ("Terminating", ""), ("Progressing", "being deleted")).await;
}
