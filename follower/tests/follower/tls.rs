//! TLS and mTLS by files, and files that change.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;
use tidemark_follower::tls::{TlsArgs, UpstreamTlsArgs};
use tidemark_wire::v1::ReplicaState;
use tokio::net::TcpStream;

use crate::harness::{Running, check_same_blocks, follow, in_state, metric_is, page, produce, published};

/// A certificate authority, and certificates of it in a directory as Kubernetes lays a secret out.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key for 127.0.0.1.
    fn issue(&self) -> [String; 2] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        [params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem()]
    }
}

/// A mounted secret: files by way of a link to a directory, which is swapped as one.
struct Secret {
    dir: TempDir,
    version: u32,
}

impl Secret {
    fn new(files: &[(&str, &str)]) -> Self {
        let mut secret = Self { dir: TempDir::new().unwrap(), version: 0 };
        secret.update(files);
        for (name, _) in files {
            symlink(Path::new("..data").join(name), secret.path(name)).unwrap();
        }
        secret
    }

    /// With a certificate of `own`, and `trusted` as the authority.
    fn of(own: &Authority, trusted: &Authority) -> Self {
        let [cert, key] = own.issue();
        Self::new(&[("tls.crt", &cert), ("tls.key", &key), ("ca.crt", &trusted.0.pem())])
    }

    fn renew(&mut self, own: &Authority, trusted: &Authority) {
        let [cert, key] = own.issue();
        self.update(&[("tls.crt", &cert), ("tls.key", &key), ("ca.crt", &trusted.0.pem())]);
    }

