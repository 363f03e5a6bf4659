//! One leads, the others stand by: who may write, and how soon another takes over.

use std::{
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::PodCondition};
use kube::{
    Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
    client::Body,
};
use serde_json::{Value, json};
use tidemark_e2e::{
    apiserver::ApiServer,
    kept::{self, Kept},
};
use tidemark_operator::{RunError, api::Span, options::Options};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::{World, until};

const LEASE: &str = "tidemark-operator";
/// A short lease, of which nobody waits long for the end.
const SHORT: [u64; 3] = [6, 5, 1];
/// One that nobody waits for the end of: who takes over then was told to.
const LONG: [u64; 3] = [120, 90, 2];

fn options(namespace: &str, identity: &str, [duration, deadline, retry]: [u64; 3]) -> Options {
    Options {
        namespaces: vec![namespace.to_owned()],
        allow_loopback_primaries: true,
        identity: Some(identity.to_owned()),
        lease_namespace: Some(namespace.to_owned()),
        lease_duration: Span::seconds(duration),
        lease_renew_deadline: Span::seconds(deadline),
        lease_retry: Span::seconds(retry),
        ..Options::default()
    }
}

/// An operator that takes part in the election.
struct Elected {
    token: CancellationToken,
    run: JoinHandle<Result<(), RunError>>,
}

impl Elected {
    fn start(client: Client, options: Options) -> Self {
        let token = CancellationToken::new();
        Self { run: tokio::spawn(tidemark_operator::run(client, options, token.clone())), token }
    }

    /// Ends it without a goodbye.
    fn kill(&self) {
        self.run.abort();
    }

    /// Waits until it has ended because it led no longer, and returns its last words.
    async fn lost(mut self) -> String {
        let ended = tokio::time::timeout(Duration::from_secs(60), &mut self.run).await;
        ended.expect("it ends").expect("it does not panic").expect_err("it lost its lease").to_string()
    }
}

impl Drop for Elected {
    fn drop(&mut self) {
        self.run.abort();
    }
}

/// A world whose fleet was made by an operator that is gone now, without having held a lease.
async fn world(name: &str) -> World {
    // A busy machine must not make one look silent, which would be held and not taken out.
    let patient = |spec: &mut Value| spec["health"]["staleAfter"] = json!("8s");
    let mut world = World::with_fleet(name, 3, patient).await;
    world.operator = None;
    world
}

async fn holder(world: &World) -> anyhow::Result<String> {
    let lease = world.api::<Lease>().get(LEASE).await?;
    lease.spec.and_then(|spec| spec.holder_identity).context("nobody holds the lease")
}

/// Waits until an operator of this name leads, and returns its whole name.
async fn leads(world: &World, name: &str) -> String {
    until(&format!("{name} to lead"), async || {
        let holder = holder(world).await?;
        ensure!(holder.starts_with(&format!("{name}_")), "{holder} leads");
        Ok(holder)
    })
    .await
}

async fn edit_lease(world: &World, spec: Value) {
    let patch = Patch::Merge(json!({ "spec": spec }));
    world.api::<Lease>().patch(LEASE, &PatchParams::default(), &patch).await.unwrap();
}

/// A lease that somebody holds who is not seen again.
async fn held_by_nobody_known(world: &World) {
    let metadata = json!({ "name": LEASE });
    let spec = json!({ "holderIdentity": "somebody", "leaseDurationSeconds": 120 });
    let lease = serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap();
    world.api::<Lease>().create(&Default::default(), &lease).await.unwrap();
}

async fn gates(world: &World) -> Vec<PodCondition> {
    let mut gates = Vec::new();
    for ordinal in 0..3 {
        gates.push(world.gate(ordinal).await.unwrap());
    }
    gates
}

