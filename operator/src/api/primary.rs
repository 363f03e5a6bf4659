//! `spec.primary`: which store is copied.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::PrimaryTls;

/// The store that writes the chain.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.fallbackUrls) || !self.fallbackUrls.exists(url, url == self.url)")
        .message("spec.primary.fallbackUrls must not repeat spec.primary.url: list other stores of the same chain"),
    validation = Rule::new("!has(oldSelf.genesis) || (has(self.genesis) && self.genesis == oldSelf.genesis)")
        .message("spec.primary.genesis is immutable once set, since the followers hold that chain: \
                  create another StoreReplicaSet for another chain"),
    validation = Rule::new("!has(self.tls) || self.url.startsWith('https://') || \
            (has(self.fallbackUrls) && self.fallbackUrls.exists(url, url.startsWith('https://')))")
        .message("spec.primary.tls has no effect on http:// URLs: write spec.primary.url as https://HOST:PORT, or remove tls")
)]
pub struct PrimarySpec {
    /// Where the primary serves, as `http://HOST:PORT` or `https://HOST:PORT`. Followers copy from here, and the operator
    /// asks it for its tip. A host without dots is a Service in the namespace of this object.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^https?://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\\\\[[0-9A-Fa-f:.]+\\\\]):[0-9]{1,5}/?$')")
        .message("spec.primary.url must be http://HOST:PORT or https://HOST:PORT, such as http://primary:57291"))]
    pub url: String,

    /// Other stores of the same chain that followers copy from while the primary does not answer, in this order;
    /// unset: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 512)))]
    #[x_kube(validation = Rule::new("self.all(url, url.matches('^https?://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\\\\[[0-9A-Fa-f:.]+\\\\]):[0-9]{1,5}/?$'))")
        .message("spec.primary.fallbackUrls must each be http://HOST:PORT or https://HOST:PORT, such as http://primary:57291"))]
    pub fallback_urls: Vec<String>,

    /// Whether the operator asks the primary for its tip each pollInterval, so that its tip counts in the fleet tip.
    #[serde(default = "default_observe")]
    pub observe: bool,

    /// The chain's genesis commitment, as `0x` and 64 lower-case hexadecimal digits; unset: the first one seen is
    /// pinned in the status. A store of another chain never serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 66))]
    #[x_kube(validation = Rule::new("self.matches('^0x[0-9a-f]{64}$')")
        .message("spec.primary.genesis must be 0x and 64 lower-case hexadecimal digits; leave it out to pin the first one seen"))]
    pub genesis: Option<String>,

    /// Requests per second that the whole fleet and the operator together may ask of the primary. Each follower gets an
    /// equal share of it.
    #[serde(default = "default_requests_per_second")]
    #[schemars(range(min = 1, max = 100_000))]
    pub requests_per_second: u32,

    /// How https:// URLs are spoken to; unset: with the certificate authorities that the image trusts, and without a
    /// certificate of one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<PrimaryTls>,
}

/// The primary is the best reference there is.
fn default_observe() -> bool {
    true
}

/// Three quarters of the 16 requests per second that a Miden node answers one client.
fn default_requests_per_second() -> u32 {
    12
}
