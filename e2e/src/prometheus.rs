//! Debian's Prometheus, which scrapes a cluster as `docs/prometheus.yaml` says, and is asked with promtool.
//!
//! Debian's is built without the discovery of Kubernetes, so the pods are listed for it here, with the labels that it
//! would find them under; what becomes of these is the configuration's to say.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    folder::Folder,
    kept::{self, Kept},
    loopback,
    observability::{self, Dashboard},
    programs, wait,
};

/// What a scrape and an evaluation of the rules take in production is too long for a test.
const EVERY: &str = "1s";
const LIST_EVERY: Duration = Duration::from_millis(500);
const READY_WITHIN: Duration = Duration::from_secs(30);
/// The name of the file in which the pods are listed.
const PODS: &str = "pods.json";

/// A Prometheus that runs; dropping it kills it.
pub struct Prometheus {
    url: String,
    _process: Kept,
    _listing: AbortOnDropHandle<()>,
    folder: Folder,
}

/// A series over time.
#[derive(Clone, Debug, Deserialize)]
pub struct Series {
    /// Its labels.
    pub metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

impl Series {
    /// Its values that are numbers.
    #[must_use]
    pub fn numbers(&self) -> Vec<f64> {
        let numbers = self.values.iter().filter_map(|(_, value)| value.parse().ok());
        numbers.filter(|number: &f64| number.is_finite()).collect()
    }
}

impl Prometheus {
    /// Starts one for a cluster whose pod network is this machine's, on an address of its own.
    ///
    /// # Errors
    /// If it cannot be started or does not answer within half a minute; the message ends with its log.
    pub async fn start(client: &Client) -> Result<Self> {
        let (address, listener) = loopback::listen(0)?;
        let address = SocketAddr::from((address, listener.local_addr()?.port()));
        drop(listener);
        Self::start_at(client, address, None).await
    }

    /// Starts one that listens there; if a set is named, by its namespace and its name, `/consoles/dashboard.html` draws
    /// the dashboard of it.
    ///
    /// # Errors
    /// As above.
    pub async fn start_at(client: &Client, address: SocketAddr, set: Option<(&str, &str)>) -> Result<Self> {
        let folder = Folder::make("tidemark-prometheus-")?;
        let path = |name: &str| folder.path().join(name);
        let configuration = configuration(&path(PODS))?;
        fs::write(path("prometheus.yaml"), configuration.to_string())?;
        fs::create_dir(path("consoles"))?;
        if let Some((namespace, set)) = set {
            fs::write(path("consoles/dashboard.html"), Dashboard::read()?.console(namespace, set)?)?;
        }
        let log = File::create(path("log"))?;
        let mut command = kept::command("prometheus");
        command.arg(format!("--config.file={}", path("prometheus.yaml").display()));
        command.arg(format!("--storage.tsdb.path={}", path("data").display()));
        command.arg(format!("--web.console.templates={}", path("consoles").display()));
        command.arg(format!("--web.listen-address={address}"));
        command.stdout(log.try_clone()?).stderr(log);
        let process = Kept::start(command).context("cannot start prometheus: run e2e/cluster/packages")?;
        let listing = tokio::spawn(keep_listing(client.clone(), path(PODS)));
        let started = Self {
            url: format!("http://{address}"),
            _process: process,
            _listing: AbortOnDropHandle::new(listing),
            folder,
        };
        let ready = wait::until("Prometheus to answer", READY_WITHIN, async || started.range("vector(1)"));
        ready
            .await
            .with_context(|| fs::read_to_string(started.folder.path().join("log")).unwrap_or_default())?;
        Ok(started)
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What a query gives for each second of the last ten minutes.
    ///
    /// # Errors
    /// What it says against the query.
    pub fn range(&self, query: &str) -> Result<Vec<Series>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let mut promtool = Command::new("promtool");
        promtool.args(["query", "range", "--format=json", "--step=1s"]);
        promtool.args([format!("--start={}", now - 600), format!("--end={now}")]);
        let answer = programs::run(promtool.args([&self.url, query]))?;
        serde_json::from_str(&answer).with_context(|| answer.clone())
    }
}

/// The configuration in the docs, with these rules, shorter intervals, and pods that are listed in a file.
fn configuration(pods: &Path) -> Result<Value> {
    let text = fs::read_to_string(programs::checkout().join("docs/prometheus.yaml"))?;
    let mut configuration: Value = serde_saphyr::from_str(&text)?;
    configuration["global"] =
        json!({ "scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY });
    configuration["rule_files"] = json!([observability::rules_file().canonicalize()?]);
    let jobs = configuration["scrape_configs"].as_array_mut().context("no scrape_configs")?;
    for job in jobs.iter_mut().filter_map(Value::as_object_mut) {
        let discovery = job.remove("kubernetes_sd_configs").context("a job without discovery")?;
        anyhow::ensure!(discovery == json!([{ "role": "pod" }]), "pods are all that is listed: {discovery}");
        job.insert("file_sd_configs".to_owned(), json!([{ "files": [pods] }]));
    }
    Ok(configuration)
}

/// Lists the ports of all pods, again and again: they come and go.
async fn keep_listing(client: Client, file: PathBuf) {
    let pods: Api<Pod> = Api::all(client);
    loop {
        // An API server that is away is asked again.
        if let Ok(list) = pods.list(&ListParams::default()).await {
            let targets: Vec<_> = list.items.iter().flat_map(targets).collect();
            let next = file.with_extension("next");
            fs::write(&next, json!(targets).to_string()).expect("a file of our own can be written");
            fs::rename(&next, &file).expect("a file of our own can be renamed");
        }
        tokio::time::sleep(LIST_EVERY).await;
    }
}

/// The ports of a pod, under the labels that Prometheus finds it by.
fn targets(pod: &Pod) -> Vec<Value> {
    let Some(ip) = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()) else { return Vec::new() };
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    let target = |port: &k8s_openapi::api::core::v1::ContainerPort| {
        let mut labels: BTreeMap<String, String> = pod.labels().iter().map(label).collect();
        labels.insert("__meta_kubernetes_namespace".to_owned(), pod.namespace().unwrap_or_default());
        labels.insert("__meta_kubernetes_pod_name".to_owned(), pod.name_any());
        let port_name = port.name.clone().unwrap_or_default();
        labels.insert("__meta_kubernetes_pod_container_port_name".to_owned(), port_name);
        json!({ "targets": [format!("{ip}:{}", port.container_port)], "labels": labels })
    };
    ports.map(target).collect()
}

fn label((name, value): (&String, &String)) -> (String, String) {
    let name = name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
    (format!("__meta_kubernetes_pod_label_{name}"), value.clone())
}