    fn update(&mut self, files: &[(&str, &str)]) {
        self.version += 1;
        let version = format!("..{}", self.version);
        fs::create_dir(self.path(&version)).unwrap();
        for (name, content) in files {
            fs::write(self.path(&version).join(name), content).unwrap();
        }
        symlink(&version, self.path("..new")).unwrap();
        fs::rename(self.path("..new"), self.path("..data")).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn server(&self) -> TlsArgs {
        TlsArgs {
            tls_cert: Some(self.path("tls.crt")),
            tls_key: Some(self.path("tls.key")),
            tls_client_ca: None,
        }
    }

    fn mutual(&self) -> TlsArgs {
        TlsArgs { tls_client_ca: Some(self.path("ca.crt")), ..self.server() }
    }

    fn trusting(&self) -> UpstreamTlsArgs {
        UpstreamTlsArgs { upstream_ca: Some(self.path("ca.crt")), ..UpstreamTlsArgs::default() }
    }

    fn client(&self) -> UpstreamTlsArgs {
        UpstreamTlsArgs {
            upstream_client_cert: Some(self.path("tls.crt")),
            upstream_client_key: Some(self.path("tls.key")),
            ..self.trusting()
        }
    }
}

fn secure(store: &Running) -> String {
    format!("https://{}", store.rpc)
}

async fn follow_securely(store: &Running, tls: UpstreamTlsArgs) -> Running {
    follow(&[&secure(store)], |args| args.upstream_tls = tls).await
}

async fn cannot_reach(follower: &Running) {
    in_state(follower.rpc, ReplicaState::UpstreamUnreachable).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_trusts_the_authority_follows() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (server, stranger) = (Secret::of(&authority, &authority), Secret::of(&other, &other));
    let primary = produce(|args| args.serve.tls = server.server()).await;
    published(follow_securely(&primary, server.trusting()).await.rpc, 5).await;
    cannot_reach(&follow_securely(&primary, stranger.trusting()).await).await;
    cannot_reach(&follow(&[&primary.url()], |_| {}).await).await;
    let named = UpstreamTlsArgs { upstream_server_name: Some("elsewhere".to_owned()), ..server.trusting() };
    cannot_reach(&follow_securely(&primary, named).await).await;
    assert!(page(primary.admin, "/livez").await.starts_with("HTTP/1.1 200"), "probes need no certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_follows_a_follower_over_mtls_and_nobody_else_does() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let (server, client) = (Secret::of(&servers, &clients), Secret::of(&clients, &servers));
    let primary = produce(|_| {}).await;
    let near = follow(&[&primary.url()], |args| args.serve.tls = server.mutual()).await;
    let far = follow_securely(&near, client.client()).await;
    published(far.rpc, 20).await;
    check_same_blocks(primary.rpc, far.rpc, 20).await;
    let wrong = Secret::of(&servers, &servers);
    for tls in [client.trusting(), wrong.client()] {
        cannot_reach(&follow_securely(&near, tls).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_uses_new_files_without_a_restart_and_keeps_the_old_ones_where_they_are_broken() {
    let (old, new) = (Authority::new(), Authority::new());
    let mut server = Secret::of(&old, &old);
    let (trusts_old, trusts_new) = (Secret::of(&old, &old), Secret::of(&new, &new));
    let primary = produce(|args| args.serve.tls = server.server()).await;
    let from_before = follow_securely(&primary, trusts_old.trusting()).await;
    published(from_before.rpc, 1).await;
    server.update(&[("tls.crt", "broken"), ("tls.key", "broken"), ("ca.crt", "broken")]);
    let waiting = follow_securely(&primary, trusts_new.trusting()).await;
    metric_is(&primary, "tls_reloads_total{side=\"server\",result=\"refused\"}", |count| count == 1.0).await;
    published(follow_securely(&primary, trusts_old.trusting()).await.rpc, 1).await;
    server.renew(&new, &new);
    published(waiting.rpc, 1).await;
    metric_is(&primary, "tls_reloads_total{side=\"server\",result=\"used\"}", |count| count == 1.0).await;
    let tip = published(waiting.rpc, 2).await.published_tip.unwrap();
    published(from_before.rpc, tip).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_shows_its_new_certificate_without_a_restart() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Secret::of(&authority, &authority);
    let mut client = Secret::of(&other, &authority);
    let primary = produce(|args| args.serve.tls = server.mutual()).await;
    let follower = follow_securely(&primary, client.client()).await;
    cannot_reach(&follower).await;
    client.renew(&authority, &authority);
    published(follower.rpc, 1).await;
    metric_is(&follower, "tls_reloads_total{side=\"upstream\",result=\"used\"}", |count| count == 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_is_restored_from_a_follower_over_mtls() {
    let authority = Authority::new();
    let secret = Secret::of(&authority, &authority);
    let lost = produce(|args| args.blocks = Some(5)).await;
    let follower = follow(&[&lost.url()], |args| args.serve.tls = secret.mutual()).await;
    metric_is(&follower, "tip{kind=\"published\"}", |tip| tip == 5.0).await;
    let primary = produce(|args| {
        args.restore_from = vec![secure(&follower).parse().unwrap()];
        args.upstream_tls = secret.client();
    })
    .await;
    published(primary.rpc, 5).await;
    check_same_blocks(lost.rpc, primary.rpc, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_shake_hands_loses_its_slot() {
    let authority = Authority::new();
    let server = Secret::of(&authority, &authority);
    let primary = produce(|args| {
        args.serve.tls = server.server();
        args.serve.limits.max_connections = 1;
    })
    .await;
    let silent = TcpStream::connect(primary.rpc).await.expect("accepted");
    metric_is(&primary, "open_connections", |open| open == 1.0).await;
    published(follow_securely(&primary, server.trusting()).await.rpc, 1).await;
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_end_the_start_by_name() {
    let authority = Authority::new();
    let (one, other) = (Secret::of(&authority, &authority), Secret::of(&authority, &authority));
    let mixed = TlsArgs { tls_key: other.server().tls_key, ..one.server() };
    let missing = TlsArgs { tls_cert: Some("/no/such/file".into()), ..one.server() };
    for (tls, said) in [(mixed, "tls.crt cannot be used"), (missing, "/no/such/file")] {
        let dir = TempDir::new().unwrap();
        let mut args = crate::harness::produce_args(dir.path());
        args.serve.tls = tls;
        let error = tidemark_follower::node::produce(args).await.err().expect("no start").to_string();
        assert!(error.contains(said), "{error}");
    }
}
