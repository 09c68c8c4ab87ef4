//! The formats that the API server checks, as `strfmt` of kube-openapi reads them. It ignores all others.

mod addresses;
mod durations;
mod times;
mod uri;

use std::sync::LazyLock;

use regex::Regex;

pub(crate) use durations::nanoseconds as duration_nanoseconds;

use crate::schema::keywords::JsonType;

/// Formats that the server checks and nothing here does. A CRD that uses one is refused: accepting every value would be
/// a lie.
const NOT_IMPLEMENTED: [&str; 8] =
    ["bsonobjectid", "creditcard", "email", "isbn", "isbn10", "isbn13", "rgbcolor", "ssn"];

/// A supported `format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Int32,
    Int64,
    Float,
    Double,
    DateTime,
    Date,
    Duration,
    Byte,
    Uri,
    Uuid,
    Uuid3,
    Uuid4,
    Uuid5,
    Hostname,
    Ipv4,
    Ipv6,
    Cidr,
    Mac,
    HexColor,
    Password,
    ShortName,
    LongName,
}

#[allow(clippy::expect_used, reason = "the patterns below are constant, and every one is used by a test")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern is valid")
}

static UUID: LazyLock<Regex> =
    LazyLock::new(|| pattern("(?i-u)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$"));
static UUID3: LazyLock<Regex> =
    LazyLock::new(|| pattern("(?i-u)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$"));
static UUID4: LazyLock<Regex> = LazyLock::new(|| {
    pattern("(?i-u)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$")
});
static UUID5: LazyLock<Regex> = LazyLock::new(|| {
    pattern("(?i-u)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$")
});
/// Bits that padding leaves over need not be zero, and no bytes at all are no base64.
static BYTE: LazyLock<Regex> = LazyLock::new(|| {
    pattern("^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$")
});
static HEX_COLOR: LazyLock<Regex> = LazyLock::new(|| pattern("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"));

impl Format {
    /// Whether the server checks this format of strings and this implementation cannot.
    pub(crate) fn is_missing(name: &str, kind: Option<JsonType>) -> bool {
        matches!(kind, None | Some(JsonType::String))
            && NOT_IMPLEMENTED.contains(&name.replace('-', "").as_str())
    }

    /// The format, if the server checks it for this type.
    pub(crate) fn supported(name: &str, kind: Option<JsonType>, int_or_string: bool) -> Option<Self> {
        let normal = name.replace('-', "");
        Some(match (kind, normal.as_str()) {
            (Some(JsonType::Integer), "int32") => Self::Int32,
            (Some(JsonType::Integer), "int64") => Self::Int64,
            (Some(JsonType::Number), "float") => Self::Float,
            (Some(JsonType::Number), "double") => Self::Double,
            (None | Some(JsonType::String), _) if !int_or_string => match normal.as_str() {
                "datetime" => Self::DateTime,
                "date" => Self::Date,
                "duration" => Self::Duration,
                "byte" => Self::Byte,
                "uri" => Self::Uri,
                "uuid" => Self::Uuid,
                "uuid3" => Self::Uuid3,
                "uuid4" => Self::Uuid4,
                "uuid5" => Self::Uuid5,
                "hostname" => Self::Hostname,
                "ipv4" => Self::Ipv4,
                "ipv6" => Self::Ipv6,
                "cidr" => Self::Cidr,
                "mac" => Self::Mac,
                "hexcolor" => Self::HexColor,
                "password" => Self::Password,
                "k8sshortname" => Self::ShortName,
                "k8slongname" => Self::LongName,
                _ => return None,
            },
            _ => return None,
        })
    }

    /// The name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float => "float",
            Self::Double => "double",
            Self::DateTime => "date-time",
            Self::Date => "date",
            Self::Duration => "duration",
            Self::Byte => "byte",
            Self::Uri => "uri",
            Self::Uuid => "uuid",
            Self::Uuid3 => "uuid3",
            Self::Uuid4 => "uuid4",
            Self::Uuid5 => "uuid5",
            Self::Hostname => "hostname",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Cidr => "cidr",
            Self::Mac => "mac",
            Self::HexColor => "hexcolor",
            Self::Password => "password",
            Self::ShortName => "k8s-short-name",
            Self::LongName => "k8s-long-name",
        }
    }

    /// Whether a string has this format. Formats of numbers accept every string: the type check covers them.
    pub(crate) fn accepts(self, text: &str) -> bool {
        match self {
            Self::Int32 | Self::Int64 | Self::Float | Self::Double | Self::Password => true,
            Self::DateTime => times::is_date_time(text),
            Self::Date => times::is_date(text),
            Self::Duration => duration_nanoseconds(text).is_some(),
            Self::Byte => BYTE.is_match(text),
            Self::Uri => uri::is_request_uri(text),
            Self::Uuid => UUID.is_match(text),
            Self::Uuid3 => UUID3.is_match(text),
            Self::Uuid4 => UUID4.is_match(text),
            Self::Uuid5 => UUID5.is_match(text),
            Self::Hostname => addresses::is_hostname(text),
            Self::Ipv4 => addresses::is_ipv4(text),
            Self::Ipv6 => addresses::is_ipv6(text),
            Self::Cidr => addresses::is_cidr(text),
            Self::Mac => addresses::is_mac(text),
            Self::HexColor => HEX_COLOR.is_match(text),
            Self::ShortName => crate::names::is_label(text),
            Self::LongName => crate::names::is_subdomain(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_accept_what_the_server_accepts() {
        for (format, good, bad) in [
            (Format::Uuid, "5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11", "5f0c9a3e"),
            (Format::Uuid, "5F0C9A3E6D2B4C579F0E0D9D5A1B7C11", "{5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11}"),
            (
                Format::Uuid,
                "5f0c9a3e-6d2b4c579f0e0d9d5a1b7c11",
                "urn:uuid:5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11",
            ),
            (Format::Uuid3, "5f0c9a3e-6d2b-3c57-1f0e-0d9d5a1b7c11", "5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11"),
            (Format::Uuid4, "5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11", "5f0c9a3e-6d2b-4c57-1f0e-0d9d5a1b7c11"),
            (Format::Uuid5, "5f0c9a3e-6d2b-5c57-9f0e-0d9d5a1b7c11", "5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11"),
            (Format::Byte, "aGVsbG8=", "hel*lo"),
            (Format::Byte, "aGVsbG9=", ""),
            (Format::HexColor, "#ffA", "#ffff"),
            (Format::ShortName, "a-b", "a.b"),
            (Format::LongName, "a.b", "A.b"),
        ] {
            assert!(format.accepts(good), "{good} is a {}", format.name());
            assert!(!format.accepts(bad), "{bad} is no {}", format.name());
        }
    }
}
