//! The limits of the API server, the clock and the load: no gate moves for them, memory is bounded, and what crossed a
//! threshold meanwhile shows soon after.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::ensure;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{Method, StatusCode, request::Parts};
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Namespace, Pod, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;
use tempfile::TempDir;
use tidemark_e2e::{
    apiserver::ApiServer,
    proxy::{Weather, Which},
    wait,
};
use tidemark_operator::api::StoreReplicaSet;
use tokio::{
    sync::{Mutex, MutexGuard},
    task::JoinSet,
};

use crate::{
    limited::{Limited, lasts},
    witness::Witness,
    world::{set, until},
};

/// Longer than the longest call of the operator, and than the age at which a sample is no sample.
const LONG: Duration = Duration::from_secs(5);

fn every_request(_: &Parts) -> bool {
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn api_server_slow() {
    let limited = Limited::start(ApiServer::shared(), "api-server-slow").await;
    limited.proxy.set(Weather { delay: Duration::from_secs(3), ..Weather::default() });
    limited.cross();
    limited.judging_goes_on(10).await;
    lasts(LONG).await;
    limited.assert_unmoved().await;
    limited.proxy.set(Weather::default());
    limited.recovers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn api_server_slow_but_in_time() {
    let limited = Limited::start(ApiServer::shared(), "api-server-tardy").await;
    limited.proxy.set(Weather { delay: Duration::from_secs(1), ..Weather::default() });
    limited.judging_goes_on(10).await;
    limited.assert_unmoved().await;
    limited.cross();
    limited.recovers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn api_server_refusing() {
    let mut limited = Limited::start(ApiServer::shared(), "api-server-refusing").await;
    for (at, status) in
        [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].into_iter().enumerate()
    {
        limited.proxy.set(Weather { refusal: Some((status, every_request)), ..Weather::default() });
        if at == 0 {
            limited.cross();
            limited.judging_goes_on(10).await;
        }
        limited.proxy.go_away().await.unwrap();
        limited.proxy.come_back().await.unwrap();
        limited.judging_goes_on(10).await;
    }
    limited.assert_unmoved().await;
    let refused = limited.proxy.answered(|_, _, status| status.is_client_error() || status.is_server_error());
    assert!(
        (5..200).contains(&refused),
        "{refused} requests were refused: it insists too little or too much"
    );
    limited.proxy.set(Weather::default());
    limited.recovers().await;
}

/// The turn of one test with the API server that tests may break.
async fn breakable() -> (MutexGuard<'static, ()>, &'static ApiServer) {
    static TURN: Mutex<()> = Mutex::const_new(());
    let turn = TURN.lock().await;
    let server = ApiServer::breakable();
    server.ensure_running().await.unwrap();
    (turn, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn api_server_gone() {
    let (_turn, server) = breakable().await;
    let brief = [("DURATION", "5s"), ("RENEW_DEADLINE", "3s"), ("RETRY", "1s")];
    let names = brief.map(|(name, _)| format!("TIDEMARK_OPERATOR_LEASE_{name}"));
    let lease: Vec<_> =
        names.iter().zip(brief).map(|(name, (_, span))| (name.as_str(), span.into())).collect();
    let limited = Limited::start_with(server, "api-server-gone", &lease).await;
    server.freeze().unwrap();
    limited.cross();
    limited.judging_goes_on(5).await;
    server.kill();
    until("the operator to have given up its lease", async || {
        ensure!(limited.operator.restarts() > 0, "it goes on");
        Ok(())
    })
    .await;
    lasts(LONG).await;
    server.restart().await.unwrap();
    limited.recovers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_compacted() {
    let (_turn, server) = breakable().await;
    let mut limited = Limited::start(server, "etcd-compacted").await;
    let lists = |limited: &Limited| {
        let of_pods = |method: &Method, path: &str, _| method == Method::GET && path.ends_with("/pods");
        limited.proxy.answered(of_pods)
    };
    let before = lists(&limited);
    limited.proxy.go_away().await.unwrap();
    limited.cross();
    limited.judging_goes_on(5).await;
    limited.world.change(json!({ "health": { "maxLagBlocks": 4 } })).await;
    let touched = Patch::Merge(json!({ "metadata": { "annotations": { "touched": "yes" } } }));
    for pod in ["set-0", "set-1", "set-2"] {
        let _: Pod = limited.world.api().patch(pod, &PatchParams::default(), &touched).await.unwrap();
    }
    server.compact().await.unwrap();
    limited.assert_unmoved().await;
    limited.proxy.come_back().await.unwrap();
    limited.recovers().await;
    assert!(lists(&limited) > before, "the watch went on from a revision that is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_closed() {
    let limited = Limited::start(ApiServer::shared(), "watches-closed").await;
    for round in 0..20 {
        limited.proxy.close_watches();
        limited.world.follower(0).asked(1).await.unwrap();
        if round == 9 {
            limited.assert_unmoved().await;
            limited.cross();
        }
    }
    limited.recovers().await;
    let watches = limited.proxy.answered(|_, path, _| path.ends_with("/pods?watch"));
    assert!(watches >= 5, "only {watches} watches of pods were closed");
    let lists = limited.proxy.answered(|_, path, _| path.ends_with("/pods"));
    assert!(lists <= 2, "pods were listed {lists} times, although no watch missed anything");
}

/// A library that moves the wall clock by as many seconds as a file says, and no other clock.
const STEPPED: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long step(void) {
    char text[32] = { 0 };
    int file = open(getenv("CLOCK_STEP"), O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
    close(file);
    return atol(text);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += step();
    return result;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact) != 0) return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *out) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (out) *out = exact.tv_sec;
    return exact.tv_sec;
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn clock_stepped() {
    let files = TempDir::new().unwrap();
    let (source, library, step) =
        (files.path().join("stepped.c"), files.path().join("stepped.so"), files.path().join("step"));
    fs::write(&source, STEPPED).unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(compiled.expect("cc, which links this very test, is there").success());
    let environment =
        [("LD_PRELOAD", library.into_os_string()), ("CLOCK_STEP", step.clone().into_os_string())];
    let limited = Limited::start_with(ApiServer::shared(), "clock-stepped", &environment).await;
    for hours in [6, -12, 6 * 24 * 365] {
        fs::write(&step, (hours * 3600).to_string()).unwrap();
        limited.judging_goes_on(8).await;
        limited.assert_unmoved().await;
    }
    fs::write(&step, (-6 * 3600).to_string()).unwrap();
    limited.cross();
    limited.recovers().await;
    let moved = limited.world.gate(2).await.unwrap().last_transition_time.unwrap();
    let ago = Timestamp::now().duration_since(moved.0).as_hours();
    assert!((5..=6).contains(&ago), "the operator's clock was not stepped: it says {ago} h ago");
}

/// Pods that appear at once, and the sets they belong to.
const CROWD: u32 = 5_000;
const CROWDED_SETS: u32 = 50;
/// What two cores that compile all the while have needed is half of this.
const CROWD_WITHIN: Duration = Duration::from_secs(300);

fn one_of_the_crowd(at: u32) -> Pod {
    let set = format!("crowd-{}", at % CROWDED_SETS);
    let pod = json!({
        "metadata": { "name": format!("{set}-{}", at / CROWDED_SETS), "labels": {
            "app.kubernetes.io/instance": set, "app.kubernetes.io/managed-by": "tidemark-operator",
        } },
        "spec": {
            "containers": [{ "name": "follower", "image": "i" }],
            "readinessGates": [{ "conditionType": "tidemark.dev/in-sync" }],
        },
    });
    serde_json::from_value(pod).unwrap()
}

fn of_the_crowd(parts: &Parts) -> bool {
    parts.uri.path().ends_with("/namespaces/crowd/pods")
}

async fn make_crowd(client: &Client, namespace: &str) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let creations = stream::iter(0..CROWD).map(|at| {
        let pods = pods.clone();
        async move { pods.create(&PostParams::default(), &one_of_the_crowd(at)).await }
    });
    creations.buffer_unordered(32).try_for_each(|_| async { Ok(()) }).await.unwrap();
}

async fn make_namespace(client: &Client, name: &str) {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_pods_at_once() {
    let both = [("TIDEMARK_OPERATOR_NAMESPACE", "crowded,crowd".into())];
    let limited = Limited::start_with(ApiServer::shared(), "crowded", &both).await;
    make_namespace(&limited.world.client, "crowd").await;
    let sets: Api<StoreReplicaSet> = Api::namespaced(limited.world.client.clone(), "crowd");
    for at in 0..CROWDED_SETS {
        sets.create(&PostParams::default(), &set(&format!("crowd-{at}"), limited.world.spec()))
            .await
            .unwrap();
    }
    // The operator sees none of them until all are there.
    let refusal = Some((StatusCode::SERVICE_UNAVAILABLE, of_the_crowd as Which));
    limited.proxy.set(Weather { refusal, ..Weather::default() });
    limited.proxy.close_watches();
    make_crowd(&limited.world.client, "crowd").await;
    limited.assert_unmoved().await;
    let crowd = Witness::start(limited.world.client.clone(), "crowd").await;
    limited.proxy.set(Weather::default());
    limited.cross();
    limited.recovers().await;
    let start = Instant::now();
    let all_gated = wait::until("each of them to have a gate", CROWD_WITHIN, async || {
        ensure!(crowd.gated() == usize::try_from(CROWD)?, "{} have one", crowd.gated());
        Ok(())
    });
    all_gated.await.unwrap();
    println!("crowd: each has a gate {} ms later", start.elapsed().as_millis());
    assert_eq!(crowd.open(), 0, "nobody is let in that runs nothing");
    limited.stays_small();
}

async fn edit(sets: Api<StoreReplicaSet>, at: u64) {
    let change = Patch::Merge(json!({ "spec": { "health": { "maxLagBlocks": 2 + at % 3 } } }));
    sets.patch("set", &PatchParams::default(), &change).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn set_edited_a_hundred_times_a_second() {
    const EDITS: u64 = 300;
    let limited = Limited::start(ApiServer::shared(), "edited").await;
    let asked = limited.world.follower(0).times_asked();
    let start = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let mut edits = JoinSet::new();
    for at in 0..EDITS {
        ticks.tick().await;
        if at == EDITS / 2 {
            limited.assert_unmoved().await;
            limited.cross();
        }
        edits.spawn(edit(limited.world.api(), at));
    }
    edits.join_all().await;
    let lasted = start.elapsed();
    limited.recovers().await;
    limited.last_edit_is_seen().await;
    let asked = limited.world.follower(0).times_asked() - asked;
    let due = u64::try_from(start.elapsed().as_millis() / 200).unwrap();
    assert!(asked <= 2 * due + 4, "asked {asked} times where {due} were due");
    println!("edited: {EDITS} edits in {} ms", lasted.as_millis());
    let written =
        limited.proxy.answered(|method, path, _| method == Method::PATCH && path.ends_with("/set/status"));
    assert!(written <= EDITS, "{written} statuses were written for {EDITS} edits");
}

/// Does what the controller of namespaces does, which these tests have none of.
async fn empty_namespace(client: &Client, namespace: &str) {
    async fn all_of<K>(client: &Client, namespace: &str)
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        let api: Api<K> = Api::namespaced(client.clone(), namespace);
        for one in api.list(&ListParams::default()).await.unwrap().items {
            // It may be gone with another.
            let _ = api.delete(&one.name_any(), &now).await;
        }
    }
    all_of::<StoreReplicaSet>(client, namespace).await;
    all_of::<StatefulSet>(client, namespace).await;
    all_of::<Pod>(client, namespace).await;
    all_of::<Service>(client, namespace).await;
    all_of::<ServiceAccount>(client, namespace).await;
    all_of::<PodDisruptionBudget>(client, namespace).await;
    all_of::<NetworkPolicy>(client, namespace).await;
}

async fn finalize(client: &Client, namespace: &str) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let mut found = namespaces.get(namespace).await.unwrap();
    found.spec.get_or_insert_default().finalizers = None;
    let path = format!("/api/v1/namespaces/{namespace}/finalize");
    let request = http::Request::put(path).header("content-type", "application/json");
    let request = request.body(serde_json::to_vec(&found).unwrap()).unwrap();
    client.request_text(request).await.unwrap();
    until("the namespace to be gone", async || {
        ensure!(namespaces.get_opt(namespace).await?.is_none());
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn namespace_deleted() {
    let both = [("TIDEMARK_OPERATOR_NAMESPACE", "survivor,doomed".into())];
    let limited = Limited::start_with(ApiServer::shared(), "survivor", &both).await;
    let mut doomed = crate::world::World::without_operator(limited.world.client.clone(), "doomed").await;
    doomed.create_fleet(2, |_| {}).await;
    let witness = Witness::start(doomed.client.clone(), "doomed").await;
    let namespaces: Api<Namespace> = Api::all(doomed.client.clone());
    namespaces.delete("doomed", &DeleteParams::default()).await.unwrap();
    doomed.api::<Service>().delete("set", &DeleteParams::default()).await.unwrap();
    doomed.follower(0).asked(10).await.unwrap();
    assert!(witness.moves().await.iter().all(|(_, open)| *open), "{:?}", witness.moves().await);
    doomed.primary.say(|primary| primary.tip = Some(110));
    doomed.follower(0).say(|follower| follower.tip = Some(110));
    doomed.gate_is(1, "False", "Lagging").await;
    empty_namespace(&doomed.client, "doomed").await;
    finalize(&doomed.client, "doomed").await;
    limited.assert_unmoved().await;
    limited.cross();
    limited.recovers().await;
    assert_eq!(limited.operator.restarts(), 0);
    let mut again = crate::world::World::without_operator(limited.world.client.clone(), "doomed").await;
    again.create_fleet(2, |_| {}).await;
}
