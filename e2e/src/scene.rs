//! What every story plays on: a namespace with a primary and a fleet that follows it.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::Value;

use crate::{chain, programs, target::Target, wait};

/// The name of the fleet, and so of its read Service.
pub const SET: &str = "replicas";

const STARTED_WITHIN: Duration = Duration::from_secs(120);

/// What the primary does.
#[derive(Clone, Debug)]
pub enum Primary {
    /// Replays the recorded real chain.
    Replay,
    /// Makes a chain of its own with blocks of this size.
    Native {
        /// As the flag `--body-size` takes it.
        body_size: &'static str,
    },
}

impl Primary {
    fn format(&self) -> &'static str {
        match self {
            Self::Replay => "miden",
            Self::Native { .. } => "native",
        }
    }

    fn args(&self, interval: &str) -> Vec<String> {
        let common =
            ["produce", "--data-dir=/data", "--listen=0.0.0.0:57291", "--admin-listen=0.0.0.0:57292"];
        let mut args: Vec<String> = common.map(str::to_owned).to_vec();
        args.extend([format!("--block-interval={interval}"), "--proof-delay=1s".to_owned()]);
        args.push(match self {
            Self::Replay => "--replay=/chain/chain.bin".to_owned(),
            Self::Native { body_size } => format!("--body-size={body_size}"),
        });
        args
    }
}

/// A namespace of a cluster with a primary and a fleet in it.
#[derive(Clone)]
pub struct Scene {
    /// The cluster.
    pub target: Target,
    /// Its client.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
}

impl Scene {
    /// Makes the namespace; what an earlier run of the same name left is removed first.
    ///
    /// # Errors
    /// If the cluster refuses, or the old namespace does not go away within two minutes.
    pub async fn set(target: &Target, namespace: &str) -> Result<Self> {
        let client = target.client().await?;
        let scene = Self { target: target.clone(), client, namespace: namespace.to_owned() };
        scene.strike().await?;
        let labels = serde_json::json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let body = serde_json::json!({"metadata": {"name": namespace, "labels": labels}});
        let namespaces: Api<Namespace> = Api::all(scene.client.clone());
        namespaces.create(&Default::default(), &serde_json::from_value(body)?).await?;
        Ok(scene)
    }

    /// Begins to remove the namespace with all that is in it.
    ///
    /// # Errors
    /// If the cluster refuses.
    pub async fn dismiss(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = namespaces.get_opt(&self.namespace).await?;
        if found.is_some_and(|found| found.metadata.deletion_timestamp.is_none()) {
            namespaces.delete(&self.namespace, &DeleteParams::default()).await?;
        }
        Ok(())
    }

    /// Removes the namespace and waits until it is gone.
    ///
    /// # Errors
    /// If it is still there after two minutes.
    pub async fn strike(&self) -> Result<()> {
        self.dismiss().await?;
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        wait::until("the namespace to be gone", STARTED_WITHIN, async || {
            let left = namespaces.get_opt(&self.namespace).await?;
            ensure!(left.is_none(), "{} is still being deleted", self.namespace);
            Ok(())
        })
        .await
    }

    /// Starts the primary and waits until it serves.
    ///
    /// # Errors
    /// If it is not ready within two minutes.
    pub async fn start_primary(&self, primary: &Primary, interval: &str) -> Result<()> {
        if matches!(primary, Primary::Replay) {
            self.upload_chain()?;
        }
        self.apply_primary(primary.args(interval)).await
    }

    /// Starts the primary again, whose volume was erased, and waits until it serves what it copied from the fleet.
    ///
    /// # Errors
    /// If it is not ready within two minutes.
    pub async fn restore_primary(&self, primary: &Primary, interval: &str) -> Result<()> {
        let fleet = format!("--restore-from=http://{SET}-peers.{}.svc.cluster.local:57291", self.namespace);
        self.apply_primary([primary.args(interval), vec![fleet]].concat()).await
    }

