//! A fleet leaves Tidemark by the commands of docs/operations.md, and serves all the way.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Api;
use tidemark_e2e::{
    observe, programs,
    scene::{Primary, SET, Scene},
    wait,
};

const SOON: Duration = Duration::from_secs(120);
const PAGE: &str = include_str!("../../../docs/operations.md");

/// The blocks of commands under the heading.
fn commands() -> Result<Vec<&'static str>> {
    let (_, section) =
        PAGE.split_once("\n## Leaving Tidemark\n").context("the heading is not on the page")?;
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    Ok(section.split("```sh\n").skip(1).filter_map(|block| Some(block.split_once("```")?.0)).collect())
}

/// Runs a block as somebody whose context names the story's namespace.
fn run(scene: &Scene, block: &str) -> Result<String> {
    let mut kubectl = scene.target.kubectl()?;
    kubectl.args(["config", "view", "--raw", "--flatten", "--minify"]);
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("config");
    std::fs::write(&config, programs::run(&mut kubectl)?)?;
    programs::run(
        scene
            .target
            .kubectl()?
            .args(["config", "set-context", "--current", "--namespace", &scene.namespace])
            .args(["--kubeconfig", &config.display().to_string()]),
    )?;
    let path = format!("{}:{}", programs::folder()?.display(), std::env::var("PATH")?);
    let mut shell = Command::new("sh");
    shell.args(["-euc", block]).env("PATH", path).env("KUBECONFIG", &config).env("SET", SET);
    if scene.target.node_access {
        shell.env("NO_PROXY", "198.18.0.0/15").env("no_proxy", "198.18.0.0/15");
    }
    programs::run(&mut shell)
}

/// The set is given up, its pods are replaced by such as know no gate, and the Service keeps its endpoints.
pub(crate) async fn serving_all_the_way(scene: Scene) -> Result<()> {
    let primary = Primary::Native { body_size: "1KiB" };
    scene.start_primary(&primary, "500ms").await?;
    scene.apply_fleet(&primary)?;
    scene.in_sync(SOON).await?;
    let endpoints = observe::endpoints(&scene.client, &scene.namespace, SET);
    for block in commands()? {
        let (scene, block) = (scene.clone(), block.to_owned());
        tokio::task::spawn_blocking(move || run(&scene, &block)).await??;
    }
    let statefulsets: Api<StatefulSet> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let spec = statefulsets.get(SET).await?.spec.context("no spec")?;
    let gates = spec.template.spec.and_then(|spec| spec.readiness_gates).unwrap_or_default();
    ensure!(gates.is_empty(), "the template still has gates: {gates:?}");
    for name in scene.followers().await?.into_keys() {
        let pod = scene.pods().get(&name).await?;
        let gates = pod.spec.and_then(|spec| spec.readiness_gates).unwrap_or_default();
        ensure!(gates.is_empty(), "{name} still has gates: {gates:?}");
    }
    wait::until("all endpoints", SOON, async || {
        let ready = endpoints.seen.last().unwrap_or_default();
        ensure!(ready.len() == 3, "{ready:?}");
        Ok(())
    })
    .await?;
    let seen = endpoints.seen.all();
    ensure!(seen.iter().all(|(_, ready)| ready.len() >= 2), "at most one was away at a time: {seen:?}");
    Ok(())
}