fn advance(world: &World, ordinals: &[u32], tip: u32) {
    world.primary.say(|primary| primary.tip = Some(tip));
    ordinals.iter().for_each(|at| world.follower(*at).say(|follower| follower.tip = Some(tip)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_dies_during_lag_is_followed_within_its_lease_and_no_gate_is_reset() {
    let world = world("killed").await;
    let first = Elected::start(world.client.clone(), options(&world.namespace, "first", SHORT));
    leads(&world, "first").await;
    let _second = Elected::start(world.client.clone(), options(&world.namespace, "second", SHORT));
    advance(&world, &[0, 1], 110);
    world.gate_is(2, "False", "Lagging").await;
    let before = gates(&world).await;
    let killed = Instant::now();
    first.kill();
    leads(&world, "second").await;
    // Two retries, one before the lease was last renewed and one after it ran out, and what a busy machine takes.
    assert!(killed.elapsed() < Duration::from_secs(SHORT[0] + 2 * SHORT[2] + 10), "{:?}", killed.elapsed());
    world.follower(2).asked(10).await.unwrap();
    assert_eq!(gates(&world).await, before);
    advance(&world, &[0, 1, 2], 120);
    world.gate_is(2, "True", "InSync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_stopped_hands_over_at_once() {
    let world = world("handover").await;
    let first = Elected::start(world.client.clone(), options(&world.namespace, "first", LONG));
    leads(&world, "first").await;
    let _second = Elected::start(world.client.clone(), options(&world.namespace, "second", LONG));
    let before = gates(&world).await;
    first.token.cancel();
    leads(&world, "second").await;
    world.follower(0).asked(10).await.unwrap();
    assert_eq!(gates(&world).await, before);
    advance(&world, &[0, 1], 110);
    world.gate_is(2, "False", "Lagging").await;
    let ended = until("the first to end", async || {
        ensure!(first.run.is_finished());
        Ok(())
    });
    ended.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_stands_by_is_ready_samples_a_tenth_as_often_writes_nothing_and_goes_all_out_once_it_leads() {
    let world = world("standby").await;
    held_by_nobody_known(&world).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = Options { admin_listen: port, ..options(&world.namespace, "second", LONG) };
    let _second = Elected::start(world.client.clone(), options);
    world.follower(2).asked(1).await.unwrap();
    until("the standby to be ready", async || {
        ensure!(admin(port, "/readyz").await?.starts_with("HTTP/1.1 200"));
        Ok(())
    })
    .await;
    let metrics = admin(port, "/metrics").await.unwrap();
    assert!(metrics.contains("tidemark_operator_leader 0"), "{metrics}");
    let before = gates(&world).await;
    advance(&world, &[0, 1], 110);
    let (asked, start) = (world.follower(2).times_asked() + world.primary.times_asked(), Instant::now());
    world.follower(2).asked(3).await.unwrap();
    let took = start.elapsed().as_secs_f64();
    let asked = world.follower(2).times_asked() + world.primary.times_asked() - asked;
    // At 200 ms a leader asks each of the two five times a second, and one who stands by once in two.
    assert!(asked as f64 <= 2.0 * (took / 2.0 * 1.5 + 1.0), "{asked} requests in {took} s");
    assert_eq!(gates(&world).await, before, "it knows of the laggard and writes nothing");
    edit_lease(&world, json!({ "holderIdentity": null })).await;
    world.gate_is(2, "False", "Lagging").await;
    world.follower(2).asked(20).await.unwrap();
    let metrics = admin(port, "/metrics").await.unwrap();
    assert!(metrics.contains("tidemark_operator_leader 1"), "{metrics}");
}

/// What the admin port answers, as it comes.
async fn admin(address: std::net::SocketAddr, path: &str) -> anyhow::Result<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_lease_somebody_else_takes_ends_and_says_who() {
    let world = world("taken").await;
    let first = Elected::start(world.client.clone(), options(&world.namespace, "first", LONG));
    leads(&world, "first").await;
    edit_lease(&world, json!({ "holderIdentity": "somebody" })).await;
    let words = first.lost().await;
    assert!(words.starts_with("the lease is held by somebody"), "{words}");
    assert_eq!(holder(&world).await.unwrap(), "somebody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_deleted_is_made_again_by_its_holder_and_hands_nothing_over() {
    let world = world("deleted").await;
    let first = Elected::start(world.client.clone(), options(&world.namespace, "first", LONG));
    let holder = leads(&world, "first").await;
    let second = Elected::start(world.client.clone(), options(&world.namespace, "second", LONG));
    world.follower(0).asked(20).await.unwrap();
    for _ in 0..3 {
        let deleted = world.api::<Lease>().get(LEASE).await.unwrap().uid();
        world.api::<Lease>().delete(LEASE, &DeleteParams::default()).await.unwrap();
        until("the lease to be made again", async || {
            ensure!(world.api::<Lease>().get(LEASE).await?.uid() != deleted);
            Ok(())
        })
        .await;
        assert_eq!(leads(&world, "first").await, holder);
    }
    assert!(!first.run.is_finished() && !second.run.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_renewals_are_refused_ends_and_another_takes_over() {
    let world = world("refused-lease").await;
    let refuses = Arc::new(AtomicBool::new(false));
    let client = refusing(world.client.clone(), "/leases", Arc::clone(&refuses));
    let first = Elected::start(client, options(&world.namespace, "first", SHORT));
    leads(&world, "first").await;
    let _second = Elected::start(world.client.clone(), options(&world.namespace, "second", SHORT));
    refuses.store(true, Ordering::SeqCst);
    let words = first.lost().await;
    assert!(words.starts_with("the lease could not be renewed for 5 s"), "{words}");
    leads(&world, "second").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_that_cannot_be_written_are_told_of_and_written_once_they_can_be() {
    let world = world("unwritable").await;
    let refuses = Arc::new(AtomicBool::new(true));
    let client = refusing(world.client.clone(), "/pods/", Arc::clone(&refuses));
    let options = Options { leader_elect: false, ..options(&world.namespace, "only", LONG) };
    let _only = Elected::start(client, options);
    advance(&world, &[0, 1], 110);
    let message = world.condition_is("Degraded", "True", "GateWritesFailing").await;
    assert!(message.contains("set-2: ") && message.contains("no rights here"), "{message}");
    assert_eq!(world.gate(2).await.unwrap().status, "True");
    refuses.store(false, Ordering::SeqCst);
    world.gate_is(2, "False", "Lagging").await;
    world.condition_is("Degraded", "False", "AsExpected").await;
}

/// The same client, whose writes under `path` are refused when that is said.
fn refusing(client: Client, path: &'static str, refuses: Arc<AtomicBool>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let concerned = request.method() != http::Method::GET && request.uri().path().contains(path);
        let (client, refused) = (client.clone(), concerned && refuses.load(Ordering::SeqCst));
        async move {
            if refused {
                let status = json!({ "kind": "Status", "code": 403, "status": "Failure", "message": "no rights here" });
                let body = Body::from(serde_json::to_vec(&status).unwrap());
                return Ok(http::Response::builder().status(403).body(body).unwrap());
            }
            client.send(request).await
        }
    });
    Client::new(service, namespace)
}

/// The operator's own program, which signals reach; killed when dropped.
fn process(namespace: &str) -> Kept {
    let mut command = kept::command(env!("CARGO_BIN_EXE_tidemark-e2e-operator"));
    let [duration, deadline, retry] = SHORT.map(|seconds| format!("{seconds}s"));
    command
        .args(["run", "--allow-loopback-primaries", "--admin-listen", "127.0.0.1:0"])
        .args(["--namespace", namespace, "--lease-namespace", namespace, "--identity", "process"])
        .args(["--lease-duration", &duration, "--lease-renew-deadline", &deadline, "--lease-retry", &retry])
        .env("KUBECONFIG", ApiServer::shared().operator_kubeconfig())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Kept::start(command).unwrap()
}

async fn ended(process: &mut Kept) -> ExitStatus {
    until("the process to end", async || process.ended()?.context("it still runs")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_is_followed_within_its_lease() {
    let world = world("kill-nine").await;
    let mut process = process(&world.namespace);
    leads(&world, "process").await;
    let _second = Elected::start(world.client.clone(), options(&world.namespace, "second", SHORT));
    world.follower(0).asked(10).await.unwrap();
    process.signal("KILL").unwrap();
    ended(&mut process).await;
    leads(&world, "second").await;
    advance(&world, &[0, 1], 110);
    world.gate_is(2, "False", "Lagging").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_suspended_writes_nothing_when_it_wakes_after_its_lease_and_ends() {
    let world = world("suspended").await;
    let mut process = process(&world.namespace);
    leads(&world, "process").await;
    world.follower(0).asked(10).await.unwrap();
    process.signal("STOP").unwrap();
    // It is the only one, and wakes to a laggard that it would take out if it still led.
    advance(&world, &[0, 1], 110);
    let (before, stopped) = (gates(&world).await, Instant::now());
    until("its lease to run out", async || {
        ensure!(stopped.elapsed() > Duration::from_secs(SHORT[0] + 1));
        Ok(())
    })
    .await;
    process.signal("CONT").unwrap();
    assert!(!ended(&mut process).await.success());
    assert_eq!(gates(&world).await, before);
    let _second = Elected::start(world.client.clone(), options(&world.namespace, "second", SHORT));
    world.gate_is(2, "False", "Lagging").await;
}
