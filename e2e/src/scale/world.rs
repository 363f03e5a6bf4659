//! An API server, a crowd of stores, kubelets and an operator in a process of its own, and how sets come into it.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::Value;

use super::{
    audit::Audit,
    kubelet::Kubelets,
    layout::Place,
    objects,
    programs::{CrowdProcess, Operator, operator_binary},
};
use crate::{apiserver::ApiServer, folder::Folder, programs::checkout, wait};

const CONCURRENT: usize = 16;
const WITHIN: Duration = Duration::from_secs(900);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many followers there are, and the pace of their chains.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) sets: u32,
    /// Followers of each set.
    pub(super) followers: u32,
    /// From one block to the next.
    pub(super) blocks: Duration,
}

impl Size {
    pub(super) fn followers(self) -> usize {
        self.sets as usize * self.followers as usize
    }
}

/// Everything that is measured, or needed for it.
pub(super) struct World {
    pub(super) size: Size,
    pub(super) client: Client,
    pub(super) crowd: CrowdProcess,
    pub(super) operator: Option<Operator>,
    pub(super) audit: Audit,
    pub(super) kubelets: Kubelets,
    server: ApiServer,
    folder: Folder,
}

impl World {
    /// An operator with nothing to do.
    pub(super) async fn start(size: Size) -> Result<Self> {
        let server = tokio::task::spawn_blocking(|| ApiServer::start_aside(&[])).await??;
        let client = server.client()?;
        install(&client).await?;
        let world = Self {
            size,
            crowd: CrowdProcess::start(size.sets, size.followers, size.blocks).await?,
            operator: None,
            audit: Audit::of(server.audit_log()),
            kubelets: Kubelets::start(client.clone()),
            client,
            server,
            folder: Folder::make("tidemark-scale-")?,
        };
        objects::make_namespaces(&world.client, size.sets).await?;
        Ok(world)
    }

    /// The operator's log.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.path().join("operator.log")
    }

    /// Starts an operator, in place of the one that runs.
    pub(super) async fn start_operator(&mut self) -> Result<&Operator> {
        if let Some(before) = self.operator.take() {
            before.stop().await?;
        }
        let kubeconfig = self.server.operator_kubeconfig();
        Ok(self.operator.insert(Operator::start(&operator_binary()?, &kubeconfig, &self.log())?))
    }

    pub(super) fn operator(&self) -> Result<&Operator> {
        self.operator.as_ref().ok_or_else(|| anyhow::anyhow!("no operator runs"))
    }

    /// Makes all sets with their pods, and waits until all are in and Ready; returns how long that took.
    pub(super) async fn populate(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        let (client, size) = (self.client.clone(), self.size);
        let sets = stream::iter(0..size.sets).map(|set| objects::make_set(&client, set, size.followers));
        sets.buffer_unordered(CONCURRENT).try_collect::<()>().await?;
        eprintln!("{} sets are made", size.sets);
        let pods = stream::iter(0..size.sets).map(|set| make_pods(&client, set, size.followers));
        let made: Vec<_> = pods.buffer_unordered(CONCURRENT).try_concat().await?;
        for made in &made {
            self.crowd.name(made.place, made.uid.clone()).await?;
        }
        let runs = stream::iter(made).map(|made| objects::run_pod(&client, made));
        runs.buffer_unordered(CONCURRENT).try_collect::<()>().await?;
        eprintln!("{} pods run", size.followers());
        wait::until("all pods to be Ready", WITHIN, async || {
            let ready = self.kubelets.ready();
            ensure!(ready == size.followers(), "{ready} are");
            Ok(())
        })
        .await?;
        self.all_in().await?;
        Ok(begun.elapsed())
    }

    /// Waits until the operator has let everybody in.
    pub(super) async fn all_in(&self) -> Result<()> {
        wait::until("all followers to be in", WITHIN, async || {
            // To show all of them costs the operator something, which is not to be measured.
            tokio::time::sleep(LOOK_EVERY).await;
            let serving = self.operator()?.serving().await?;
            ensure!(serving == self.size.followers(), "{serving} are");
            Ok(())
        })
        .await
    }
}

async fn make_pods(client: &Client, set: u32, followers: u32) -> Result<Vec<objects::Made>> {
    let owner =
        wait::until("a StatefulSet", WITHIN, async || objects::statefulset(client, set).await).await?;
    let mut made = Vec::new();
    for ordinal in 0..followers {
        made.push(objects::make_pod(client, &owner, Place::follower(set, ordinal)).await?);
    }
    objects::finish_set(client, &owner, followers).await?;
    Ok(made)
}

async fn install(client: &Client) -> Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let text = std::fs::read_to_string(checkout().join("crds/storereplicasets.yaml"))?;
    let crd: Value = serde_saphyr::from_str(&text)?;
    let name = "storereplicasets.tidemark.dev";
    crds.patch(name, &PatchParams::apply("bench").force(), &Patch::Apply(&crd)).await?;
    wait::until("the definition to be established", Duration::from_secs(30), async || {
        let kind = kube::core::GroupVersionKind::gvk("tidemark.dev", "v1alpha1", "StoreReplicaSet");
        let sets: Api<kube::core::DynamicObject> =
            Api::all_with(client.clone(), &kube::core::ApiResource::from_gvk(&kind));
        sets.list(&ListParams::default()).await?;
        Ok(())
    })
    .await
}
