//! `date` and `date-time`. The server's `date-time` is wider than RFC 3339: it knows no bounds for a zone, takes any
//! character before a fraction, and ignores everything after a second `t`.

use std::sync::LazyLock;

use jiff::civil::Date;
use regex::Regex;

/// Go's `time.Parse("2006-01-02", …)`.
pub(super) fn is_date(text: &str) -> bool {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text.as_bytes() else { return false };
    let digits = |bytes: &[&u8]| {
        bytes
            .iter()
            .try_fold(0_i16, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i16::from(**byte - b'0')))
    };
    let (Some(year), Some(month), Some(day)) =
        (digits(&[y1, y2, y3, y4]), digits(&[m1, m2]), digits(&[d1, d2]))
    else {
        return false;
    };
    let (Ok(month), Ok(day)) = (i8::try_from(month), i8::try_from(day)) else { return false };
    Date::new(year, month, day).is_ok()
}

/// `strfmt.IsDateTime`.
pub(super) fn is_date_time(text: &str) -> bool {
    static TIME: LazyLock<Regex> = LazyLock::new(|| {
        super::pattern("^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$")
    });
    let lower = text.to_lowercase();
    let mut parts = lower.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else { return false };
    let in_bounds =
        |groups: &regex::Captures<'_>| &groups[1] <= "23" && &groups[2] <= "59" && &groups[3] <= "59";
    is_date(date) && TIME.captures(time).is_some_and(|groups| in_bounds(&groups))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_times_are_those_of_the_server() {
        for good in [
            "2026-01-01T00:00:00Z",
            "2026-01-01t00:00:00.5+02:00",
            "2026-01-01T00:00:00,123456789012Z",
            "9999-12-31T23:59:59+99:99",
            "0000-02-29T00:00:00-00:00",
            "2026-01-01T00:00:00ZT",
        ] {
            assert!(is_date_time(good), "{good}");
        }
        for bad in [
            "",
            "2026-01-01",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+0200",
            "2026-01-01T24:00:00Z",
            "2026-01-01T23:59:60Z",
            "2026-02-30T00:00:00Z",
            "2026-1-1T00:00:00Z",
        ] {
            assert!(!is_date_time(bad), "{bad}");
        }
        assert!(is_date("2024-02-29") && !is_date("2026-02-29") && !is_date("2026-W01-1"));
    }
}
