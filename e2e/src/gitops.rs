//! A real GitOps engine, Flux's kustomize-controller, and a stand-in for what brings it a repository.
//!
//! The stand-in does what Flux's source-controller does for it and nothing more: it packs a commit of a real git
//! repository, serves the archive, and names it in the status of a `GitRepository`. All else is Flux itself.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use axum::{Router, routing::get};
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    apiserver::free_port,
    kept::{self, Kept},
    programs,
    target::Target,
    wait,
};

/// The name of everything of Flux that is made here.
const NAME: &str = "fleet";
const READY_WITHIN: Duration = Duration::from_secs(60);
const MANAGER: &str = "source-stand-in";

/// A git repository with one branch.
pub struct Repository(TempDir);

impl Repository {
    /// An empty one.
    ///
    /// # Errors
    /// If git does not make it.
    pub fn init() -> Result<Self> {
        let repository = Self(tempfile::tempdir()?);
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        Ok(repository)
    }

    /// The folder of its work tree.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file of the work tree.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.folder().join(file);
        fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        Ok(fs::write(path, text)?)
    }

    /// Commits the work tree as it is.
    ///
    /// # Errors
    /// If nothing has changed, or git fails.
    pub fn commit(&self, message: &str) -> Result<()> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", message])?;
        Ok(())
    }

    /// Undoes the last commit by another one.
    ///
    /// # Errors
    /// If git fails.
    pub fn revert(&self) -> Result<()> {
        self.git(&["revert", "--no-edit", "HEAD"])?;
        Ok(())
    }

    fn git(&self, args: &[&str]) -> Result<String> {
        let mut git = Command::new("git");
        git.current_dir(self.folder()).args(["-c", "user.name=tests", "-c", "user.email=tests@localhost"]);
        // Neither the configuration of whoever runs the tests nor a repository around them counts.
        git.env_remove("GIT_DIR").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        programs::run(git.args(args))
    }
}

/// A kustomize-controller that applies what a repository holds, and its source.
pub struct Engine {
    client: Client,
    namespace: String,
    archives: TempDir,
    address: String,
    serving: JoinHandle<()>,
    log: PathBuf,
    _controller: Kept,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Engine {
    /// Starts it beside a cluster, as its administrator; its objects are in this namespace. It applies the folder `path`
    /// of what is [published](Self::publish), prunes, and waits until all is healthy.
    ///
    /// # Errors
    /// If Flux cannot be built or does not start.
    pub async fn start(target: &Target, client: Client, namespace: &str, path: &str) -> Result<Self> {
        let bin = tokio::task::spawn_blocking(|| programs::module("flux")).await??;
        let definitions = bin.join("definitions");
        programs::run(target.kubectl()?.args(["apply", "--server-side", "-f"]).arg(&definitions))?;
        let established = ["wait", "--for=condition=Established", "--timeout=60s", "-f"];
        programs::run(target.kubectl()?.args(established).arg(&definitions))?;
        let archives = tempfile::tempdir()?;
        let log = archives.path().join("log");
        let controller = start_controller(&bin, target, namespace, &log)?;
        let (address, serving) = serve(archives.path()).await?;
        let namespace = namespace.to_owned();
        let engine = Self { client, namespace, archives, address, serving, log, _controller: controller };
        engine.make(path).await?;
        Ok(engine)
    }

    async fn make(&self, path: &str) -> Result<()> {
        let from = json!({ "interval": "1h", "url": "http://stand-in.invalid" });
        self.apply(&source(), &from).await?;
        let how = json!({
            "interval": "1h", "retryInterval": "5s", "timeout": "2m",
            "path": path, "prune": true, "wait": true,
            "sourceRef": { "kind": "GitRepository", "name": NAME },
        });
        self.apply(&kustomization(), &how).await
    }

    async fn apply(&self, kind: &ApiResource, spec: &Value) -> Result<()> {
        let body = json!({
            "apiVersion": kind.api_version, "kind": kind.kind, "metadata": { "name": NAME }, "spec": spec,
        });
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, kind);
        api.patch(NAME, &PatchParams::apply(MANAGER), &Patch::Apply(&body)).await?;
        Ok(())
    }

    /// Brings Flux the last commit and returns its revision.
    ///
    /// # Errors
    /// If git or the API server fail.
    pub async fn publish(&self, repository: &Repository) -> Result<String> {
        let commit = repository.git(&["rev-parse", "HEAD"])?.trim().to_owned();
        let file = format!("{commit}.tar.gz");
        let archive = self.archives.path().join(&file);
        // The tree, not the commit, whose number would be in the archive as a file.
        repository.git(&[
            "archive",
            "--format=tar.gz",
            "--output",
            &archive.to_string_lossy(),
            "HEAD^{tree}",
        ])?;
        let digest = format!("blake3:{}", blake3::hash(&fs::read(&archive)?));
        let revision = format!("main@sha1:{commit}");
        let sources = self.sources();
        let generation = sources.get(NAME).await?.metadata.generation;
        let now = Timestamp::now().to_string();
        let ready = json!({
            "type": "Ready", "status": "True", "reason": "Succeeded", "message": format!("stored {revision}"),
            "lastTransitionTime": now, "observedGeneration": generation,
        });
        let artifact = json!({
            "path": file, "url": format!("{}/{file}", self.address), "revision": revision, "digest": digest,
            "lastUpdateTime": now,
        });
        let status = json!({ "observedGeneration": generation, "artifact": artifact, "conditions": [ready] });
        let patch = Patch::Merge(json!({ "status": status }));
        sources.patch_status(NAME, &PatchParams::default(), &patch).await?;
        Ok(revision)
    }

