//! Everything that Helm does with the operator's release, and a fleet that serves meanwhile.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use tidemark_e2e::{
    install,
    observe::{self, Observer, ReadyPods},
    operators, programs,
    scene::{Primary, SET, Scene},
    wait,
};
use tidemark_operator::api::StoreReplicaSet;

const SOON: Duration = Duration::from_secs(180);
const MAX_LAG: u32 = 2;
/// Below this no change of the operator may take the endpoints.
const FLOOR: usize = 2;
/// The release's chart as it was published before this one.
const PREVIOUS: &str = "e2e/data/tidemark-0.1.0.tgz";

/// Helm waits for what it does, on a thread that may.
async fn helm(scene: &Scene, command: &'static str, args: &[&str]) -> Result<String> {
    let (target, args) = (scene.target.clone(), args.iter().map(ToString::to_string).collect::<Vec<_>>());
    let run = move || install::helm(&target, command, &args.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await?
}

async fn install(scene: &Scene, chart: &'static str) -> Result<()> {
    let target = scene.target.clone();
    tokio::task::spawn_blocking(move || install::operator_of(&target, &programs::checkout().join(chart)))
        .await?
}

/// Installed by the chart before this one, upgraded, checked, rolled back, upgraded again, refused to be uninstalled,
/// restored, uninstalled by force in both ways, installed anew, and uninstalled once the fleet is gone.
pub(crate) async fn all_that_it_does(scene: Scene) -> Result<()> {
    no_fleets(&scene.client).await?;
    helm(&scene, "uninstall", &["--wait"]).await.context("nothing stands against it without fleets")?;
    let played = changed(&scene).await;
    // The next story needs an operator, however this one ended.
    helm(&scene, "uninstall", &["--no-hooks", "--wait", "--ignore-not-found"]).await?;
    install(&scene, "charts/tidemark").await?;
    played
}

/// The namespaces of the stories before may still be going.
async fn no_fleets(client: &Client) -> Result<()> {
    let fleets: Api<StoreReplicaSet> = Api::all(client.clone());
    wait::until("no fleet to be left", SOON, async || {
        let left: Vec<_> = fleets.list_metadata(&Default::default()).await?.items;
        let left: Vec<_> = left.iter().map(|fleet| fleet.namespace().unwrap_or_default()).collect();
        ensure!(left.is_empty(), "there are fleets in {left:?}");
        Ok(())
    })
    .await
}

async fn changed(scene: &Scene) -> Result<()> {
    install(scene, PREVIOUS).await?;
    let primary = Primary::Native { body_size: "1KiB" };
    scene.start_primary(&primary, "500ms").await?;
    scene.install_fleet_with(&primary, &json!({ "spec": { "health": { "minServing": FLOOR } } }))?;
    scene.in_sync(SOON).await?;
    let watched = Watched::begin(scene).await?;

    install(scene, "charts/tidemark").await?;
    watched.serves(scene, "an upgrade").await?;
    helm(scene, "test", &["--timeout", "120s"]).await.context("the upgraded operator fails its check")?;
    helm(scene, "rollback", &["1", "--wait", "--timeout", "120s"]).await?;
    watched.serves(scene, "a rollback").await?;
    install(scene, "charts/tidemark").await?;
    watched.serves(scene, "another upgrade").await?;

    let refusal = helm(scene, "uninstall", &["--wait"]).await.expect_err("a fleet depends on it").to_string();
    let fleet = format!("{}/{SET}", scene.namespace);
    ensure!(refusal.contains("BackoffLimitExceeded") || refusal.contains("PodFailurePolicy"), "{refusal}");
    ensure!(refusal.contains(&fleet), "the fleet that stands against it is named: {refusal}");
    ensure!(!operators::all(&scene.client).await?.is_empty(), "the operator was uninstalled all the same");
    // As the refusal says.
    helm(scene, "rollback", &["4", "--wait", "--timeout", "120s"]).await?;
    watched.serves(scene, "an uninstalling that was refused").await?;

    helm(scene, "uninstall", &["--no-hooks", "--wait"]).await?;
    gone(scene).await?;
    watched.serves_on().await?;
    install(scene, "charts/tidemark").await?;
    watched.serves(scene, "an operator that came back").await?;

    // As docs/install.md changes one value of a release, and keeps all others.
    let chart = programs::checkout().join("charts/tidemark");
    let chart = chart.to_str().context("the checkout's path is no text")?;
    let force = ["--reset-then-reuse-values", "--set", "uninstall.force=true", "--wait", "--timeout", "120s"];
    helm(scene, "upgrade", &[&[chart], &force[..]].concat()).await?;
    watched.serves(scene, "a value that was changed").await?;
    helm(scene, "uninstall", &["--wait"]).await.context("uninstalling is forced")?;
    gone(scene).await?;
    watched.serves_on().await?;
    install(scene, "charts/tidemark").await?;
    watched.serves(scene, "an operator that came back again").await?;

    watched.ends()?;
    let mut fleet = scene.target.helm()?;
    fleet.args(["uninstall", SET, "--namespace", &scene.namespace]);
    programs::run(&mut fleet)?;
    no_fleets(&scene.client).await?;
    helm(scene, "uninstall", &["--wait"]).await.context("the fleet is gone")?;
    Ok(())
}

async fn gone(scene: &Scene) -> Result<()> {
    wait::until("the operator to be gone", SOON, async || {
        let left = operators::all(&scene.client).await?.len();
        ensure!(left == 0, "{left} are there");
        Ok(())
    })
    .await
}

/// What must not change.
struct Watched {
    pods: BTreeMap<String, Option<String>>,
    endpoints: Observer<ReadyPods>,
    primary: Observer<u32>,
    reads: Observer<observe::Read>,
}

impl Watched {
    async fn begin(scene: &Scene) -> Result<Self> {
        let primary = observe::tips(&scene.primary_addresses().await?[0], Duration::from_millis(50));
        let address = scene.service_ip(SET).await?;
        Ok(Self {
            pods: scene.uids().await?,
            endpoints: observe::endpoints(&scene.client, &scene.namespace, SET),
            reads: observe::reads(&address, Duration::from_millis(100), &primary.seen),
            primary,
        })
    }

    /// The same pods are all in, as one that leads now has it.
    async fn serves(&self, scene: &Scene, after: &str) -> Result<()> {
        let leads = wait::until("somebody to lead", SOON, async || operators::leader(&scene.client).await);
        leads.await.with_context(|| format!("after {after}"))?;
        scene.in_sync(SOON).await.with_context(|| format!("after {after}"))?;
        self.serves_on().await.with_context(|| format!("after {after}"))?;
        ensure!(scene.uids().await? == self.pods, "{after} replaced pods");
        Ok(())
    }

    /// The chain grows, and readers of the Service get what is new.
    async fn serves_on(&self) -> Result<()> {
        let now = self.primary.seen.last().context("the primary was not seen")?;
        wait::until("readers to get a block that is not there yet", SOON, async || {
            let read = self.reads.seen.last().context("no read yet")?;
            let tip = read.answer.clone().map_err(anyhow::Error::msg)?;
            ensure!(tip >= now + 5 && read.lag() <= Some(MAX_LAG), "{tip} of {now}, {:?} behind", read.lag());
            Ok(())
        })
        .await
    }

    /// From the first moment to the last.
    fn ends(&self) -> Result<()> {
        let served = self.endpoints.seen.all();
        let fewest = served.iter().map(|(_, ready)| ready.len()).min().context("no endpoint was seen")?;
        ensure!(fewest >= FLOOR, "fewer than {FLOOR} were served: {served:?}");
        let failed = self.reads.seen.all().into_iter().filter(|(_, read)| read.answer.is_err()).count();
        ensure!(failed == 0, "{failed} reads got no answer");
        Ok(())
    }
}
