//! At which primaries the operator may be aimed. Pure.
//!
//! Whoever may write a StoreReplicaSet chooses what the operator connects to, so the operator's own administrator has
//! the last word: `--allowed-primary`, and never anything that is local to the operator's node.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use url::Host;

/// Which hosts may be named as primaries.
#[derive(Clone, Debug, Default)]
pub struct Aim {
    /// Accept loopback and link-local addresses.
    pub allow_loopback: bool,
    /// The hosts that may be named; none: all.
    pub allowed: Arc<[HostPattern]>,
}

/// Hosts, as an operator's administrator writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This name, and no other.
    Name(String),
    /// All names that end with this, which begins with a dot.
    Suffix(String),
    /// All addresses whose first bits are these, such as 10.0.0.0/8.
    Range(IpAddr, u8),
}

/// Why a text is no pattern of hosts.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} names no hosts: write a name such as primary.chain.svc, *.chain.svc for all names below one, or an address \
     range such as 10.0.0.0/8"
)]
pub struct BadPattern(String);

impl Aim {
    /// Why the operator may not be aimed at what pods of `namespace` reach as `url`; None when it may.
    pub fn refusal(&self, url: &str, namespace: Option<&str>) -> Option<String> {
        let Ok(url) = url::Url::parse(url) else { return Some("is no URL".to_owned()) };
        if url.port_or_known_default().is_none_or(|port| port == 0) {
            return Some("has no port that can be connected to".to_owned());
        }
        let Some(host) = url.host() else { return Some("names no host".to_owned()) };
        if !self.allow_loopback && is_local_host(&host) {
            return Some(
                "is a loopback or link-local address, which names each pod's or node's own self".to_owned(),
            );
        }
        (!self.allows(&host, namespace)).then(|| {
            "is not among the hosts that the operator's --allowed-primary permits, which its administrator may extend"
                .to_owned()
        })
    }

    fn allows(&self, host: &Host<&str>, namespace: Option<&str>) -> bool {
        let host = match host {
            Host::Domain(name) => Host::Domain(qualified(name, namespace)),
            Host::Ipv4(address) => Host::Ipv4(*address),
            Host::Ipv6(address) => Host::Ipv6(*address),
        };
        self.allowed.is_empty() || self.allowed.iter().any(|pattern| pattern.matches(&host))
    }
}

/// A host without dots is a Service in the namespace of whoever names it.
fn qualified(name: &str, namespace: Option<&str>) -> String {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    match namespace.filter(|_| !name.contains('.')) {
        Some(namespace) => format!("{name}.{namespace}.svc"),
        None => name,
    }
}

impl HostPattern {
    fn matches(&self, host: &Host<String>) -> bool {
        match (self, host) {
            (Self::Name(name), Host::Domain(host)) => name == host,
            (Self::Suffix(suffix), Host::Domain(host)) => host.ends_with(suffix),
            (Self::Range(network, bits), Host::Ipv4(address)) => within(*network, *bits, (*address).into()),
            (Self::Range(network, bits), Host::Ipv6(address)) => within(*network, *bits, (*address).into()),
            _ => false,
        }
    }
}

/// Whether the first `bits` bits of both are the same; an address of IPv4 is the same however it is written.
fn within(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let differing = match (network, address.to_canonical()) {
        (IpAddr::V4(network), IpAddr::V4(address)) => (network.to_bits() ^ address.to_bits()).leading_zeros(),
        (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits() ^ address.to_bits()).leading_zeros(),
        _ => return false,
    };
    differing >= u32::from(bits)
}

impl FromStr for HostPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let bad = || BadPattern(text.to_owned());
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        if let Ok(address) = address.parse::<IpAddr>() {
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Ok(most), str::parse).map_err(|_| bad())?;
            return if bits <= most { Ok(Self::Range(address, bits)) } else { Err(bad()) };
        }
        let name = text.trim_end_matches('.').to_ascii_lowercase();
        let (suffix, name) = name.strip_prefix("*.").map_or((false, name.as_str()), |name| (true, name));
        let whole = |label: &str| {
            !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        match name.split('.').all(whole) {
            false => Err(bad()),
            true if suffix => Ok(Self::Suffix(format!(".{name}"))),
            true => Ok(Self::Name(name.to_owned())),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => out.write_str(name),
            Self::Suffix(suffix) => write!(out, "*{suffix}"),
            Self::Range(network, bits) => write!(out, "{network}/{bits}"),
        }
    }
}

