//! Formats of network addresses and names.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use regex::Regex;

/// One to three digits or more, with any zeros before them: Kubernetes still takes `010.0.0.1`.
fn sloppy_ipv4(text: &str) -> bool {
    let octet = |part: &str| {
        let digits = part.trim_start_matches('0');
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_digit())
            && (digits.is_empty() || digits.parse::<u8>().is_ok())
    };
    text.split('.').count() == 4 && text.split('.').all(octet)
}

/// As [`sloppy_ipv4`], also in the last four bytes.
fn sloppy_ipv6(text: &str) -> bool {
    match text.rsplit_once(':').filter(|(_, last)| last.contains('.')) {
        Some((before, last)) => {
            sloppy_ipv4(last) && format!("{before}:{}", Ipv4Addr::UNSPECIFIED).parse::<Ipv6Addr>().is_ok()
        }
        None => text.parse::<Ipv6Addr>().is_ok(),
    }
}

/// `netutils.ParseIPSloppy`, with a dot.
pub(super) fn is_ipv4(text: &str) -> bool {
    match text.find(['.', ':']) {
        Some(first) if text[first..].starts_with('.') => sloppy_ipv4(text),
        Some(_) => text.contains('.') && sloppy_ipv6(text),
        None => false,
    }
}

/// Go's `net.ParseIP`, with a colon.
pub(super) fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

/// `netutils.ParseCIDRSloppy`.
pub(super) fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let limit = match (sloppy_ipv4(address), sloppy_ipv6(address)) {
        (true, _) => 32,
        (_, true) => 128,
        _ => return false,
    };
    length.bytes().all(|b| b.is_ascii_digit()) && length.parse::<u32>().is_ok_and(|bits| bits <= limit)
}

/// Go's `net.ParseMAC`: bytes with colons or hyphens, pairs of bytes with dots, or digits alone.
pub(super) fn is_mac(text: &str) -> bool {
    static MAC: LazyLock<Regex> = LazyLock::new(|| {
        let bytes = |count: usize| {
            let (rest, pairs) = (count - 1, count / 2 - 1);
            let x = "[0-9a-fA-F]";
            format!(
                "{x}{{2}}(:{x}{{2}}){{{rest}}}|{x}{{2}}(-{x}{{2}}){{{rest}}}|{x}{{4}}(\\.{x}{{4}}){{{pairs}}}|({x}{{2}}){{{count}}}"
            )
        };
        super::pattern(&format!("^({}|{}|{})$", bytes(6), bytes(8), bytes(20)))
    });
    MAC.is_match(text)
}

/// `strfmt.IsHostname`.
pub(super) fn is_hostname(text: &str) -> bool {
    static SYMBOLS: LazyLock<Regex> = LazyLock::new(|| super::pattern(r"^[a-zA-Z0-9\p{S}\p{L}]+$"));
    static TOP: LazyLock<Regex> = LazyLock::new(|| super::pattern(r"^[a-zA-Z\p{L}]+$"));
    let plain = |part: &str| SYMBOLS.is_match(part);
    let labels: Vec<&str> = text.split('.').collect();
    if text.len() > 255 || labels.iter().any(|label| label.len() > 63) {
        return false;
    }
    let [before @ .., top] = labels.as_slice() else { return false };
    if before.is_empty() {
        // One label may have a single hyphen, after its first character.
        let mut characters = top.chars();
        let first = characters.next().is_some_and(|first| plain(first.encode_utf8(&mut [0; 4])));
        let rest = characters.as_str();
        let rest = rest.strip_prefix('-').unwrap_or(rest);
        return first && (rest.is_empty() || plain(rest));
    }
    let label =
        |label: &&str| !label.starts_with('-') && !label.ends_with('-') && plain(&label.replace('-', ""));
    before.iter().all(label) && top.chars().count() >= 2 && TOP.is_match(top)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_server() {
        type Check = fn(&str) -> bool;
        let table: [(Check, &[&str], &[&str]); 5] = [
            (
                is_ipv4,
                &["10.0.0.1", "010.0.0.1", "::ffff:1.2.3.4"],
                &["10.0.0", "256.0.0.1", "::1", "1.2.3.4.5", ""],
            ),
            (
                is_ipv6,
                &["::1", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4"],
                &["1.2.3.4", "::g", "::ffff:01.2.3.4", ""],
            ),
            (
                is_cidr,
                &["10.0.0.0/8", "10.0.0.1/032", "::/128"],
                &["10.0.0.0/33", "10.0.0.0", "::/129", "::/+1", "::/"],
            ),
            (
                is_mac,
                &["aa:bb:cc:dd:ee:ff", "AA-bb-cc-dd-ee-ff-00-11", "0123.4567.89ab", "0123456789ab"],
                &["aa:bb", "aa:bb:cc-dd:ee:ff", "0123.4567.89a", "0123456789a"],
            ),
            (
                is_hostname,
                &["a", "a-", "a-b", "1a.example", "a-b.example", "😀.example"],
                &["", "-a", "a-b-c", "a.b", "a_b.example", "a.example.", "a.e1"],
            ),
        ];
        for (check, good, bad) in table {
            for text in good {
                assert!(check(text), "{text}");
            }
            for text in bad {
                assert!(!check(text), "{text}");
            }
        }
    }
}
