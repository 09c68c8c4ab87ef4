//! The `https://host` origin of an instance, parsed so strictly that no two parsers can disagree about the host.

use std::fmt;

use url::Host;

/// Why a text is not a usable origin. Does not repeat the text, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OriginError {
    /// Longer than 300 characters.
    #[error("the URL is longer than 300 characters")]
    TooLong,
    /// Whitespace, control or non-ASCII characters, which some parsers drop or transcribe.
    #[error("the URL contains whitespace, control or non-ASCII characters")]
    NotAscii,
    /// Not `https://`.
    #[error("the URL must begin with https://")]
    NotHttps,
    /// `user:password@host`.
    #[error("the URL must not contain a user name or password")]
    UserInfo,
    /// Anything after the host but a single `/`.
    #[error("the URL must end after the host name: no path, query or fragment")]
    NotAnOrigin,
    /// An IPv4 address in any notation, or an IPv6 address.
    #[error("the URL must name a host, not an IP address")]
    IpLiteral,
    /// `xn--…`, which can look like another name.
    #[error("internationalized host names (xn--…) are not accepted")]
    Punycode,
    /// `host.`: another spelling of the same host, which would escape comparisons by name.
    #[error("the host name must not end in a dot")]
    TrailingDot,
    /// No dot in the name, as in names of a local network.
    #[error("the host name must be fully qualified")]
    NotQualified,
    /// Not a host name.
    #[error("the URL does not contain a valid host name and port")]
    Malformed,
    /// A port other than 443, for a host that is not in [`Config::connect_to`](crate::Config::connect_to).
    #[error("only port 443 is accepted, except for hosts in connect_to")]
    PortNotAllowed,
    /// The host matches no entry of [`Config::allow_hosts`](crate::Config::allow_hosts).
    #[error("the host is not in allow_hosts")]
    HostNotAllowed,
}

/// A parsed `https://host[:port]`, in lower case. Parsing does not consult [`Config::allow_hosts`](crate::Config);
/// [`Client::admit`](crate::Client::admit) does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    host: String,
    port: u16,
}

impl Origin {
    /// Parses an origin. Stricter than a browser: anything that two parsers could read differently is refused, so this
    /// does not build on `url::Url`, which repairs such input.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        if text.len() > 300 {
            return Err(OriginError::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(OriginError::NotAscii);
        }
        let rest = match text.split_at_checked(8) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https://") => rest,
            _ => return Err(OriginError::NotHttps),
        };
        if rest.contains('@') {
            return Err(OriginError::UserInfo);
        }
        if rest.contains(['\\', '%']) {
            return Err(OriginError::Malformed);
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        if !matches!(tail, "" | "/") {
            return Err(OriginError::NotAnOrigin);
        }
        if authority.starts_with('[') {
            return Err(OriginError::IpLiteral);
        }
        let (host, port) = match authority.split_once(':') {
            None => (authority, 443),
            Some((host, port)) => (host, parse_port(port)?),
        };
        Ok(Self { host: parse_host(host)?, port })
    }

    /// The host name, lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 443 by default.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.host)?;
        if self.port == 443 { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl std::str::FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        Self::parse(text)
    }
}

fn parse_port(text: &str) -> Result<u16, OriginError> {
    // `u16::from_str` would accept a plus sign.
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(OriginError::Malformed);
    }
    match text.parse() {
        Ok(0) | Err(_) => Err(OriginError::Malformed),
        Ok(port) => Ok(port),
    }
}

/// A host name in lower case, or why it is refused.
pub(crate) fn parse_host(text: &str) -> Result<String, OriginError> {
    let lower = text.to_ascii_lowercase();
    if lower.ends_with('.') {
        return Err(OriginError::TrailingDot);
    }
    // Browsers and getaddrinfo read a name whose last label is a number as an address: 2130706433, 0x7f.1,
    // 017700000001. The `url` crate parses or rejects those; both count as an address here.
    let numeric_end = lower
        .rsplit('.')
        .next()
        .is_some_and(|l| l.starts_with("0x") || (!l.is_empty() && l.bytes().all(|b| b.is_ascii_digit())));
    match Host::parse(&lower) {
        Ok(Host::Domain(_)) if !numeric_end => {}
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) => return Err(OriginError::IpLiteral),
        _ if numeric_end => return Err(OriginError::IpLiteral),
        _ if lower.split('.').any(|l| l.starts_with("xn--")) => return Err(OriginError::Punycode),
        _ => return Err(OriginError::Malformed),
    }
    if lower.len() > 253 {
        return Err(OriginError::Malformed);
    }
    for label in lower.split('.') {
        if label.starts_with("xn--") {
            return Err(OriginError::Punycode);
        }
        let valid = (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-');
        if !valid {
            return Err(OriginError::Malformed);
        }
    }
    if lower.contains('.') { Ok(lower) } else { Err(OriginError::NotQualified) }
}
