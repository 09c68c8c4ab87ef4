//! `uri`: Go's `url.ParseRequestURI`, which takes an absolute URL with any scheme, or a path that begins with `/`.

use std::net::Ipv6Addr;

pub(super) fn is_request_uri(text: &str) -> bool {
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) || text.is_empty() {
        return false;
    }
    if text == "*" {
        return true;
    }
    let Some((scheme, rest)) = split_scheme(text) else { return false };
    let rest = rest.split('?').next().unwrap_or_default();
    if !rest.starts_with('/') {
        // Without a slash after the scheme, the rest is opaque.
        return !scheme.is_empty();
    }
    let path = match rest.strip_prefix("//").filter(|_| !scheme.is_empty()) {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if !is_authority(scheme, authority) {
                return false;
            }
            path
        }
        None => rest,
    };
    escapes(path).all(|escape| escape.is_some())
}

/// The scheme, which may be absent, and what follows. `None` if the text begins with a colon.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if index > 0 => {}
            b':' if index == 0 => return None,
            b':' => return Some((&text[..index], &text[index + 1..])),
            _ => break,
        }
    }
    Some(("", text))
}

/// The bytes behind the percent escapes of a text. `None` for one that is malformed.
fn escapes(text: &str) -> impl Iterator<Item = Option<u8>> {
    text.split('%').skip(1).map(|after| {
        let digits = after.get(..2).filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        u8::from_str_radix(digits, 16).ok()
    })
}

fn is_authority(scheme: &str, text: &str) -> bool {
    let (user, host) = match text.rsplit_once('@') {
        Some((user, host)) => (user, host),
        None => ("", text),
    };
    let in_user = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    user.chars().all(in_user) && escapes(user).all(|escape| escape.is_some()) && is_host(scheme, host)
}

fn is_host(scheme: &str, text: &str) -> bool {
    match text.rfind('[') {
        Some(0) => {
            let Some(end) = text.rfind(']') else { return false };
            let (literal, port) = (&text[1..end], &text[end + 1..]);
            let (address, zone) = match literal.split_once("%25") {
                Some((address, zone)) => (address, Some(zone)),
                None => (literal, None),
            };
            let zone = zone.is_none_or(|zone| !zone.is_empty() && is_zone(zone));
            is_port(port) && zone && address.parse::<Ipv6Addr>().is_ok()
        }
        Some(_) => false,
        None => {
            // A list of hosts is common in the addresses of databases, so only http and https have one colon.
            let strict = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
            let colon = if strict { text.find(':') } else { text.rfind(':') };
            colon.is_none_or(|colon| is_port(&text[colon..])) && is_host_text(text)
        }
    }
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

fn in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte)
}

/// Escapes are for bytes beyond ASCII, and for `%` itself.
fn is_host_text(text: &str) -> bool {
    text.bytes().all(|byte| byte >= 0x80 || byte == b'%' || in_host(byte))
        && escapes(text).all(|escape| escape.is_some_and(|byte| byte >= 0x80 || byte == b'%'))
}

fn is_zone(text: &str) -> bool {
    text.bytes().all(|byte| byte >= 0x80 || byte == b'%' || in_host(byte))
        && escapes(text)
            .all(|escape| escape.is_some_and(|byte| byte == b' ' || byte == b'%' || in_host(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_those_of_the_server() {
        for good in [
            "https://a.example/x?y",
            "/path",
            "*",
            "mailto:a",
            "x:",
            "https://",
            "https:///a b",
            "https://a.example:",
            "https://u:p@a.example",
            "https://[::1]:80/",
            "https://[fe80::1%25en0]/",
            "https://ä.example/%41",
            "postgres://a:1,b:2/",
        ] {
            assert!(is_request_uri(good), "{good}");
        }
        for bad in [
            "",
            "a.example",
            "not a uri",
            ":x",
            "1x:",
            "https://a b",
            "https://a.example/%4",
            "https://a.example:x",
            "https://a:1:2/",
            "https://[::1",
            "https://[1.2.3.4]/",
            "https://a%41/",
            "a\u{7f}:",
        ] {
            assert!(!is_request_uri(bad), "{bad}");
        }
    }
}
