//! A real etcd and kube-apiserver on loopback, without controllers or nodes.
//!
//! Tests write what controllers and kubelets would. The programs end with this process, however it ends, so a crashed
//! test leaves nothing behind.

use std::{
    env,
    fs::{self, File},
    iter,
    net::TcpListener,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use kube::{Client, Config, config::AuthInfo};
use rand::RngExt as _;
use serde_json::{Value, json};

use crate::{
    folder::Folder,
    kept::{self, Kept},
    programs, wait,
};

/// What the server takes for its administrator.
const TOKEN: &str = "tidemark-test-administrator";
/// For an operator in a process of its own, whose writes are told apart by its name.
const OPERATOR_TOKEN: &str = "tidemark-test-operator";
/// Writes of that operator, once they are answered.
const AUDIT_POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
    {"level": "Metadata", "users": ["operator"], "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
    {"level": "None"}
]}"#;
/// Says which API server is to be tested on.
pub const SERVER: &str = "TIDEMARK_API_SERVER";
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running API server with an empty etcd of its own.
pub struct ApiServer {
    config: Config,
    ports: Ports,
    extra: &'static [&'static str],
    server: Mutex<Kept>,
    _etcd: Kept,
    folder: Folder,
}

#[derive(Clone, Copy)]
struct Ports {
    etcd: u16,
    peer: u16,
    server: u16,
}

impl ApiServer {
    /// The API server that all tests of this process share; started by the first that asks.
    ///
    /// # Panics
    /// If it cannot be started, with the reason.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ApiServer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_aside(&[]).expect("an API server can be started on loopback"))
    }

    /// Starts one on a thread of its own, since a runtime cannot wait for another; it runs until it is dropped.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_aside(extra: &'static [&'static str]) -> Result<Self> {
        let started = thread::spawn(move || Self::start(extra)).join();
        started.unwrap_or_else(|_| bail!("the thread that starts the API server died"))
    }

    /// The API server for tests that break it, which have to take turns. It has no cache of what was written, so that a
    /// watch misses what etcd has forgotten.
    ///
    /// # Panics
    /// If it cannot be started, with the reason.
    pub fn breakable() -> &'static Self {
        static BREAKABLE: OnceLock<ApiServer> = OnceLock::new();
        BREAKABLE.get_or_init(|| {
            let started = Self::start_aside(&["--watch-cache=false"]);
            started.expect("an API server can be started on loopback")
        })
    }

    /// Starts etcd and kube-apiserver, with these flags besides its own, on free loopback ports and waits until they
    /// are ready.
    ///
    /// # Errors
    /// If the programs are not built, or do not get ready within a minute; the message ends with the server's log.
    pub fn start(extra: &'static [&'static str]) -> Result<Self> {
        let bin = programs::folder()?;
        let folder = Folder::make("tidemark-api-")?;
        let ports = Ports { etcd: free_port()?, peer: free_port()?, server: free_port()? };
        prepare(&bin, folder.path())?;
        let etcd = start_etcd(&bin, folder.path(), ports)?;
        let server = Mutex::new(start_server(folder.path(), ports, extra)?);
        let config = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(ready_config(folder.path(), ports.server))
            .with_context(|| log_tail(&folder.path().join("kube-apiserver.log")))?;
        write_kubeconfig(folder.path(), ports.server)?;
        Ok(Self { config, ports, extra, server, _etcd: etcd, folder })
    }

    /// Kills kube-apiserver; etcd goes on.
    pub fn kill(&self) {
        self.server().kill();
    }

    /// Stops kube-apiserver in the middle of whatever it does: connections stay, and nobody answers.
    ///
    /// # Errors
    /// If it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.server().signal("STOP")
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.server().signal("CONT")
    }

    /// Starts kube-apiserver again if somebody left it killed or frozen.
    ///
    /// # Errors
    /// As [`restart`](Self::restart).
    pub async fn ensure_running(&self) -> Result<()> {
        let ended = self.server().ended()?.is_some();
        if ended {
            return self.restart().await;
        }
        self.thaw()
    }

    /// Starts kube-apiserver again, at the same address and with the same etcd, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not get ready within a minute; the message ends with the server's log.
    pub async fn restart(&self) -> Result<()> {
        let server = start_server(self.folder.path(), self.ports, self.extra)?;
        *self.server() = server;
        let ready = ready(&self.config).await;
        ready.with_context(|| log_tail(&self.folder.path().join("kube-apiserver.log")))
    }

    /// Has etcd forget everything but what is now: watches that are behind cannot go on.
    ///
    /// # Errors
    /// If etcd does not.
    pub async fn compact(&self) -> Result<()> {
        let etcd = Client::try_from(Config::new(format!("http://127.0.0.1:{}", self.ports.etcd).parse()?))?;
        let post = |path: &str, body: Value| http::Request::post(path).body(body.to_string().into_bytes());
        let status: Value = etcd.request(post("/v3/maintenance/status", json!({}))?).await?;
        let revision = &status["header"]["revision"];
        let compact = json!({ "revision": revision, "physical": true });
        etcd.request_text(post("/v3/kv/compaction", compact)?).await.context("etcd does not compact")?;
        Ok(())
    }

    fn server(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How to reach the server as its administrator.
    #[must_use]
    pub fn config(&self) -> Config {
        self.config.clone()
    }

    /// A kubeconfig for an operator in a process of its own.
    #[must_use]
    pub fn operator_kubeconfig(&self) -> PathBuf {
        self.folder.path().join("operator.json")
    }

    /// Where the server logs what that operator wrote, an entry of JSON a line.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }

    /// A kubeconfig by which kubectl reaches a namespace of the server as its administrator.
    #[must_use]
    pub fn kubeconfig(&self, namespace: &str) -> String {
        // The server makes its own certificate, and is on loopback.
        let cluster =
            json!({ "server": self.config.cluster_url.to_string(), "insecure-skip-tls-verify": true });
        kubeconfig(&cluster, &json!({ "token": TOKEN }), Some(namespace))
    }

    /// A client of its own, which belongs to the runtime that asks.
    ///
    /// # Errors
    /// If no TLS client can be made.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::try_from(self.config())?)
    }
}

