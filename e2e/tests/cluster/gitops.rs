//! A GitOps engine, Flux, drives the cluster from a git repository: operator and fleet are what was committed.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::Value;
use tidemark_e2e::{
    gitops::{Engine, Repository},
    observe, programs,
    scene::{Primary, SET, Scene},
    wait,
};

use crate::{
    bad_input::condition,
    takeover::{operators, scale_operator},
};

const SOON: Duration = Duration::from_secs(180);
const AGAIN: u32 = 10;

/// Committed → converged; applied again → unchanged; changed → effective; nonsense → reported with its cause, and the fleet
/// is left alone; deleted → pruned.
pub(crate) async fn from_commit_to_prune(scene: Scene) -> Result<()> {
    // Two operators would serve the namespace otherwise.
    let installed = operators(&scene).await?.max(1);
    scale_operator(&scene, Some(0)).await?;
    let played = played(&scene).await;
    let restored = scale_operator(&scene, Some(installed)).await;
    played.and(restored)
}

async fn played(scene: &Scene) -> Result<()> {
    let repository = repository(scene)?;
    let engine = Engine::start(&scene.target, scene.client.clone(), &scene.namespace, "cluster").await?;
    let played = committed_to_pruned(scene, &engine, &repository).await;
    if played.is_err() {
        eprintln!("Flux said:\n{}", engine.log());
    }
    let given_up = engine.give_up(&scene.target).await;
    played.and(given_up)?;
    let deployments: Api<Deployment> = Api::namespaced(scene.client.clone(), &scene.namespace);
    ensure!(deployments.list(&ListParams::default()).await?.items.is_empty(), "the operator is pruned too");
    Ok(())
}

async fn committed_to_pruned(scene: &Scene, engine: &Engine, repository: &Repository) -> Result<()> {
    scene.start_primary(&Primary::Native { body_size: "1KiB" }, "500ms").await?;
    let revision = engine.publish(repository).await?;
    engine.has_applied(&revision, SOON).await?;
    condition(scene, SET, "Ready", "True").await?;
    scene.in_sync(SOON).await?;
    let endpoints = observe::endpoints(&scene.client, &scene.namespace, SET);

    let before = versions(scene).await?;
    for _ in 0..AGAIN {
        engine.apply_again().await?;
    }
    let after = versions(scene).await?;
    let changed: Vec<_> = after.iter().filter(|(name, now)| before.get(*name) != Some(now)).collect();
    ensure!(
        changed.is_empty() && before.len() == after.len(),
        "applied again, these have changed: {changed:?}"
    );

    let uids = scene.uids().await?;
    change(repository, "maxLagBlocks: 2", "maxLagBlocks: 5")?;
    let revision = engine.publish(repository).await?;
    engine.has_applied(&revision, SOON).await?;
    is_judged_by(scene, 5).await?;

    nonsense_is_reported(scene, engine, repository).await?;
    ensure!(scene.uids().await? == uids, "a pod was replaced");
    let served = endpoints.seen.all();
    let fewest = served.iter().map(|(_, ready)| ready.len()).min();
    ensure!(fewest == Some(3), "the fleet was not left alone: {served:?}");

    change(repository, ", fleet.yaml]", "]")?;
    let revision = engine.publish(repository).await?;
    engine.has_applied(&revision, SOON).await?;
    is_pruned(scene).await
}

async fn nonsense_is_reported(scene: &Scene, engine: &Engine, repository: &Repository) -> Result<()> {
    // What the API server refuses.
    change(repository, "maxLagBlocks: 5", "maxLagBlocks: many")?;
    let revision = engine.publish(repository).await?;
    let why = engine.has_failed(&revision, "ReconciliationFailed", SOON).await?;
    ensure!(why.contains("spec.health.maxLagBlocks"), "the field is not named: {why}");
    repository.revert()?;
    // What the API server cannot know, and the operator refuses.
    let url = format!("http://primary.{}.svc.cluster.local:57291", scene.namespace);
    change(repository, &url, "http://127.0.0.1:57291")?;
    let revision = engine.publish(repository).await?;
    let why = engine.has_failed(&revision, "HealthCheckFailed", SOON).await?;
    let named = format!("StoreReplicaSet/{}/{SET} status: 'Failed'", scene.namespace);
    ensure!(why.contains(&named), "the fleet is not named: {why}");
    let cause = condition(scene, SET, "Stalled", "True").await?;
    ensure!(cause.contains("spec.primary.url http://127.0.0.1:57291"), "the field is not named: {cause}");
    is_judged_by(scene, 5).await?;
    repository.revert()?;
    let revision = engine.publish(repository).await?;
    engine.has_applied(&revision, SOON).await?;
    condition(scene, SET, "Ready", "True").await?;
    scene.in_sync(SOON).await
}

