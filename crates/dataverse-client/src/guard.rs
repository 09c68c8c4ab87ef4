//! Which hosts and addresses may be connected to: the allow-list, and the public internet only (SSRF protection).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::cloud::is_cloud_service;
use crate::config::{Config, ConfigError};
use crate::origin::{Origin, OriginError, parse_host};

/// One entry of `allow_hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Suffix {
    /// Lower case, without a leading dot.
    name: String,
    /// Whether the name itself matches, not only hosts below it.
    itself: bool,
}

impl Suffix {
    fn parse(text: &str) -> Result<Self, OriginError> {
        let (name, itself) = match text.strip_prefix('.') {
            Some(name) => (name, false),
            None => (text, true),
        };
        Ok(Self { name: parse_host(name)?, itself })
    }

    /// Matches whole labels only: `evil-dynamics.com` is not below `dynamics.com`.
    fn matches(&self, host: &str) -> bool {
        match host.strip_suffix(self.name.as_str()) {
            Some("") => self.itself,
            Some(front) => front.ends_with('.'),
            None => false,
        }
    }
}

/// The hosts that may be connected to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    suffixes: Vec<Suffix>,
    connect_to: HashMap<String, SocketAddr>,
}

impl Guard {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        Ok(Self {
            suffixes: config
                .allow_hosts
                .iter()
                .map(|entry| {
                    Suffix::parse(entry)
                        .map_err(|reason| ConfigError::AllowHosts { entry: entry.clone(), reason })
                })
                .collect::<Result<_, ConfigError>>()?,
            connect_to: config
                .connect_to
                .iter()
                .map(|(entry, to)| {
                    let host = parse_host(entry)
                        .map_err(|reason| ConfigError::ConnectTo { entry: entry.clone(), reason })?;
                    Ok((host, *to))
                })
                .collect::<Result<_, ConfigError>>()?,
        })
    }

    /// Checks the host and port of an origin. The cloud's own services are always allowed.
    pub(crate) fn admit(&self, origin: &Origin) -> Result<(), OriginError> {
        if is_cloud_service(origin.host()) && origin.port() == 443 {
            return Ok(());
        }
        if !self.suffixes.iter().any(|s| s.matches(origin.host())) {
            return Err(OriginError::HostNotAllowed);
        }
        if origin.port() != 443 && self.pinned(origin.host()).is_none() {
            return Err(OriginError::PortNotAllowed);
        }
        Ok(())
    }

    /// The address of this host in `connect_to`, which is used without a check, loopback included.
    pub(crate) fn pinned(&self, host: &str) -> Option<SocketAddr> {
        self.connect_to.get(host).copied()
    }
}

/// Whether an address is on the public internet. False for loopback, private, link-local (where clouds serve
/// credentials), shared (CGNAT), unique-local, multicast, documentation and reserved addresses, for tunnels that embed
/// an address (6to4, Teredo), and for IPv4-mapped IPv6.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, d] = ip.octets();
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 224
        // Azure's platform endpoint looks public and serves machine configuration.
        || [a, b, c, d] == [168, 63, 129, 16])
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    // NAT64, which IPv6-only networks use to reach the IPv4 internet: check the embedded address.
    if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        let inside = u32::from(segments[6]) << 16 | u32::from(segments[7]);
        return is_public_v4(Ipv4Addr::from_bits(inside));
    }
    let [first, second, ..] = segments;
    let global = first & 0xe000 == 0x2000;
    let special = (first == 0x2001 && (second < 0x0200 || second == 0x0db8))
        || first == 0x2002
        || (first == 0x3fff && second < 0x1000);
    global && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_pass() {
        for refused in [
            "127.0.0.1",
            "127.8.9.10",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.254",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::8.8.8.8",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "3fff::1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::808:808",
            "100::1",
            "5f00::1",
        ] {
            assert!(!is_public(refused.parse().unwrap()), "{refused} must be refused");
        }
        for passed in
            ["20.190.160.1", "8.8.8.8", "100.63.255.255", "172.32.0.1", "2603:1030::1", "64:ff9b::808:808"]
        {
            assert!(is_public(passed.parse().unwrap()), "{passed} must pass");
        }
    }

    #[test]
    fn suffixes_match_whole_labels() {
        let below = Suffix::parse(".dynamics.com").unwrap();
        assert!(below.matches("contoso.crm.dynamics.com"));
        assert!(!below.matches("dynamics.com"));
        assert!(!below.matches("evil-dynamics.com"));
        assert!(!below.matches("dynamics.com.evil.net"));
        let with_itself = Suffix::parse("crm.example.org").unwrap();
        assert!(with_itself.matches("crm.example.org"));
        assert!(with_itself.matches("a.crm.example.org"));
        assert!(!with_itself.matches("xcrm.example.org"));
        for empty in ["", ".", "..", "com", ".com"] {
            assert!(Suffix::parse(empty).is_err(), "{empty:?} would allow too much");
        }
    }
}
