//! A fleet whose operator runs as a process and reaches the API server through a proxy.

use std::{
    ffi::OsString,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;
use futures::future::try_join_all;
use serde_json::json;
use tidemark_e2e::{apiserver::ApiServer, process::OperatorProcess, proxy::Proxy};
use tidemark_operator::api::StoreReplicaSet;

use crate::{
    witness::{Move, Witness},
    world::{World, until},
};

/// What an operator of the largest fleets may have (docs/benchmarks.md).
const MEMORY: u64 = 250 * 1024 * 1024;

/// The fleet: `set-0` is in and stays in, `set-1` lags and returns when told, `set-2` is in and falls behind when told.
pub(crate) struct Limited {
    pub(crate) world: World,
    pub(crate) proxy: Proxy,
    pub(crate) operator: OperatorProcess,
    pub(crate) witness: Witness,
    name: &'static str,
    before: Vec<Move>,
}

impl Limited {
    pub(crate) async fn start(server: &ApiServer, name: &'static str) -> Self {
        Self::start_with(server, name, &[]).await
    }

    /// Starts it with this environment of the operator, which serves the namespace `name` if nothing else is said.
    pub(crate) async fn start_with(
        server: &ApiServer,
        name: &'static str,
        environment: &[(&str, OsString)],
    ) -> Self {
        let mut world = World::without_operator(server.client().unwrap(), name).await;
        let proxy = Proxy::start(server.config()).await.unwrap();
        let operator = start_process(&proxy, name, environment);
        let witness = Witness::start(world.client.clone(), name).await;
        world.create_fleet(3, |_| {}).await;
        world.primary.say(|primary| primary.tip = Some(110));
        for ordinal in [0, 2] {
            world.follower(ordinal).say(|follower| follower.tip = Some(110));
        }
        world.gate_is(1, "False", "Lagging").await;
        let mut limited = Self { world, proxy, operator, witness, name, before: Vec::new() };
        limited.before = limited.witness_shows(4).await;
        limited
    }

    /// From now on `set-1` is as fresh as can be, and `set-2` is behind.
    pub(crate) fn cross(&self) {
        self.world.primary.say(|primary| primary.tip = Some(120));
        for ordinal in [0, 1] {
            self.world.follower(ordinal).say(|follower| follower.tip = Some(120));
        }
    }

    /// No gate has moved since the start.
    pub(crate) async fn assert_unmoved(&self) {
        assert_eq!(self.witness.moves().await, self.before, "{}: the fault moved a gate", self.name);
    }

    /// Every follower is asked `more` times, whatever the API server does.
    pub(crate) async fn judging_goes_on(&self, more: u64) {
        let asked = self.world.followers.values().map(|follower| follower.asked(more));
        try_join_all(asked).await.unwrap();
    }

    /// Waits until what crossed shows in the gates, and nothing else, until an edit of the set is seen, and says how
    /// long that took.
    pub(crate) async fn recovers(&self) {
        let start = Instant::now();
        self.world.gate_is(1, "True", "InSync").await;
        self.world.gate_is(2, "False", "Lagging").await;
        let gates = start.elapsed();
        self.edits_are_seen().await;
        let edits = start.elapsed();
        let mut moves = self.witness_shows(self.before.len() + 2).await.split_off(self.before.len());
        moves.sort();
        let expected = [("set-1", true), ("set-2", false)].map(|(pod, open)| (pod.to_owned(), open));
        assert_eq!(moves, expected, "{}: gates moved that nobody crossed", self.name);
        self.stays_small();
        println!(
            "{}: gates were right {} ms after the fault, edits seen after {} ms; {} MiB at most, {} restarts",
            self.name,
            gates.as_millis(),
            edits.as_millis(),
            self.operator.peak_memory() >> 20,
            self.operator.restarts(),
        );
    }

    pub(crate) fn stays_small(&self) {
        let peak = self.operator.peak_memory();
        assert!((1..=MEMORY).contains(&peak), "{}: the operator took {peak} bytes", self.name);
    }

    async fn edits_are_seen(&self) {
        self.world.change(json!({ "health": { "maxLagBlocks": 3 } })).await;
        self.last_edit_is_seen().await;
    }

    /// Waits until the status is about the set as it is.
    pub(crate) async fn last_edit_is_seen(&self) {
        until("the last edit to be observed", async || {
            let set: StoreReplicaSet = self.world.api().get("set").await?;
            let observed = set.status.and_then(|status| status.observed_generation);
            ensure!(observed == set.metadata.generation, "{observed:?}");
            Ok(())
        })
        .await;
    }

    /// The moves, once there are so many.
    async fn witness_shows(&self, moves: usize) -> Vec<Move> {
        until("the witness to see all moves", async || {
            let seen = self.witness.moves().await;
            ensure!(seen.len() >= moves, "{seen:?}");
            Ok(seen)
        })
        .await
    }
}

/// Starts the operator's own program behind a proxy; it serves this namespace, and leads by a lease in it.
pub(crate) fn start_process(
    proxy: &Proxy,
    namespace: &str,
    environment: &[(&str, OsString)],
) -> OperatorProcess {
    let mut all = vec![
        ("TIDEMARK_OPERATOR_NAMESPACE", namespace.into()),
        ("TIDEMARK_OPERATOR_LEASE_NAMESPACE", namespace.into()),
    ];
    all.extend_from_slice(environment);
    let program = Path::new(env!("CARGO_BIN_EXE_tidemark-e2e-operator"));
    OperatorProcess::start(program, &proxy.url(), &all).unwrap()
}

/// How long a fault lasts that is to outlast what it hits.
pub(crate) async fn lasts(fault: Duration) {
    tokio::time::sleep(fault).await;
}