fn start_program(bin: &Path, folder: &Path, name: &str, args: &[String]) -> Result<Kept> {
    let log = File::options().create(true).append(true).open(folder.join(format!("{name}.log")))?;
    let mut command = kept::command(bin.join(name));
    command.args(args).stdout(log.try_clone()?).stderr(log);
    Kept::start(command).with_context(|| format!("cannot start {name} from {}", bin.display()))
}

/// Below what Kubernetes takes for node ports, and what Linux gives to connections and to those who ask for any port: one of
/// them would take a port that is free now before it is listened on.
const PORTS: Range<u16> = 20_000..30_000;

/// A port of loopback that nobody listens on, nor comes to listen on by chance.
///
/// # Errors
/// If none is found.
pub(crate) fn free_port() -> Result<u16> {
    let mut tried = iter::repeat_with(|| rand::rng().random_range(PORTS)).take(100);
    let free = tried.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.with_context(|| format!("100 ports of {PORTS:?} are taken"))
}

/// Makes the keys that sign service account tokens, and the administrator's token.
fn prepare(bin: &Path, folder: &Path) -> Result<()> {
    let pki = format!("--cert-dir={}", folder.join("pki").display());
    programs::run(Command::new(bin.join("kubeadm")).args(["init", "phase", "certs", "sa", &pki]))?;
    fs::write(
        folder.join("tokens.csv"),
        format!("{TOKEN},admin,admin,system:masters\n{OPERATOR_TOKEN},operator,operator,system:masters\n"),
    )?;
    fs::write(folder.join("audit.json"), AUDIT_POLICY)?;
    Ok(())
}