/// Our bases, and in `cluster` an overlay for the story's namespace with a fleet.
fn repository(scene: &Scene) -> Result<Repository> {
    let repository = Repository::init()?;
    let ours = programs::checkout().join("deploy");
    programs::run(std::process::Command::new("cp").arg("-r").arg(ours).arg(repository.folder()))?;
    let image = &scene.target.images.operator;
    let (name, tag) = image.rsplit_once(':').context("the operator's image has no tag")?;
    let overlay = format!(
        "namespace: {}
resources: [../deploy/kustomize/crds, ../deploy/kustomize/namespaced, fleet.yaml]
images: [{{ name: tidemark.local/tidemark-operator, newName: '{name}', newTag: '{tag}' }}]
",
        scene.namespace
    );
    repository.write("cluster/kustomization.yaml", &overlay)?;
    let values = [
        ("NAMESPACE", scene.namespace.as_str()),
        ("IMAGE", &scene.target.images.follower),
        ("FORMAT", "native"),
    ];
    repository.write("cluster/fleet.yaml", &Scene::manifest("fleet.yaml", &values)?)?;
    repository.commit("Begin")?;
    Ok(repository)
}

/// Commits another text of the overlay or its fleet.
fn change(repository: &Repository, from: &str, to: &str) -> Result<()> {
    for file in ["cluster/kustomization.yaml", "cluster/fleet.yaml"] {
        let text = std::fs::read_to_string(repository.folder().join(file))?;
        if text.contains(from) {
            repository.write(file, &text.replace(from, to))?;
            return repository.commit(&format!("Say {to} instead of {from}"));
        }
    }
    anyhow::bail!("no file says {from}")
}

/// All that is applied and all that is made of it, but for statuses: labels, annotations, generations, and who owns which field
/// since when.
async fn versions(scene: &Scene) -> Result<BTreeMap<String, Value>> {
    let mut kubectl = scene.target.kubectl()?;
    let kinds = "storereplicasets,statefulsets,deployments,services,poddisruptionbudgets,networkpolicies,\
                 serviceaccounts,roles,rolebindings";
    kubectl.args(["--namespace", &scene.namespace, "get", kinds, "-o", "json", "--show-managed-fields"]);
    let all: Value = tokio::task::spawn_blocking(move || programs::run(&mut kubectl))
        .await?
        .and_then(|said| Ok(serde_json::from_str(&said)?))?;
    let objects = all["items"].as_array().context("no objects")?;
    ensure!(objects.len() > 9, "only {} objects", objects.len());
    let mut versions: BTreeMap<_, _> =
        scene.uids().await?.into_iter().map(|(pod, uid)| (pod, Value::from(uid))).collect();
    for object in objects {
        let mut metadata = object["metadata"].clone();
        metadata["resourceVersion"] = Value::Null;
        if let Some(entries) = metadata["managedFields"].as_array_mut() {
            entries.retain(|entry| entry["subresource"] != "status");
        }
        versions.insert(format!("{} {}", object["kind"], metadata["name"]), metadata);
    }
    Ok(versions)
}

/// Waits until the operator judges every member of the fleet by this lag.
async fn is_judged_by(scene: &Scene, lag: u64) -> Result<()> {
    wait::until(&format!("the fleet to be judged by a lag of {lag}"), SOON, async || {
        for pod in operator_pods(scene).await? {
            let path = format!(
                "/api/v1/namespaces/{0}/pods/{pod}:8080/proxy/fleets?namespace={0}&name={SET}",
                scene.namespace
            );
            let view = scene.client.request_text(http::Request::get(path).body(Vec::new())?).await?;
            let view: Value = serde_json::from_str(&view)?;
            let members = view["fleets"][0]["members"].as_array().context("no members")?;
            ensure!(!members.is_empty(), "no members");
            ensure!(members.iter().all(|member| member["threshold"] == lag), "{view}");
        }
        Ok(())
    })
    .await
}

async fn operator_pods(scene: &Scene) -> Result<Vec<String>> {
    let ours = ListParams::default().labels("app.kubernetes.io/name=tidemark-operator");
    let pods: Vec<Pod> = scene.pods().list(&ours).await?.items;
    ensure!(!pods.is_empty(), "no operator runs in the namespace");
    Ok(pods.iter().map(ResourceExt::name_any).collect())
}

async fn is_pruned(scene: &Scene) -> Result<()> {
    wait::until("the fleet and its pods to be gone", SOON, async || {
        ensure!(scene.fleet().await.is_err(), "the set is still there");
        let left = scene.followers().await?;
        ensure!(left.is_empty(), "{left:?} are still there");
        Ok(())
    })
    .await
}
