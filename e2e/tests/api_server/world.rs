//! A namespace with an operator of its own, a scripted primary and scripted followers.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::{
    api::{
        apps::v1::{StatefulSet, StatefulSetSpec},
        core::v1::{Namespace, PersistentVolumeClaimVolumeSource, Pod, PodCondition, Volume},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tidemark_e2e::{
    apiserver::ApiServer,
    loopback,
    scripted::{Script, Scripted},
    wait,
};
use tidemark_operator::{
    api::{StoreReplicaSet, crd},
    names::GATE,
    options::Options,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::kubelet::Kubelet;

pub(crate) const WITHIN: Duration = Duration::from_secs(60);

/// A running operator; dropping it ends it without a goodbye.
pub(crate) struct Operator {
    task: JoinHandle<()>,
    /// Where its admin port is.
    admin: SocketAddr,
}

impl Operator {
    fn start(client: Client, namespace: &str, allow_loopback_primaries: bool) -> Self {
        // Given back at once: the operator takes it, and no other is given it.
        let (admin, _) = loopback::listen(8080).unwrap();
        let admin = SocketAddr::from((admin, 8080));
        let options = Options {
            namespaces: vec![namespace.to_owned()],
            admin_listen: admin,
            allow_loopback_primaries,
            // One operator in each test's namespace, and the next one is not to wait for a lease to run out.
            leader_elect: false,
            ..Options::default()
        };
        let task = tokio::spawn(async move {
            tidemark_operator::run(client, options, CancellationToken::new())
                .await
                .expect("the operator runs");
        });
        Self { task, admin }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A test's own corner of the cluster.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) operator: Option<Operator>,
    pub(crate) primary: Scripted,
    pub(crate) followers: BTreeMap<String, Scripted>,
    _kubelet: Kubelet,
}

impl World {
    /// A namespace named after the test, with a running operator and a primary at block 100.
    pub(crate) async fn new(name: &str) -> Self {
        let mut world = Self::without_operator(ApiServer::shared().client().unwrap(), name).await;
        world.start_operator();
        world
    }

    /// The same on the API server of this client, and nobody who judges.
    pub(crate) async fn without_operator(client: Client, name: &str) -> Self {
        install(&client).await.unwrap();
        Self::bare(client, name).await
    }

    /// The same where nobody has installed the definition either.
    pub(crate) async fn bare(client: Client, name: &str) -> Self {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        let primary = Scripted::start(Script { tip: Some(100), ..Script::default() }).await.unwrap();
        Self {
            _kubelet: Kubelet::start(client.clone(), name),
            client,
            namespace: name.to_owned(),
            operator: None,
            primary,
            followers: BTreeMap::new(),
        }
    }

    /// A world with a set named `set` of followers at block 100, all in.
    pub(crate) async fn with_fleet(name: &str, replicas: u32, change: impl FnOnce(&mut Value)) -> Self {
        let mut world = Self::new(name).await;
        world.create_fleet(replicas, change).await;
        world
    }

    /// Makes the set named `set` of followers at block 100, and waits until all are in.
    pub(crate) async fn create_fleet(&mut self, replicas: u32, change: impl FnOnce(&mut Value)) {
        let mut spec = self.spec();
        spec["replicas"] = json!(replicas);
        change(&mut spec);
        self.create(spec).await;
        for ordinal in 0..replicas {
            self.start_follower(ordinal, Script { tip: Some(100), ..Script::default() }).await;
        }
        for ordinal in 0..replicas {
            self.gate_is(ordinal, "True", "InSync").await;
        }
    }

    pub(crate) fn start_operator(&mut self) {
        self.start_operator_through(self.client.clone());
    }

    /// Starts an operator that reaches the API server by this client.
    pub(crate) fn start_operator_through(&mut self, client: Client) {
        self.operator = Some(Operator::start(client, &self.namespace, true));
    }

    /// Starts an operator that speaks to the API server through this client.
    pub(crate) fn start_operator_with(&mut self, client: Client) {
        self.operator = None;
        self.operator = Some(Operator::start(client, &self.namespace, true));
    }

    /// Starts an operator as users run it, which asks no primary at loopback.
    pub(crate) fn start_strict_operator(&mut self) {
        self.operator = Some(Operator::start(self.client.clone(), &self.namespace, false));
    }

    /// What the operator's admin port answers, head and body.
    pub(crate) async fn admin(&self, path: &str) -> String {
        let address = self.operator.as_ref().expect("an operator runs").admin;
        until(&format!("an answer to {path}"), async || {
            let mut stream = TcpStream::connect(address).await?;
            stream
                .write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
                .await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        })
        .await
    }

    /// The live view of the sets that this query asks about.
    pub(crate) async fn live(&self, query: &str) -> Value {
        let answer = self.admin(&format!("/fleets{query}")).await;
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).expect("JSON")
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A spec that polls five times a second.
    pub(crate) fn spec(&self) -> Value {
        json!({
            "primary": { "url": self.primary.url() },
            "follower": { "image": "tidemark.local/tidemark-follower:test" },
            "storage": { "emptyDir": {} },
            "health": { "pollInterval": "200ms", "staleAfter": "2s", "stallAfter": "24h" },
        })
    }

    pub(crate) async fn create(&self, spec: Value) {
        self.api().create(&PostParams::default(), &set("set", spec)).await.unwrap();
    }

    /// Sets annotations of the set; null takes one away.
    pub(crate) async fn annotate(&self, annotations: Value) {
        let patch = Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
        let sets: Api<StoreReplicaSet> = self.api();
        sets.patch("set", &PatchParams::default(), &patch).await.unwrap();
    }

    pub(crate) async fn change(&self, spec: Value) {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let _: StoreReplicaSet = self.api().patch("set", &PatchParams::default(), &patch).await.unwrap();
    }

    /// Makes the pod as the StatefulSet's controller would, and runs it with this script.
    pub(crate) async fn start_follower(&mut self, ordinal: u32, script: Script) {
        let statefulset = self.statefulset().await;
        let pod: Pod =
            self.api().create(&PostParams::default(), &pod_of(&statefulset, ordinal)).await.unwrap();
        let follower = Scripted::start(Script { pod_uid: pod.uid().unwrap(), ..script }).await.unwrap();
        self.run_container(&pod.name_any(), &follower, "containerd://first").await;
        self.followers.insert(pod.name_any(), follower);
    }

    pub(crate) async fn statefulset(&self) -> StatefulSet {
        let statefulsets: Api<StatefulSet> = self.api();
        until("the StatefulSet", async || Ok(statefulsets.get("set").await?)).await
    }

    /// Writes what kubelet writes when the container runs.
    pub(crate) async fn run_container(&self, pod: &str, follower: &Scripted, container: &str) {
        let status = json!({
            "podIP": follower.ip().to_string(),
            "podIPs": [{ "ip": follower.ip().to_string() }],
            "phase": "Running",
            "containerStatuses": [status_of("follower", container, json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } }))],
        });
        self.write_status(pod, status).await;
    }

    pub(crate) async fn write_status(&self, pod: &str, status: Value) {
        let patch = Patch::Merge(json!({ "status": status }));
        let _: Pod = self.api().patch_status(pod, &PatchParams::default(), &patch).await.unwrap();
    }

    pub(crate) fn follower(&self, ordinal: u32) -> &Scripted {
        &self.followers[&format!("set-{ordinal}")]
    }

    pub(crate) async fn pod(&self, ordinal: u32) -> Pod {
        self.api().get(&format!("set-{ordinal}")).await.unwrap()
    }

    pub(crate) async fn gate(&self, ordinal: u32) -> Option<PodCondition> {
        let pod: Option<Pod> = self.api().get_opt(&format!("set-{ordinal}")).await.unwrap();
        let conditions = pod?.status.unwrap_or_default().conditions.unwrap_or_default();
        conditions.into_iter().find(|condition| condition.type_ == GATE)
    }

    /// Waits until the gate has this status and reason.
    pub(crate) async fn gate_is(&self, ordinal: u32, status: &str, reason: &str) {
        self.gate_is_within(WITHIN, ordinal, status, reason).await;
    }

    /// The same for what takes its time by design.
    pub(crate) async fn gate_is_within(&self, limit: Duration, ordinal: u32, status: &str, reason: &str) {
        let what = format!("gate {ordinal} to be {status} for {reason}");
        until_within(&what, limit, async || {
            let gate = self.gate(ordinal).await.context("no gate yet")?;
            ensure!(gate.status == status && gate.reason.as_deref() == Some(reason), "{gate:?}");
            Ok(())
        })
        .await;
    }

    /// Waits until the condition of the set has this status and reason, and returns its message.
    pub(crate) async fn condition_is(&self, type_: &str, status: &str, reason: &str) -> String {
        let what = format!("{type_} to be {status} for {reason}");
        until(&what, async || {
            let found = self.condition(type_).await?;
            ensure!(found.status == status && found.reason == reason, "{found:?}");
            Ok(found.message)
        })
        .await
    }

    /// The condition of the set as it is now.
    pub(crate) async fn condition(&self, type_: &str) -> Result<Condition> {
        let set: StoreReplicaSet = self.api().get("set").await?;
        let conditions = set.status.unwrap_or_default().conditions;
        conditions.into_iter().find(|condition| condition.type_ == type_).context("no such condition yet")
    }
}

