//! Asks every source for its genesis and tip.

use std::{net::SocketAddr, sync::Arc};

use futures::future::join_all;
use tokio::net::lookup_host;
use url::Url;

use super::RestoreSource;
use crate::{
    size::ByteSize,
    tls::ClientTls,
    upstream::{Connector, GrpcConnector, Upstream as _, UpstreamError, UpstreamStatus},
};

/// One connection to a store.
type Store = <GrpcConnector as Connector>::Upstream;

/// A source, and what it answered.
pub(super) struct Surveyed<U = Store> {
    pub(super) name: String,
    pub(super) answer: Result<(U, UpstreamStatus), UpstreamError>,
}

/// The stores to restore from.
pub(super) struct Sources {
    urls: Vec<Url>,
    max_block_size: ByteSize,
    tls: Option<Arc<ClientTls>>,
}

impl Sources {
    pub(super) fn new(
        sources: &[RestoreSource],
        max_block_size: ByteSize,
        tls: Option<Arc<ClientTls>>,
    ) -> Self {
        let urls = sources.iter().filter_map(RestoreSource::url).cloned().collect();
        Self { urls, max_block_size, tls }
    }

    /// Asks all of them, each on a connection of its own that later questions go to.
    pub(super) async fn survey(&self) -> Vec<Surveyed> {
        let resolved = join_all(self.urls.iter().map(resolve)).await;
        let asked = resolved.into_iter().flatten().map(|(name, url)| async move {
            let answer = match url {
                Ok(url) => self.ask(&url).await,
                Err(error) => Err(error),
            };
            Surveyed { name, answer }
        });
        join_all(asked).await
    }

    async fn ask(&self, url: &Url) -> Result<(Store, UpstreamStatus), UpstreamError> {
        let connector = GrpcConnector::new(url, self.max_block_size).with_tls(self.tls.clone());
        let upstream = connector.connect().await?;
        let status = upstream.status().await?;
        Ok((upstream, status))
    }
}

/// One URL for each address that the name in `url` has, so that a headless Service is as many sources as it has pods.
/// A certificate is of the name, so that an https URL stays as it is.
async fn resolve(url: &Url) -> Vec<(String, Result<Url, UpstreamError>)> {
    let whole = || vec![(name(url), Ok(url.clone()))];
    let Some(url::Host::Domain(host)) = url.host().filter(|_| url.scheme() == "http") else { return whole() };
    let found = lookup_host((host, url.port().unwrap_or(80))).await;
    let addresses = match found {
        Ok(addresses) => one_family(addresses.collect()),
        Err(error) => {
            let error = UpstreamError::Unreachable(format!("its name does not resolve: {error}"));
            return vec![(name(url), Err(error))];
        }
    };
    let at = |address: SocketAddr| {
        let mut url = url.clone();
        url.set_ip_host(address.ip()).ok().map(|()| (name(&url), Ok(url)))
    };
    addresses.into_iter().filter_map(at).collect()
}

fn name(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// A store may have an address of each family, and must not count twice: IPv4 where there is any.
fn one_family(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if addresses.iter().any(SocketAddr::is_ipv4) {
        addresses.retain(SocketAddr::is_ipv4);
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[tokio::test]
    async fn an_address_is_one_source_and_a_name_as_many_as_it_has() {
        let sources = resolve(&"http://127.0.0.1:7".parse().expect("a URL")).await;
        assert_eq!(sources[0].0, "http://127.0.0.1:7");
        let local = resolve(&"http://localhost:7".parse().expect("a URL")).await;
        assert_eq!(local.len(), 1, "{local:?}");
        assert!(local[0].1.as_ref().is_ok_and(|url| url.host_str() == Some("127.0.0.1")), "{local:?}");
    }

    #[test]
    fn a_store_of_two_families_counts_once() {
        let both = ["10.0.0.2:1", "[fd00::2]:1", "10.0.0.1:1", "10.0.0.2:1"];
        let both = both.map(|text| text.parse().expect("an address"));
        assert_eq!(
            one_family(both.to_vec()),
            ["10.0.0.1:1", "10.0.0.2:1"].map(|text| text.parse().expect("an address"))
        );
        let six: IpAddr = "fd00::2".parse().expect("an address");
        assert_eq!(one_family(vec![(six, 1).into()]).len(), 1);
    }
}