fn is_local_host(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        Host::Ipv4(address) => is_local((*address).into()),
        Host::Ipv6(address) => is_local((*address).into()),
    }
}

/// Whether an address names whoever connects to it, or what is on the same link: to be asked of each address that a
/// host name resolves to, too.
pub fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Aim, HostPattern};

    fn aim(allowed: &[&str]) -> Aim {
        let allowed = allowed.iter().map(|text| text.parse().expect(text)).collect();
        Aim { allow_loopback: false, allowed }
    }

    #[test]
    fn local_addresses_in_every_spelling_are_refused() {
        let local = [
            "http://127.0.0.1:1",
            "http://127.9.9.9:1",
            "http://2130706433:1",
            "http://0x7f.1:1",
            "http://[::1]:1",
            "http://[::ffff:127.0.0.1]:1",
            "http://0.0.0.0:1",
            "http://[::]:1",
            "http://169.254.169.254:80",
            "http://[fe80::1]:1",
            "http://localhost:1",
            "https://LOCALHOST.:1",
            "http://a.localhost:1",
        ];
        let strict = aim(&[]);
        let lenient = Aim { allow_loopback: true, ..Aim::default() };
        for url in local {
            assert!(strict.refusal(url, None).is_some(), "{url}");
            assert!(lenient.refusal(url, None).is_none(), "{url}");
        }
        for url in
            ["http://primary:57291", "http://10.0.0.1:1", "http://[fd00::1]:1", "http://localhost.example:1"]
        {
            assert!(strict.refusal(url, None).is_none(), "{url}");
        }
        for url in ["http://:1", "http://primary:99999", "http://primary:0"] {
            assert!(lenient.refusal(url, None).is_some(), "{url}");
        }
    }

    fn check(pattern: &str, url: &str, allowed: bool) {
        let refusal = aim(&[pattern]).refusal(url, Some("chain"));
        assert_eq!(refusal.is_none(), allowed, "{pattern} {url}: {refusal:?}");
    }

    #[test]
    fn a_name_is_allowed_as_the_pods_of_its_set_understand_it() {
        check("*.chain.svc", "http://primary:1", true);
        check("*.chain.svc", "http://primary.chain.svc.:1", true);
        check("*.chain.svc", "http://PRIMARY.Chain.svc:1", true);
        check("*.chain.svc", "http://chain.svc:1", false);
        check("*.chain.svc", "http://evilchain.svc:1", false);
        check("*.chain.svc", "http://primary.chain.svc.example:1", false);
        check("*.other.svc", "http://primary:1", false);
        check("primary.chain.svc", "http://primary:1", true);
        check("primary.chain.svc", "http://a.primary.chain.svc:1", false);
        check("*.chain.svc", "http://10.0.0.1:1", false);
    }

    #[test]
    fn an_address_is_allowed_within_a_range_and_never_by_a_name() {
        check("10.1.0.0/16", "http://10.1.255.255:1", true);
        check("10.1.0.0/16", "http://10.2.0.0:1", false);
        check("10.1.0.0/16", "http://[::ffff:10.1.0.1]:1", true);
        check("10.1.0.7", "http://10.1.0.7:1", true);
        check("10.1.0.7", "http://10.1.0.6:1", false);
        check("0.0.0.0/0", "http://10.1.0.6:1", true);
        check("0.0.0.0/0", "http://[fd00::1]:1", false);
        check("fd00::/8", "http://[fd12::1]:1", true);
        check("fd00::/8", "http://[fe12::1]:1", false);
        check("0.0.0.0/0", "http://primary:1", false);
        check("0.0.0.0/0", "http://127.0.0.1:1", false);
    }

    #[test]
    fn what_names_no_hosts_is_no_pattern() {
        for text in [
            "",
            "*",
            "*.",
            "a b",
            "http://primary",
            "primary:57291",
            "10.0.0.0/33",
            "10.0.0.0/x",
            "a..b",
            "a/8",
            "a.*.b",
        ] {
            assert!(text.parse::<HostPattern>().is_err(), "{text:?}");
        }
        for text in ["primary", "*.chain.svc", "10.0.0.0/8", "fd00::/8"] {
            assert_eq!(text.parse::<HostPattern>().expect(text).to_string(), text);
        }
    }
}
