//! Reads the Secrets that stores are reached with, and reads them again, so that what is rotated needs no restart.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::tls::{Material, Tls, TlsError, TlsFailure};
use crate::{
    call::{self, CallError},
    lock::lock,
    metrics::Metrics,
    over_tls::OverTls,
    wait::uneven,
};

/// How long content is used before it is read again.
const EVERY: Duration = Duration::from_secs(20);
/// How soon what is no good is read again.
const RETRY: Duration = Duration::from_secs(5);

const AUTHORITIES: &str = "ca.crt";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// How TLS is spoken to a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TlsSecrets {
    /// The field of the spec that says so.
    pub field: &'static str,
    /// Where the Secrets are.
    pub namespace: String,
    /// The Secret with `ca.crt`; None: what this image trusts.
    pub ca_secret: Option<String>,
    /// The Secret with `tls.crt` and `tls.key`; None: no certificate is shown.
    pub client_secret: Option<String>,
    /// The name the store's certificate must be of; None: the host of its URL.
    pub server_name: Option<String>,
}

impl TlsSecrets {
    /// How followers in `namespace` are asked.
    pub(crate) fn of_followers(namespace: &str, over_tls: OverTls) -> Self {
        Self {
            field: "spec.follower.tls",
            namespace: namespace.to_owned(),
            ca_secret: Some(over_tls.ca_secret),
            client_secret: over_tls.client_secret,
            server_name: Some(over_tls.server_name),
        }
    }
}

/// What is known of some Secrets.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The latest content that was good, though it may not be there any more.
    pub(super) tls: Option<Arc<Tls>>,
    /// Why the latest content is no good.
    pub(super) error: Option<String>,
}