/// Waits for a condition, and ends the test if it never holds.
pub(crate) async fn until<T>(what: &str, look: impl AsyncFnMut() -> Result<T>) -> T {
    until_within(what, WITHIN, look).await
}

/// The same for what takes its time.
pub(crate) async fn until_within<T>(what: &str, limit: Duration, look: impl AsyncFnMut() -> Result<T>) -> T {
    wait::until(what, limit, look).await.unwrap()
}

/// Waits until the status gives this reason for a follower.
pub(crate) async fn reason_is(world: &World, ordinal: usize, reason: &str) {
    until(&format!("the verdict on {ordinal} to be {reason}"), async || {
        let set: StoreReplicaSet = world.api().get("set").await?;
        let members = set.status.unwrap_or_default().members;
        let member = members.get(ordinal).context("no member yet")?;
        ensure!(member.reason == reason, "{member:?}");
        Ok(())
    })
    .await;
}

pub(crate) fn set(name: &str, spec: Value) -> StoreReplicaSet {
    let set = json!({
        "apiVersion": "tidemark.dev/v1alpha1",
        "kind": "StoreReplicaSet",
        "metadata": { "name": name },
        "spec": spec,
    });
    serde_json::from_value(set).unwrap()
}

pub(crate) fn status_of(name: &str, id: &str, state: Value) -> Value {
    let ready = state.get("running").is_some();
    json!({
        "name": name, "image": "i", "imageID": "i", "containerID": id, "restartCount": 0, "ready": ready,
        "started": ready, "state": state,
    })
}

