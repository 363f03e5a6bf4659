//! Whether Kubernetes itself carries a pod's condition to the routes of a Service, which nothing of Tidemark takes part in.
//!
//! An API server or a kubelet that answers again is not yet one that works: its clients come back to it in their own time.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use tokio::net::TcpStream;

use crate::{
    observe::{self, Observer, ReadyPods},
    scene::Scene,
    wait,
};

const NAME: &str = "canary";
const CONDITION: &str = "e2e.tidemark.dev/canary";
const STARTED_WITHIN: Duration = Duration::from_secs(120);
/// Kubernetes' controllers come back to their API server in their own time. client-go waits 0.8 s after a failure, doubled with
/// each one up to 30 s and up to doubled again by chance, and forgets that only after two minutes without one (its
/// `tools/cache/reflector.go`); and a server that just started refuses its own controllers until it has read its roles, which
/// is one failure more. Up to 109 s were seen.
const CARRIED_WITHIN: Duration = Duration::from_mins(5);
const CONNECTED_WITHIN: Duration = Duration::from_secs(1);

pub(super) struct Canary {
    scene: Scene,
    service: String,
    pods: BTreeSet<String>,
    endpoints: Observer<ReadyPods>,
}

impl Canary {
    /// Starts a pod on each node and has its condition carried once.
    pub(super) async fn start(scene: &Scene) -> Result<Self> {
        let nodes: Api<Node> = Api::all(scene.client.clone());
        let nodes = nodes.list(&ListParams::default()).await?.items.len();
        let values = [("NODES", nodes.to_string())];
        let values = values.each_ref().map(|(name, value)| (*name, value.as_str()));
        scene.target.apply(&scene.namespace, &Scene::manifest("canary.yaml", &values)?)?;
        let canary = Self {
            scene: scene.clone(),
            service: scene.service_ip(NAME).await?,
            pods: (0..nodes).map(|n| format!("{NAME}-{n}")).collect(),
            endpoints: observe::endpoints(&scene.client, &scene.namespace, NAME),
        };
        wait::until("the canaries to run", STARTED_WITHIN, async || canary.run().await).await?;
        canary.carried().await?;
        Ok(canary)
    }

    async fn run(&self) -> Result<()> {
        for pod in &self.pods {
            let status = self.scene.pods().get(pod).await?.status.unwrap_or_default();
            ensure!(status.phase.as_deref() == Some("Running"), "{pod} is {:?}", status.phase);
        }
        Ok(())
    }

    /// Waits until a condition written now is seen in the Service's slices, for each node, and in its routes, then takes
    /// it back.
    pub(super) async fn carried(&self) -> Result<()> {
        wait::until("Kubernetes to carry a condition to a Service", CARRIED_WITHIN, async || {
            self.write(true).await?;
            let ready: BTreeSet<_> =
                self.endpoints.seen.last().context("no slice seen")?.into_iter().collect();
            ensure!(ready == self.pods, "{ready:?} are ready");
            let connects =
                tokio::time::timeout(CONNECTED_WITHIN, TcpStream::connect((self.service.as_str(), 80)));
            connects.await?.map(drop).context("the Service routes to none")
        })
        .await?;
        wait::until("the conditions to be taken back", CARRIED_WITHIN, async || self.write(false).await).await
    }

    async fn write(&self, open: bool) -> Result<()> {
        let status = if open { "True" } else { "False" };
        for name in &self.pods {
            let pod = self.scene.pods().get(name).await?;
            if crate::scene::condition(&pod, CONDITION) != Some(open) {
                let patch = json!({"status": {"conditions": [{"type": CONDITION, "status": status}]}});
                self.scene
                    .pods()
                    .patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(patch))
                    .await?;
            }
        }
        Ok(())
    }
}