/// Why there is no way to a store.
#[derive(Debug, thiserror::Error)]
enum SecretError {
    #[error("Secret {0} cannot be read: no answer of the API server within 10 s")]
    Late(String),
    #[error(
        "Secret {0} may not be read by the operator: name it in the value tlsSecrets of the chart tidemark, or grant \
         its ServiceAccount `get` on it"
    )]
    Forbidden(String),
    #[error("Secret {0} does not exist: create it, or correct {1}")]
    Missing(String, &'static str),
    #[error("Secret {0} cannot be read: {1}")]
    Failed(String, CallError),
    #[error("Secret {0} has no key {1}: add it, in PEM, or name another Secret")]
    NoKey(String, &'static str),
    #[error("key {1} of Secret {0} {2}")]
    Malformed(String, &'static str, String),
    #[error("this image trusts no certificate authority: name one in {0}.caSecret")]
    NoAuthorities(&'static str),
    #[error("TLS cannot be spoken: {0}")]
    Other(String),
}

/// All Secrets that are read, each combination once for all sets that name it.
pub(super) struct Secrets {
    client: Client,
    metrics: Arc<Metrics>,
    read: Mutex<BTreeMap<TlsSecrets, Weak<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    known: watch::Receiver<Known>,
    _task: AbortOnDropHandle<()>,
}

/// An interest in some Secrets; dropping it withdraws the interest.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    known: watch::Receiver<Known>,
    _entry: Arc<Entry>,
}

impl Watched {
    /// Waits until something else is known.
    pub(super) async fn changed(&mut self) {
        if self.known.changed().await.is_err() {
            // The task lives as long as this interest.
            std::future::pending::<()>().await;
        }
    }

    /// What is known now.
    pub(super) fn known(&self) -> Known {
        self.known.borrow().clone()
    }

    /// What TLS is spoken with now, once that is known.
    pub(super) async fn tls(&self) -> Result<Arc<Tls>, TlsFailure> {
        let mut known = self.known.clone();
        let read = known.wait_for(|known| known.tls.is_some() || known.error.is_some()).await;
        // The task that reads lives as long as this interest.
        let known = read.map(|known| known.clone()).unwrap_or_default();
        known.tls.ok_or_else(|| TlsFailure::Unprepared(known.error.unwrap_or_default()))
    }
}

impl Secrets {
    pub(super) fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self { client, metrics, read: Mutex::default() }
    }

    /// Has these read for as long as somebody is interested.
    pub(super) fn watch(&self, named: &TlsSecrets) -> Watched {
        let mut read = lock(&self.read);
        read.retain(|_, entry| entry.strong_count() > 0);
        let entry = read.get(named).and_then(Weak::upgrade).unwrap_or_else(|| {
            let entry = self.start(named);
            read.insert(named.clone(), Arc::downgrade(&entry));
            entry
        });
        Watched { known: entry.known.clone(), _entry: entry }
    }

    fn start(&self, named: &TlsSecrets) -> Arc<Entry> {
        let (publish, known) = watch::channel(Known::default());
        let reader =
            Reader { client: self.client.clone(), metrics: Arc::clone(&self.metrics), named: named.clone() };
        Arc::new(Entry { known, _task: AbortOnDropHandle::new(tokio::spawn(reader.run(publish))) })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secrets")
    }
}

struct Reader {
    client: Client,
    metrics: Arc<Metrics>,
    named: TlsSecrets,
}

impl Reader {
    async fn run(self, publish: watch::Sender<Known>) {
        loop {
            let read = self.read().await;
            self.metrics.secret_read(if read.is_ok() { "ok" } else { "error" });
            let wait = if read.is_ok() { EVERY } else { RETRY };
            publish.send_if_modified(|known| take(known, read));
            tokio::time::sleep(uneven(wait, 0.9)).await;
        }
    }

    async fn read(&self) -> Result<Tls, SecretError> {
        let TlsSecrets { field: _, namespace, ca_secret, client_secret, server_name } = &self.named;
        let mut material = Material { server_name: server_name.clone(), ..Material::default() };
        if let Some(name) = ca_secret {
            material.authorities =
                Some(key(&self.secret(namespace, name).await?, &at(namespace, name), AUTHORITIES)?);
        }
        if let Some(name) = client_secret {
            let (secret, at) = (self.secret(namespace, name).await?, at(namespace, name));
            material.identity = Some((key(&secret, &at, CERTIFICATE)?, key(&secret, &at, KEY)?));
        }
        Tls::new(&material).map_err(|error| self.malformed(error))
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Secret, SecretError> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let at = || at(namespace, name);
        call::within(call::LONGEST, secrets.get(name)).await.map_err(|error| match (&error, error.code()) {
            (CallError::Slow(_), _) => SecretError::Late(at()),
            (_, Some(403)) => SecretError::Forbidden(at()),
            (_, Some(404)) => SecretError::Missing(at(), self.named.field),
            _ => SecretError::Failed(at(), error),
        })
    }

    fn malformed(&self, error: TlsError) -> SecretError {
        let of = |secret: &Option<String>| at(&self.named.namespace, secret.as_deref().unwrap_or_default());
        match error {
            TlsError::Authorities(why) => SecretError::Malformed(of(&self.named.ca_secret), AUTHORITIES, why),
            TlsError::Certificate(why) => {
                SecretError::Malformed(of(&self.named.client_secret), CERTIFICATE, why)
            }
            TlsError::Key(why) => SecretError::Malformed(of(&self.named.client_secret), KEY, why),
            TlsError::NoAuthorities => SecretError::NoAuthorities(self.named.field),
            TlsError::Provider(why) => SecretError::Other(why),
        }
    }
}

fn at(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

fn key(secret: &Secret, at: &str, key: &'static str) -> Result<Vec<u8>, SecretError> {
    let content = secret.data.as_ref().and_then(|data| data.get(key));
    content.map(|content| content.0.clone()).ok_or_else(|| SecretError::NoKey(at.to_owned(), key))
}

/// Takes what was read; says whether that is news. What was good is used until something better is there.
fn take(known: &mut Known, read: Result<Tls, SecretError>) -> bool {
    match read {
        Ok(tls) => {
            let news = known.error.is_some() || known.tls.as_deref() != Some(&tls);
            if news {
                *known = Known { tls: Some(Arc::new(tls)), error: None };
            }
            news
        }
        Err(error) => {
            let error = Some(error.to_string());
            let news = known.error != error;
            if news {
                tracing::warn!(error = error.as_deref(), "a store cannot be reached as its set asks");
                known.error = error;
            }
            news
        }
    }
}