/// Installs the definition, once for all tests, and waits until the server knows it.
pub(crate) async fn install(client: &Client) -> Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = "storereplicasets.tidemark.dev";
    crds.patch(name, &PatchParams::apply("tests").force(), &Patch::Apply(crd())).await?;
    wait::until("the definition to be established", WITHIN, async || {
        let sets: Api<StoreReplicaSet> = Api::all(client.clone());
        // Some test's sets can be read by nobody.
        sets.list_metadata(&Default::default()).await?;
        Ok(())
    })
    .await
}

/// The pod that the StatefulSet's controller would make.
pub(crate) fn pod_of(statefulset: &StatefulSet, ordinal: u32) -> Pod {
    let StatefulSetSpec { template, volume_claim_templates, .. } = statefulset.spec.clone().unwrap();
    let name = format!("{}-{ordinal}", statefulset.name_any());
    let (mut metadata, mut spec) = (template.metadata.unwrap(), template.spec.unwrap());
    for claim in volume_claim_templates.unwrap_or_default() {
        let source = PersistentVolumeClaimVolumeSource {
            claim_name: format!("{}-{name}", claim.name_any()),
            ..PersistentVolumeClaimVolumeSource::default()
        };
        let volume =
            Volume { name: claim.name_any(), persistent_volume_claim: Some(source), ..Volume::default() };
        spec.volumes.get_or_insert_default().push(volume);
    }
    metadata.name = Some(name);
    metadata.owner_references = Some(vec![kube::Resource::controller_owner_ref(statefulset, &()).unwrap()]);
    Pod { metadata, spec: Some(spec), status: None }
}
