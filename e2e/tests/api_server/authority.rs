//! Certificates, and the Secrets that hold them.

use std::time::Duration;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::api::{ObjectMeta, Patch, PatchParams};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::world::World;

/// An authority, and what it issues.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        // An authority is known by its name before it is by its key.
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate of `name`, and its key.
    pub(crate) fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

impl World {
    pub(crate) async fn put_secret(&self, name: &str, content: &[(&str, &str)]) {
        let data =
            content.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
        let secret = Secret {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            data: Some(data.collect()),
            ..Secret::default()
        };
        let apply = PatchParams::apply("tests").force();
        self.api::<Secret>().patch(name, &apply, &Patch::Apply(secret)).await.unwrap();
    }

    /// Waits until the condition says so; what was read before is used for a while.
    pub(crate) async fn secret_trouble(&self, reason: &str, words: &str) {
        let look = async || {
            let message = self.condition_is("ObservationDegraded", "True", reason).await;
            anyhow::ensure!(message.contains(words), "{message}");
            Ok(())
        };
        tidemark_e2e::wait::until(words, Duration::from_secs(90), look).await.unwrap();
    }
}
