//! Which cluster the demo, the tests and the benchmarks run on.
//!
//! Without a word it is the local one that `make cluster-up` made. An ambient `KUBECONFIG` is ignored: only
//! `TIDEMARK_E2E_KUBECONFIG`, confirmed by name, leads anywhere else.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::programs;

/// The images that the cluster can run, by full reference.
#[derive(Clone, Debug)]
pub struct Images {
    /// The operator, `repository:tag`.
    pub operator: String,
    /// The follower, which is the dev primary too.
    pub follower: String,
}

/// A cluster and how far our hands reach into it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The file that leads to it.
    pub kubeconfig: PathBuf,
    /// The context in that file; the current one when unset.
    pub context: Option<String>,
    /// Whether its nodes, pod network and processes are this machine's.
    pub node_access: bool,
    /// What it can run.
    pub images: Images,
}

impl Target {
    /// Chooses from the environment and prints what was chosen when it is not the local cluster.
    ///
    /// # Errors
    /// If another cluster was named and not confirmed, or the local one is not up, or no images were built.
    pub fn choose() -> Result<Self> {
        match env::var_os("TIDEMARK_E2E_KUBECONFIG") {
            Some(file) => Self::other(file.into()),
            None => Self::local(),
        }
    }

    fn local() -> Result<Self> {
        let state = state_folder();
        let kubeconfig = state.join("admin.conf");
        let there = kubeconfig.exists();
        ensure!(there, "there is no local cluster in {}: run `make cluster-up` first", state.display());
        let images = Images {
            operator: built("TIDEMARK_OPERATOR_IMAGE")?,
            follower: built("TIDEMARK_FOLLOWER_IMAGE")?,
        };
        Ok(Self { kubeconfig, context: None, node_access: true, images })
    }

    fn other(kubeconfig: PathBuf) -> Result<Self> {
        let registry = env::var("TIDEMARK_E2E_REGISTRY")
            .context("TIDEMARK_E2E_KUBECONFIG is set: TIDEMARK_E2E_REGISTRY must name the registry that holds the images")?;
        let context = confirmed(&Kubeconfig::read_from(&kubeconfig)?, &kubeconfig)?;
        let there = |image: String| image.replacen("tidemark.local", registry.trim_end_matches('/'), 1);
        let images = Images {
            operator: there(built("TIDEMARK_OPERATOR_IMAGE")?),
            follower: there(built("TIDEMARK_FOLLOWER_IMAGE")?),
        };
        Ok(Self { kubeconfig, context: Some(context), node_access: false, images })
    }

    /// A client of the chosen cluster.
    ///
    /// # Errors
    /// If the file or its credentials cannot be used.
    pub async fn client(&self) -> Result<Client> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let mut config =
            Config::from_custom_kubeconfig(Kubeconfig::read_from(&self.kubeconfig)?, &options).await?;
        if self.node_access {
            config.proxy_url = None;
        }
        Ok(Client::try_from(config)?)
    }

    /// `kubectl` aimed at the chosen cluster.
    ///
    /// # Errors
    /// If the programs are not built.
    pub fn kubectl(&self) -> Result<Command> {
        self.program("kubectl", "--context")
    }

    /// `helm` aimed at the chosen cluster.
    ///
    /// # Errors
    /// If the programs are not built.
    pub fn helm(&self) -> Result<Command> {
        self.program("helm", "--kube-context")
    }

    fn program(&self, name: &str, context_flag: &str) -> Result<Command> {
        let mut command = Command::new(programs::folder()?.join(name));
        command.env_remove("KUBECONFIG").arg("--kubeconfig").arg(&self.kubeconfig);
        if self.node_access {
            command.env("NO_PROXY", "198.18.0.0/15").env("no_proxy", "198.18.0.0/15");
        }
        if let Some(context) = &self.context {
            command.args([context_flag, context]);
        }
        Ok(command)
    }

    /// Applies manifests as a user would, with `kubectl apply -f -`.
    ///
    /// # Errors
    /// What the API server says against them.
    pub fn apply(&self, namespace: &str, manifests: &str) -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), manifests)?;
        programs::run(self.kubectl()?.args(["--namespace", namespace, "apply", "-f"]).arg(file.path()))?;
        Ok(())
    }
}

/// Where everything of the local cluster is.
#[must_use]
pub fn state_folder() -> PathBuf {
    env::var_os("TIDEMARK_E2E_STATE").map_or_else(|| "/var/lib/tidemark-e2e".into(), PathBuf::from)
}

/// The context that the user confirmed by name, after its server was printed.
fn confirmed(file: &Kubeconfig, path: &Path) -> Result<String> {
    let context = file.current_context.clone().context("the kubeconfig names no current context")?;
    let server = server_of(file, &context)
        .with_context(|| format!("context {context} of {} names no cluster with a server", path.display()))?;
    println!("cluster: {server} (context {context} of {})", path.display());
    match env::var("TIDEMARK_E2E_CONFIRM") {
        Ok(confirm) if confirm == context => Ok(context),
        _ => bail!("set TIDEMARK_E2E_CONFIRM={context} to run against {server}"),
    }
}

fn server_of(file: &Kubeconfig, context: &str) -> Option<String> {
    let cluster = &file.contexts.iter().find(|c| c.name == context)?.context.as_ref()?.cluster;
    file.clusters.iter().find(|c| &c.name == cluster)?.cluster.as_ref()?.server.clone()
}

/// The reference of a built image: from the environment, else from the file that `make images` wrote.
fn built(variable: &str) -> Result<String> {
    if let Ok(image) = env::var(variable) {
        return Ok(image);
    }
    let home = env::var("HOME").unwrap_or_default();
    let cache = env::var("TIDEMARK_CACHE").unwrap_or_else(|_| format!("{home}/.cache/tidemark"));
    let file = Path::new(&cache).join("images/images.env");
    let text =
        fs::read_to_string(&file).with_context(|| format!("{}: run `make images` first", file.display()))?;
    let images: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let image = images.get(variable).with_context(|| format!("{} names no {variable}", file.display()))?;
    Ok((*image).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "{current-context: prod, contexts: [{name: prod, context: {cluster: c, user: u}}], \
                        clusters: [{name: c, cluster: {server: 'https://192.0.2.1:6443'}}]}";

    #[test]
    fn the_server_behind_a_context_is_found_and_must_be_confirmed() {
        let file = Kubeconfig::from_yaml(FILE).expect("a kubeconfig");
        assert_eq!(server_of(&file, "prod").as_deref(), Some("https://192.0.2.1:6443"));
        assert_eq!(server_of(&file, "other"), None);
        let refused = confirmed(&file, Path::new("f")).expect_err("nothing confirmed");
        assert_eq!(
            refused.to_string(),
            "set TIDEMARK_E2E_CONFIRM=prod to run against https://192.0.2.1:6443"
        );
    }
}
