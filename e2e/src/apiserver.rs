//! A real etcd and kube-apiserver on loopback, without controllers or nodes.
//!
//! Tests write what controllers and kubelets would. The programs end with the thread that started them, however it
//! ends, so a crashed test leaves nothing behind.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use kube::{Client, Config, config::AuthInfo};
use serde_json::json;
use tempfile::TempDir;

use crate::{programs, wait};

/// What the server takes for its administrator.
pub const TOKEN: &str = "tidemark-test-administrator";
/// For an operator in a process of its own, whose writes are told apart by its name.
const OPERATOR_TOKEN: &str = "tidemark-test-operator";
/// Writes of that operator, once they are answered.
const AUDIT_POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
    {"level": "Metadata", "users": ["operator"], "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
    {"level": "None"}
]}"#;
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running API server with an empty etcd of its own.
pub struct ApiServer {
    config: Config,
    _programs: [Program; 2],
    folder: TempDir,
}

impl ApiServer {
    /// The API server that all tests of this process share; started by the first that asks.
    ///
    /// # Panics
    /// If it cannot be started, with the reason.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ApiServer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_for_good().expect("an API server can be started on loopback"))
    }

    /// Starts one that runs until it is dropped, whatever becomes of the thread that asks.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_for_good() -> Result<Self> {
        let (tell, told) = std::sync::mpsc::channel();
        thread::spawn(move || {
            // The programs end with this thread, so it stays for as long as the process.
            let _ = tell.send(Self::start());
            loop {
                thread::park();
            }
        });
        told.recv().context("the thread that starts the API server died")?
    }

    /// Starts etcd and kube-apiserver on free loopback ports and waits until they are ready.
    ///
    /// # Errors
    /// If the programs are not built, or do not get ready within a minute; the message ends with the server's log.
    pub fn start() -> Result<Self> {
        let bin = programs::folder()?;
        let folder = tempfile::Builder::new().prefix("tidemark-api-").tempdir()?;
        let (etcd_port, peer_port, port) = (free_port()?, free_port()?, free_port()?);
        prepare(&bin, folder.path())?;
        let etcd = start_etcd(&bin, folder.path(), etcd_port, peer_port)?;
        let server = start_server(&bin, folder.path(), etcd_port, port)?;
        let config = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(ready_config(folder.path(), port))
            .with_context(|| log_tail(&folder.path().join("kube-apiserver.log")))?;
        write_kubeconfig(folder.path(), port)?;
        Ok(Self { config, _programs: [server, etcd], folder })
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
        let server = self.config.cluster_url.to_string();
        // The server makes its own certificate, and is on loopback.
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": { "server": server, "insecure-skip-tls-verify": true } }],
            "users": [{ "name": "admin", "user": { "token": TOKEN } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "admin", "namespace": namespace } }],
        });
        config.to_string()
    }

    /// A client of its own, which belongs to the runtime that asks.
    ///
    /// # Errors
    /// If no TLS client can be made.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::try_from(self.config())?)
    }
}

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody left to tell otherwise.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    /// Starts a program that the kernel kills when the thread that called this ends.
    fn start(bin: &Path, folder: &Path, name: &str, args: &[String]) -> Result<Self> {
        let log = File::create(folder.join(format!("{name}.log")))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(bin.join(name))
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name} from {}", bin.display()))?;
        Ok(Self(child))
    }
}

pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
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

fn start_etcd(bin: &Path, folder: &Path, port: u16, peer_port: u16) -> Result<Program> {
    let client = format!("http://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    let args = [
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".to_owned(),
    ];
    Program::start(bin, folder, "etcd", &args)
}

fn start_server(bin: &Path, folder: &Path, etcd_port: u16, port: u16) -> Result<Program> {
    let at = |name: &str| folder.join(name).display().to_string();
    let args = [
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        format!("--secure-port={port}"),
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
    Program::start(bin, folder, "kube-apiserver", &args)
}

async fn ready_config(folder: &Path, port: u16) -> Result<Config> {
    let config = wait::until("the API server's own certificate", READY_WITHIN, async || {
        client_config(&fs::read(folder.join("serving/apiserver.crt"))?, port)
    })
    .await?;
    wait::until("the API server to be ready", READY_WITHIN, async || {
        let request = http::Request::get("/readyz").body(Vec::new())?;
        let answer = Client::try_from(config.clone())?.request_text(request).await?;
        ensure!(answer == "ok", "/readyz says {answer}");
        Ok(())
    })
    .await?;
    Ok(config)
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
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "operator" } }],
        "users": [{ "name": "operator", "user": { "token": OPERATOR_TOKEN } }],
        "clusters": [{ "name": "test", "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority": folder.join("serving/apiserver.crt"),
        } }],
    });
    Ok(fs::write(folder.join("operator.json"), config.to_string())?)
}

fn log_tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(15).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
