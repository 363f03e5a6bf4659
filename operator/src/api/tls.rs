//! `spec.primary.tls` and `spec.follower.tls`: who shows what to whom, and who is trusted.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How https:// URLs are spoken to. The Secrets are of this namespace; what changes in them is taken up without a
/// restart.
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

/// How followers serve over TLS, and how the operator asks them. The Secrets are of this namespace; what changes in
/// them is taken up without a restart. Pods are asked as the template they were made of says.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.clientCaSecret) || has(self.clientSecret)")
        .message("spec.follower.tls.clientCaSecret needs clientSecret: the operator too must show followers a certificate of \
                  these authorities")
)]
pub struct FollowerTls {
    /// Secret of type kubernetes.io/tls whose keys `tls.crt` and `tls.key` followers show to readers. Needed with
    /// protocol tidemark, and only there; unset: the image has its own, as spec.follower.args say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
        .message("spec.follower.tls.certSecret must be the name of a Secret: lower-case letters, digits, '-' and '.'"))]
    pub cert_secret: Option<String>,

    /// Secret whose key `ca.crt` holds certificate authorities, in PEM: only readers with a certificate of one of them
    /// are served. Only with protocol tidemark; unset: every reader is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
        .message("spec.follower.tls.clientCaSecret must be the name of a Secret: lower-case letters, digits, '-' and '.'"))]
    pub client_ca_secret: Option<String>,

    /// Secret whose key `ca.crt` holds the certificate authorities, in PEM, of one of which the operator must be shown
    /// a certificate. Needed with protocol rpc-status; unset: that key of certSecret, where cert-manager puts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
        .message("spec.follower.tls.caSecret must be the name of a Secret: lower-case letters, digits, '-' and '.'"))]
    pub ca_secret: Option<String>,

    /// Secret of type kubernetes.io/tls whose keys `tls.crt` and `tls.key` the operator shows to followers; unset: it
    /// shows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
        .message("spec.follower.tls.clientSecret must be the name of a Secret: lower-case letters, digits, '-' and '.'"))]
    pub client_secret: Option<String>,

    /// Name that the followers' certificate must be of, since pods are asked by address; unset: that of the read
    /// Service, NAME.NAMESPACE.svc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$')")
        .message("spec.follower.tls.serverName must be a DNS name, such as replicas.chain.svc"))]
    pub server_name: Option<String>,
}