    /// Waits until Flux has applied this revision and found all of it healthy.
    ///
    /// # Errors
    /// If that is not so within `limit`; the message ends with what Flux says.
    pub async fn has_applied(&self, revision: &str, limit: Duration) -> Result<()> {
        wait::until(&format!("Flux to have applied {revision}"), limit, async || {
            let status = self.status().await?;
            let ready = condition(&status, "Ready")?;
            let applied = status["lastAppliedRevision"] == revision && ready["status"] == "True";
            ensure!(applied && ready["observedGeneration"] == status["observedGeneration"], "{status}");
            Ok(())
        })
        .await
    }

    /// Waits until Flux says that this revision has failed, for this reason, and returns its words.
    ///
    /// # Errors
    /// If that is not so within `limit`; the message ends with what Flux says.
    pub async fn has_failed(&self, revision: &str, reason: &str, limit: Duration) -> Result<String> {
        wait::until(&format!("Flux to report that {revision} failed"), limit, async || {
            let status = self.status().await?;
            let ready = condition(&status, "Ready")?;
            let failed = status["lastAttemptedRevision"] == revision && ready["status"] == "False";
            ensure!(failed && ready["reason"] == reason, "{status}");
            Ok(ready["message"].as_str().unwrap_or_default().to_owned())
        })
        .await
    }

    /// Has Flux apply the present revision once more, and waits until it has.
    ///
    /// # Errors
    /// If that is not so within a minute.
    pub async fn apply_again(&self) -> Result<()> {
        let now = Timestamp::now().to_string();
        let ask = json!({ "metadata": { "annotations": { "reconcile.fluxcd.io/requestedAt": now } } });
        self.kustomizations().patch(NAME, &PatchParams::default(), &Patch::Merge(ask)).await?;
        wait::until("Flux to have applied once more", READY_WITHIN, async || {
            let status = self.status().await?;
            let done = status["lastHandledReconcileAt"] == json!(now);
            ensure!(done && condition(&status, "Ready")?["status"] == "True", "{status}");
            Ok(())
        })
        .await
    }

    /// Gives the kustomization up, which prunes all that it applied, waits until that is done, and removes Flux.
    ///
    /// # Errors
    /// If it is not done within two minutes.
    pub async fn give_up(self, target: &Target) -> Result<()> {
        let kustomizations = self.kustomizations();
        kustomizations.delete(NAME, &Default::default()).await?;
        wait::until("Flux to have pruned everything", 2 * READY_WITHIN, async || {
            let left = kustomizations.get_opt(NAME).await?;
            ensure!(left.is_none(), "{left:?}");
            Ok(())
        })
        .await?;
        let definitions = programs::module("flux")?.join("definitions");
        programs::run(target.kubectl()?.args(["delete", "-f"]).arg(&definitions))?;
        Ok(())
    }

    async fn status(&self) -> Result<Value> {
        let found = self.kustomizations().get(NAME).await?;
        found.data.get("status").cloned().context("Flux has not said anything yet")
    }

    /// The end of what the controller logged.
    #[must_use]
    pub fn log(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    fn sources(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &source())
    }

    fn kustomizations(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &kustomization())
    }
}

fn source() -> ApiResource {
    let kind = GroupVersionKind::gvk("source.toolkit.fluxcd.io", "v1", "GitRepository");
    ApiResource::from_gvk_with_plural(&kind, "gitrepositories")
}

fn kustomization() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("kustomize.toolkit.fluxcd.io", "v1", "Kustomization"))
}

fn condition<'a>(status: &'a Value, type_: &str) -> Result<&'a Value> {
    let conditions = status["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == type_);
    found.with_context(|| format!("no condition {type_} yet: {status}"))
}

fn start_controller(bin: &Path, target: &Target, namespace: &str, log: &Path) -> Result<Kept> {
    let log = File::options().create(true).append(true).open(log)?;
    let mut command = kept::command(bin.join("kustomize-controller"));
    command.args([
        "--metrics-addr=0".to_owned(),
        format!("--health-addr=127.0.0.1:{}", free_port()?),
        "--log-level=info".to_owned(),
        "--requeue-dependency=2s".to_owned(),
        // It looks for its own namespace alone.
        "--watch-all-namespaces=false".to_owned(),
    ]);
    command.env("RUNTIME_NAMESPACE", namespace).env("KUBECONFIG", &target.kubeconfig);
    command.env("NO_PROXY", "198.18.0.0/15,127.0.0.0/8").env("no_proxy", "198.18.0.0/15,127.0.0.0/8");
    command.stdout(log.try_clone()?).stderr(log);
    Kept::start(command).context("cannot start kustomize-controller")
}

/// Serves the archives in a folder, by their names, and returns where.
async fn serve(folder: &Path) -> Result<(String, JoinHandle<()>)> {
    let folder = folder.to_owned();
    let archive = move |axum::extract::Path(name): axum::extract::Path<String>| {
        let file = folder.join(name);
        async move { fs::read(file).map_err(|_| http::StatusCode::NOT_FOUND) }
    };
    let routes = Router::new().route("/{name}", get(archive));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let serving = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            eprintln!("the source is served no longer: {error}");
        }
    });
    Ok((address, serving))
}