fn start_etcd(bin: &Path, folder: &Path, ports: Ports) -> Result<Kept> {
    let client = format!("http://127.0.0.1:{}", ports.etcd);
    let peer = format!("http://127.0.0.1:{}", ports.peer);
    let args = [
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".to_owned(),
    ];
    start_program(bin, folder, "etcd", &args)
}

/// Where the API server is that was asked for: the local cluster's, or the oldest one that is supported.
fn server_folder() -> Result<PathBuf> {
    match env::var(SERVER).as_deref() {
        Err(_) => programs::folder(),
        Ok("oldest") => programs::module("oldest"),
        Ok(other) => bail!("{SERVER}={other} names no API server: say oldest, or nothing"),
    }
}

fn start_server(folder: &Path, ports: Ports, extra: &[&str]) -> Result<Kept> {
    let at = |name: &str| folder.join(name).display().to_string();
    let args = [
        format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd),
        format!("--secure-port={}", ports.server),
        "--bind-address=127.0.0.1".to_owned(),
        // Loopback cannot be advertised; no pod of ours looks for the server.
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--cert-dir={}", at("serving")),
        format!("--token-auth-file={}", at("tokens.csv")),
        format!("--service-account-key-file={}", at("pki/sa.pub")),
        format!("--service-account-signing-key-file={}", at("pki/sa.key")),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        "--service-cluster-ip-range=198.18.128.0/20".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        // No controller makes the default service account that this plugin waits for.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--allow-privileged=true".to_owned(),
        format!("--audit-policy-file={}", at("audit.json")),
        format!("--audit-log-path={}", at("audit.log")),
    ];
    let args: Vec<String> = args.into_iter().chain(extra.iter().map(ToString::to_string)).collect();
    start_program(&server_folder()?, folder, "kube-apiserver", &args)
}

async fn ready_config(folder: &Path, port: u16) -> Result<Config> {
    let config = wait::until("the API server's own certificate", READY_WITHIN, async || {
        client_config(&fs::read(folder.join("serving/apiserver.crt"))?, port)
    })
    .await?;
    ready(&config).await?;
    Ok(config)
}

async fn ready(config: &Config) -> Result<()> {
    wait::until("the API server to be ready", READY_WITHIN, async || {
        let request = http::Request::get("/readyz").body(Vec::new())?;
        let answer = Client::try_from(config.clone())?.request_text(request).await?;
        ensure!(answer == "ok", "/readyz says {answer}");
        Ok(())
    })
    .await
}

fn client_config(certificate: &[u8], port: u16) -> Result<Config> {
    let mut config = Config::new(format!("https://127.0.0.1:{port}").parse()?);
    let chain = pem::parse_many(certificate)?;
    ensure!(!chain.is_empty(), "the certificate is not written yet");
    config.root_cert = Some(chain.into_iter().map(pem::Pem::into_contents).collect());
    config.auth_info = AuthInfo { token: Some(TOKEN.to_owned().into()), ..AuthInfo::default() };
    config.proxy_url = None;
    Ok(config)
}

fn write_kubeconfig(folder: &Path, port: u16) -> Result<()> {
    let authority = folder.join("serving/apiserver.crt");
    let cluster =
        json!({ "server": format!("https://127.0.0.1:{port}"), "certificate-authority": authority });
    let config = kubeconfig(&cluster, &json!({ "token": OPERATOR_TOKEN }), None);
    Ok(fs::write(folder.join("operator.json"), config)?)
}

/// The text of a kubeconfig of one cluster and one user.
pub(crate) fn kubeconfig(cluster: &Value, user: &Value, namespace: Option<&str>) -> String {
    let mut context = json!({ "cluster": "test", "user": "test" });
    if let Some(namespace) = namespace {
        context["namespace"] = json!(namespace);
    }
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{ "name": "test", "cluster": cluster }],
        "users": [{ "name": "test", "user": user }],
        "contexts": [{ "name": "test", "context": context }],
    });
    config.to_string()
}

fn log_tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(15).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
