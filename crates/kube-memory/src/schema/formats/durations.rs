//! `duration`: what Go's `time.ParseDuration` takes (`1h30m`, `-2.5s`), and otherwise the sum of all numbers that a unit
//! follows anywhere in the text (`1 day and 2 hours`, `PT5M`).

use std::sync::LazyLock;

use regex::Regex;

/// A duration in nanoseconds. `None` if the server takes the text for none.
pub(crate) fn nanoseconds(text: &str) -> Option<i64> {
    go(text).or_else(|| scala(text))
}

/// The length of the longest negative duration.
const LIMIT: u64 = 1 << 63;

fn go(text: &str) -> Option<i64> {
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
    let mut total = 0_u64;
    while !rest.is_empty() {
        let (whole, after) = leading_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => leading_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let unit: u64 = match &after[..end] {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        rest = &after[end..];
        let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
        let part = whole.checked_mul(unit)?.checked_add(part_of(fraction, unit))?;
        total = total.checked_add(part).filter(|total| part <= LIMIT && *total <= LIMIT)?;
    }
    if negative { 0_i64.checked_sub_unsigned(total) } else { i64::try_from(total).ok() }
}

fn leading_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// A fraction of a unit. Go stops at the digit that no longer fits, and so does this.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as in Go; the result is less than the unit"
)]
fn part_of(fraction: &str, unit: u64) -> u64 {
    let (mut value, mut scale) = (0_i64, 1_f64);
    for digit in fraction.bytes() {
        let Some(next) = value.checked_mul(10).and_then(|it| it.checked_add(i64::from(digit - b'0'))) else {
            break;
        };
        (value, scale) = (next, scale * 10.0);
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

/// Scala's notation, as `strfmt.ParseDuration` reads it.
fn scala(text: &str) -> Option<i64> {
    static PART: LazyLock<Regex> = LazyLock::new(|| super::pattern(r"([0-9]+)[\t\n\f\r ]*([A-Za-zµ]+)"));
    const SECOND: i64 = 1_000_000_000;
    /// The exact names of a unit, the beginning of its long name, and its length.
    const UNITS: [(&[&str], &str, i64); 8] = [
        (&["ns"], "nano", 1),
        (&["us", "µs"], "micro", 1_000),
        (&["ms"], "milli", 1_000_000),
        (&["s"], "sec", SECOND),
        (&["m"], "min", 60 * SECOND),
        (&["h", "hr"], "hour", 3_600 * SECOND),
        (&["d"], "day", 86_400 * SECOND),
        (&["w", "wk"], "week", 604_800 * SECOND),
    ];
    let mut sum = None;
    for groups in PART.captures_iter(text) {
        let factor: i64 = groups[1].parse().ok()?;
        let name = groups[2].to_lowercase();
        for (exact, begin, length) in UNITS {
            if exact.contains(&name.as_str()) || name.starts_with(begin) {
                // Go's arithmetic wraps.
                sum = Some(sum.unwrap_or(0_i64).wrapping_add(factor.wrapping_mul(length)));
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_the_server() {
        const HOUR: i64 = 3_600_000_000_000;
        for (text, expected) in [
            ("1h30m", Some(HOUR * 3 / 2)),
            ("-2.5s", Some(-2_500_000_000)),
            ("+1h", Some(HOUR)),
            (".5h", Some(HOUR / 2)),
            ("1.h", Some(HOUR)),
            ("1.0000000000000000000000001h", Some(HOUR)),
            ("0", Some(0)),
            ("-0", Some(0)),
            ("-9223372036854775808ns", Some(i64::MIN)),
            ("1 h", Some(HOUR)),
            ("1d", Some(24 * HOUR)),
            ("PT5M", Some(HOUR / 12)),
            ("1 day, 2 Hours", Some(26 * HOUR)),
            ("5 minutes", Some(HOUR / 12)),
            ("9223372036854775808ns", None),
            ("3 hrs", None),
            ("5", None),
            ("00", None),
            ("1x", None),
            (".s", None),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(nanoseconds(text), expected, "{text:?}");
        }
    }
}