    async fn apply_primary(&self, args: Vec<String>) -> Result<()> {
        let args = serde_json::to_string(&args)?;
        let values = [("IMAGE", self.target.images.follower.as_str()), ("ARGS", &args)];
        self.target.apply(&self.namespace, &Self::manifest("primary.yaml", &values)?)?;
        wait::until("the primary to be ready", STARTED_WITHIN, async || self.ready_pod("primary-0").await)
            .await?;
        Ok(())
    }

    /// Takes the primary down and erases its volume.
    ///
    /// # Errors
    /// If pod and claim are not gone within two minutes.
    pub async fn erase_primary(&self) -> Result<()> {
        let kubectl = |args: &[&str]| {
            let namespace = ["--namespace", self.namespace.as_str()];
            programs::run(self.target.kubectl()?.args([&namespace[..], args].concat()))
        };
        kubectl(&["scale", "statefulset", "primary", "--replicas", "0"])?;
        wait::until("the primary's pod to be gone", STARTED_WITHIN, async || {
            let left = self.pods().get_opt("primary-0").await?;
            ensure!(left.is_none(), "it is still there");
            Ok(())
        })
        .await?;
        kubectl(&["delete", "persistentvolumeclaim", "data-primary-0", "--timeout", "120s"])?;
        Ok(())
    }

    /// The recorded chain as a ConfigMap; too large for the annotation of a client-side apply.
    fn upload_chain(&self) -> Result<()> {
        let file = format!("--from-file=chain.bin={}", chain::path().display());
        let create = ["--namespace", &self.namespace, "create", "configmap", "recorded-chain", &file];
        programs::run(self.target.kubectl()?.args(create))?;
        Ok(())
    }

    /// Applies the fleet, without waiting.
    ///
    /// # Errors
    /// What the API server says against it.
    pub fn apply_fleet(&self, primary: &Primary) -> Result<()> {
        self.apply_fleet_with(primary, &Value::Null)
    }

    /// Applies the fleet changed by a JSON merge patch, without waiting.
    ///
    /// # Errors
    /// What the API server says against it.
    pub fn apply_fleet_with(&self, primary: &Primary, patch: &Value) -> Result<()> {
        self.target.apply(&self.namespace, &self.fleet_to_be(primary, patch)?.to_string())
    }

    /// Installs the fleet, changed by a JSON merge patch, as a release of `charts/store-replica-set`, without waiting.
    ///
    /// # Errors
    /// What Helm or the API server say against it.
    pub fn install_fleet_with(&self, primary: &Primary, patch: &Value) -> Result<()> {
        let values = tempfile::NamedTempFile::new()?;
        let spec = &self.fleet_to_be(primary, patch)?["spec"];
        std::fs::write(values.path(), serde_json::json!({ "spec": spec }).to_string())?;
        let mut helm = self.target.helm()?;
        helm.args(["upgrade", "--install", SET, "--namespace", &self.namespace]);
        helm.arg(programs::checkout().join("charts/store-replica-set")).arg("--values").arg(values.path());
        programs::run(&mut helm)?;
        Ok(())
    }

    fn fleet_to_be(&self, primary: &Primary, patch: &Value) -> Result<Value> {
        let image = &self.target.images.follower;
        let values = [("NAMESPACE", self.namespace.as_str()), ("IMAGE", image), ("FORMAT", primary.format())];
        let mut fleet: Value = serde_saphyr::from_str(&Self::manifest("fleet.yaml", &values)?)?;
        merge(&mut fleet, patch);
        Ok(fleet)
    }

    /// The text of a manifest of ours with its placeholders filled.
    ///
    /// # Errors
    /// If it cannot be read, or has a placeholder that nothing fills.
    pub fn manifest(manifest: &str, values: &[(&str, &str)]) -> Result<String> {
        let file = programs::checkout().join("e2e/manifests").join(manifest);
        let mut text =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        for (name, value) in values {
            text = text.replace(&format!("${{{name}}}"), value);
        }
        ensure!(!text.contains("${"), "{manifest} has a placeholder that nothing fills");
        Ok(text)
    }

