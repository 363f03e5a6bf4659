//! How a follower is asked over TLS, as the template says that its pod was made of. Pure.
//!
//! While a fleet turns to TLS, or from one authority to another, some of its pods are as they were. Each says by
//! itself how it is asked, so that nothing is found out by trying, and none that is to speak TLS is heard without.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    api::StoreReplicaSet,
    names::{FOLLOWER_TLS, SetKey},
};

/// What is stamped on a pod that is asked over TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OverTls {
    /// The Secret with the authorities that its certificate must come from.
    pub(crate) ca_secret: String,
    /// The Secret with what it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_secret: Option<String>,
    /// The name its certificate must be of.
    pub(crate) server_name: String,
}

impl OverTls {
    /// How the pods of a set are asked that are made now; None: without TLS.
    pub(crate) fn of(set: &StoreReplicaSet) -> Option<Self> {
        let tls = set.spec.follower.tls.as_ref()?;
        let SetKey { namespace, name } = SetKey::of(set);
        Some(Self {
            // One of the two is there: the definition refuses a set without.
            ca_secret: tls.ca_secret.clone().or_else(|| tls.cert_secret.clone()).unwrap_or_default(),
            client_secret: tls.client_secret.clone(),
            server_name: tls.server_name.clone().unwrap_or_else(|| format!("{name}.{namespace}.svc")),
        })
    }

    /// The annotation that says so.
    pub(crate) fn annotation(&self) -> (String, String) {
        (FOLLOWER_TLS.to_owned(), serde_json::json!(self).to_string())
    }

    /// What a pod says by these annotations; None: it is asked without TLS.
    pub(crate) fn read(annotations: &BTreeMap<String, String>) -> Option<serde_json::Result<Self>> {
        Some(serde_json::from_str(annotations.get(FOLLOWER_TLS)?))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{FOLLOWER_TLS, OverTls};

    fn of(tls: Value) -> Option<OverTls> {
        let set = json!({ "metadata": { "name": "books", "namespace": "shop" }, "spec": {
            "primary": { "url": "http://p:1" }, "follower": { "image": "i", "tls": tls },
        } });
        OverTls::of(&serde_json::from_value(set).expect("a set"))
    }

    fn read(stamp: &str) -> Option<serde_json::Result<OverTls>> {
        OverTls::read(&[(FOLLOWER_TLS.to_owned(), stamp.to_owned())].into())
    }

    #[test]
    fn authorities_are_those_beside_the_certificate_and_the_name_is_the_services_unless_said_otherwise() {
        assert_eq!(of(Value::Null), None);
        let shortest = of(json!({ "certSecret": "cert" })).expect("TLS");
        assert_eq!(
            (shortest.ca_secret.as_str(), shortest.client_secret.as_deref(), shortest.server_name.as_str()),
            ("cert", None, "books.shop.svc")
        );
        let whole = json!({ "certSecret": "a", "caSecret": "b", "clientSecret": "c", "serverName": "d" });
        let whole = of(whole).expect("TLS");
        assert_eq!(
            (whole.ca_secret.as_str(), whole.client_secret.as_deref(), whole.server_name.as_str()),
            ("b", Some("c"), "d")
        );
    }

    #[test]
    fn what_is_stamped_is_read_and_what_cannot_be_read_is_not_taken_for_a_pod_without_tls() {
        let stamped = of(json!({ "certSecret": "cert", "clientSecret": "c" })).expect("TLS");
        let (name, stamp) = stamped.annotation();
        assert_eq!(name, FOLLOWER_TLS);
        assert_eq!(read(&stamp).expect("stamped").expect("readable"), stamped);
        for nonsense in ["", "{}", "false", r#"{"caSecret":"a"}"#] {
            assert!(read(nonsense).expect("stamped").is_err(), "{nonsense}");
        }
        assert!(OverTls::read(&[].into()).is_none());
    }
}
