//! `spec.primary.tls`: whom followers and operator trust, and as whom they come.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How https:// URLs are spoken to. The Secrets are of this namespace; what changes in them is taken up without a restart.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.caSecret) || has(self.clientSecret) || has(self.serverName)")
        .message("spec.primary.tls needs caSecret, clientSecret or serverName: name one, or remove tls to trust what the image trusts")
)]
pub struct PrimaryTls {
    /// Secret whose key `ca.crt` holds the certificate authorities of the primary, in PEM; unset: those that the image
    /// trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
        .message("spec.primary.tls.caSecret must be the name of a Secret: lower-case letters, digits, '-' and '.'"))]
    pub ca_secret: Option<String>,

    /// Secret of type kubernetes.io/tls whose keys `tls.crt` and `tls.key` are shown to the primary; unset: none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
        .message("spec.primary.tls.clientSecret must be the name of a Secret: lower-case letters, digits, '-' and '.'"))]
    pub client_secret: Option<String>,

    /// Name that the primary's certificate must be of; unset: the host of each URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$')")
        .message("spec.primary.tls.serverName must be a DNS name, such as primary.chain.svc"))]
    pub server_name: Option<String>,
}