    /// Waits until the fleet has its endpoints and every replica is in sync.
    ///
    /// # Errors
    /// If that is not so within `limit`; the message ends with the fleet's status.
    pub async fn in_sync(&self, limit: Duration) -> Result<()> {
        wait::until("every replica to be in sync", limit, async || {
            let fleet = self.fleet().await?;
            let wanted = fleet["spec"]["replicas"].as_u64();
            let status = &fleet["status"];
            ensure!(status["inSyncReplicas"].as_u64() == wanted, "status is {status}");
            ensure!(status["readyReplicas"].as_u64() == wanted, "status is {status}");
            Ok(())
        })
        .await
    }

    /// The fleet as the API server shows it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn fleet(&self) -> Result<Value> {
        self.fleet_named(SET).await
    }

    /// A fleet of any name, as the API server shows it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn fleet_named(&self, name: &str) -> Result<Value> {
        Ok(serde_json::to_value(self.fleets().get(name).await?)?)
    }

    /// Changes the fleet with a JSON merge patch.
    ///
    /// # Errors
    /// What the API server says against it.
    pub async fn patch_fleet(&self, patch: Value) -> Result<()> {
        self.fleets().patch(SET, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    fn fleets(&self) -> Api<DynamicObject> {
        let resource = ApiResource {
            group: "tidemark.dev".to_owned(),
            version: "v1alpha1".to_owned(),
            api_version: "tidemark.dev/v1alpha1".to_owned(),
            kind: "StoreReplicaSet".to_owned(),
            plural: "storereplicasets".to_owned(),
        };
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// The pods of the namespace.
    #[must_use]
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The fleet's pods: their names and addresses.
    ///
    /// # Errors
    /// If they cannot be listed or one has no address yet.
    pub async fn followers(&self) -> Result<BTreeMap<String, String>> {
        let selector = format!("app.kubernetes.io/instance={SET}");
        let pods = self.pods().list(&ListParams::default().labels(&selector)).await?;
        let address = |pod: &Pod| {
            let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
            Ok((pod.name_any(), ip.with_context(|| format!("pod {} has no address yet", pod.name_any()))?))
        };
        pods.iter().map(address).collect()
    }

    /// The UIDs of the fleet's pods, by name.
    ///
    /// # Errors
    /// If they cannot be listed or one has no address yet.
    pub async fn uids(&self) -> Result<BTreeMap<String, Option<String>>> {
        let mut uids = BTreeMap::new();
        for name in self.followers().await?.into_keys() {
            let uid = self.pods().get(&name).await?.uid();
            uids.insert(name, uid);
        }
        Ok(uids)
    }

    /// The addresses under which the primary is reached: its pod's and its Service's.
    ///
    /// # Errors
    /// If either is not there.
    pub async fn primary_addresses(&self) -> Result<[String; 2]> {
        let pod = self.ready_pod("primary-0").await?;
        let pod_ip = pod.status.and_then(|status| status.pod_ip).context("the primary has no address")?;
        Ok([pod_ip, self.service_ip("primary").await?])
    }

    /// The cluster address of a Service.
    ///
    /// # Errors
    /// If it has none.
    pub async fn service_ip(&self, name: &str) -> Result<String> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), &self.namespace);
        let spec = services.get(name).await?.spec.unwrap_or_default();
        spec.cluster_ip.with_context(|| format!("Service {name} has no cluster address"))
    }

    async fn ready_pod(&self, name: &str) -> Result<Pod> {
        let pod = self.pods().get(name).await?;
        ensure!(condition(&pod, "Ready") == Some(true), "pod {name} is not ready: {:?}", pod.status);
        Ok(pod)
    }
}

/// Whether a condition of a pod is True; none if the pod does not have it.
#[must_use]
pub fn condition(pod: &Pod, kind: &str) -> Option<bool> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    Some(conditions.iter().find(|c| c.type_ == kind)?.status == "True")
}

/// Applies a JSON merge patch (RFC 7396) to an object.
fn merge(onto: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else { return };
    if !onto.is_object() {
        *onto = Value::Object(serde_json::Map::new());
    }
    for (name, value) in members {
        match value {
            Value::Object(_) => merge(&mut onto[name.as_str()], value),
            Value::Null => drop(onto.as_object_mut().and_then(|onto| onto.remove(name))),
            _ => onto[name.as_str()] = value.clone(),
        }
    }
}
