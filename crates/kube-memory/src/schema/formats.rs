//! The formats that the API server checks. It ignores all others.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;

use crate::schema::keywords::JsonType;

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
    Email,
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

impl Format {
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
                "uuid" | "uuid3" | "uuid4" | "uuid5" => Self::Uuid,
                "email" => Self::Email,
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
            Self::Email => "email",
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
            Self::DateTime => date_time(text),
            Self::Date => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
            Self::Duration => duration_nanoseconds(text).is_some(),
            Self::Byte => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
            Self::Uri => request_uri(text),
            Self::Uuid => uuid(text),
            Self::Email => text.split_once('@').is_some_and(|(name, host)| {
                !name.is_empty() && !host.is_empty() && !text.contains(char::is_whitespace)
            }),
            Self::Hostname => hostname(text),
            Self::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Self::Cidr => cidr(text),
            Self::Mac => mac(text),
            Self::HexColor => {
                let digits = text.strip_prefix('#').unwrap_or(text);
                matches!(digits.len(), 3 | 6) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
            }
            Self::ShortName => crate::names::is_label(text),
            Self::LongName => crate::names::is_subdomain(text),
        }
    }
}

/// RFC 3339 with a zone, as `strfmt.DateTime` parses it.
pub(crate) fn date_time(text: &str) -> bool {
    let separator = text.as_bytes().get(10);
    matches!(separator, Some(b'T' | b't')) && text.parse::<jiff::Timestamp>().is_ok()
}

/// A duration in nanoseconds, as Go's `time.ParseDuration` (`1h30m`, `-2.5s`) and `strfmt.Duration` (`1 day`) parse it.
pub(crate) fn duration_nanoseconds(text: &str) -> Option<i64> {
    if let Some((number, unit)) = text.split_once(' ') {
        let unit = match unit.trim_start().trim_end_matches('s') {
            "ns" | "nano" | "nanosecond" => "ns",
            "u" | "us" | "micro" | "microsecond" => "us",
            "m" | "milli" | "millisecond" => "ms",
            "second" | "sec" => "s",
            "minute" | "min" => "m",
            "hour" | "hr" => "h",
            "day" => return number.parse::<i64>().ok()?.checked_mul(86_400_000_000_000),
            "week" | "wk" => return number.parse::<i64>().ok()?.checked_mul(604_800_000_000_000),
            _ => return None,
        };
        return duration_nanoseconds(&format!("{number}{unit}"));
    }
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 6e10,
            "h" => 3.6e12,
            _ => return None,
        };
        rest = &rest[end..];
        #[allow(clippy::cast_possible_truncation, reason = "beyond i64 the addition saturates into None")]
        let part = (number * unit) as i64;
        total = total.checked_add(part)?;
    }
    Some(if negative { -total } else { total })
}

/// Go's `url.ParseRequestURI`: an absolute URL or an absolute path.
fn request_uri(text: &str) -> bool {
    if text.contains(|c: char| c.is_control() || c == ' ') {
        return false;
    }
    text.starts_with('/') || url::Url::parse(text).is_ok()
}

fn uuid(text: &str) -> bool {
    let bare: String = text.chars().filter(|c| *c != '-').collect();
    bare.len() == 32
        && bare.bytes().all(|digit| digit.is_ascii_hexdigit())
        && (text.len() == 32 || uuid::Uuid::try_parse(text).is_ok())
}

fn hostname(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && text.trim_end_matches('.').split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        })
}

fn cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let limit = match (address.parse::<Ipv4Addr>(), address.parse::<Ipv6Addr>()) {
        (Ok(_), _) => 32,
        (_, Ok(_)) => 128,
        _ => return false,
    };
    length.parse::<u8>().is_ok_and(|bits| bits <= limit)
}

fn mac(text: &str) -> bool {
    let separator = if text.contains('-') { '-' } else { ':' };
    let parts: Vec<&str> = text.split(separator).collect();
    matches!(parts.len(), 6 | 8 | 20)
        && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_accept_what_the_server_accepts() {
        for (format, good, bad) in [
            (Format::DateTime, "2026-01-01T00:00:00Z", "2026-01-01"),
            (Format::DateTime, "2026-01-01T00:00:00.5+02:00", "yesterday"),
            (Format::Uri, "https://a.example/x?y", "not a uri"),
            (Format::Uri, "/path", "a.example"),
            (Format::Duration, "1h30m", "1x"),
            (Format::Duration, "-2.5s", "5"),
            (Format::Uuid, "5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11", "5f0c9a3e"),
            (Format::Cidr, "10.0.0.0/8", "10.0.0.0/33"),
            (Format::Byte, "aGVsbG8=", "hel*lo"),
            (Format::Date, "2026-02-28", "2026-02-30"),
            (Format::Mac, "aa:bb:cc:dd:ee:ff", "aa:bb"),
        ] {
            assert!(format.accepts(good), "{good} is a {}", format.name());
            assert!(!format.accepts(bad), "{bad} is no {}", format.name());
        }
    }
}
