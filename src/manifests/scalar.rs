//! Resolves YAML scalars as `sigs.k8s.io/yaml` does (YAML 1.1 booleans and octals, Go's number syntax, timestamps stay
//! strings), so that `postlink local` and `kubectl apply` agree.

use std::sync::LazyLock;

use base64::Engine as _;
use regex::Regex;
use serde_json::{Number, Value};

static FLOAT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$").expect("a constant pattern")
});

/// The value of a plain (unquoted) scalar without a tag.
pub(super) fn plain(text: &str) -> Result<Value, String> {
    let Some(first) = text.bytes().next() else { return Ok(Value::Null) };
    let value = match first {
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => word(text),
        b'.' => match text {
            ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" => return Err(not_json(text)),
            _ if !underscores_separate_digits(text) => None,
            _ => text.replace('_', "").parse().ok().filter(|number: &f64| number.is_finite()).map(float),
        },
        b'+' | b'-' | b'0'..=b'9' => match text {
            "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" => return Err(not_json(text)),
            _ => number(text),
        },
        _ => None,
    };
    Ok(value.unwrap_or_else(|| Value::String(text.to_owned())))
}

/// The value of a scalar with a tag of YAML's own namespace; `suffix` is `int` for `!!int`.
pub(super) fn tagged(suffix: &str, text: &str) -> Result<Value, String> {
    let mismatch = || format!("`{text}` cannot be read as !!{suffix}");
    match suffix {
        "bool" => plain(text)?.as_bool().map(Value::Bool).ok_or_else(mismatch),
        "null" => plain(text).ok().filter(Value::is_null).ok_or_else(mismatch),
        "int" => integer(&text.replace('_', "")).ok_or_else(mismatch),
        "float" => plain(text).ok().filter(Value::is_number).ok_or_else(mismatch),
        "binary" => {
            let packed = text.replace(['\r', '\n'], "");
            let bytes = base64::engine::general_purpose::STANDARD.decode(packed).map_err(|_| mismatch())?;
            String::from_utf8(bytes).map(Value::String).map_err(|_| mismatch())
        }
        "timestamp" if !text.starts_with(|letter: char| letter.is_ascii_digit()) => Err(mismatch()),
        _ => Ok(Value::String(text.to_owned())),
    }
}

/// YAML 1.1 has no escape `\/`, and no pairs of escapes for one character.
pub(super) fn known_escapes(text: &str) -> Result<(), String> {
    let mut rest = text;
    while let Some((_, escape)) = rest.split_once('\\') {
        if escape.starts_with('/') {
            return Err("kubectl does not know the escape `\\/`; write `/`".to_owned());
        }
        let unit = escape.strip_prefix('u').and_then(|code| code.get(..4));
        if unit.and_then(|code| u16::from_str_radix(code, 16).ok()).is_some_and(|unit| unit >> 11 == 0x1b) {
            return Err(
                "kubectl does not read surrogates such as \\ud83d in YAML; write the character itself"
                    .to_owned(),
            );
        }
        rest = escape.get(1..).unwrap_or_default();
    }
    Ok(())
}

/// The first line of a block scalar says how far it is indented.
pub(super) fn no_leading_tab(text: &str) -> Result<(), String> {
    let lines = if text.starts_with(['|', '>']) { text.split_once('\n').unwrap_or_default().1 } else { text };
    let mut lines = lines.split('\n').map(|line| line.trim_start_matches(' '));
    let first = lines.find(|line| !line.trim_end_matches('\r').is_empty());
    if first.is_some_and(|line| line.starts_with('\t')) {
        return Err(
            "the text begins with a tab; indent with spaces, or write the text in double quotes".to_owned()
        );
    }
    Ok(())
}

/// A scalar as a key: JSON has string keys only. `plain` is its text if it is not quoted.
///
/// kubectl writes keys that are floats with the digits of a 32-bit float, so they are not accepted.
pub(super) fn key(value: &Value, plain: Option<&str>) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => {
            let whole = integer(&plain?.replace('_', ""))?;
            whole.is_i64().then(|| number.to_string())
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn word(text: &str) -> Option<Value> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Some(Value::Bool(true))
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(Value::Bool(false))
        }
        "~" | "null" | "Null" | "NULL" => Some(Value::Null),
        _ => None,
    }
}

fn number(text: &str) -> Option<Value> {
    let digits = text.replace('_', "");
    if let Some(value) = integer(&digits) {
        return Some(value);
    }
    if !FLOAT.is_match(&digits) {
        return None;
    }
    digits.parse().ok().filter(|number: &f64| number.is_finite()).map(float)
}

/// As Go's `strconv.ParseFloat` wants it; in other numbers, YAML 1.1 drops underscores wherever they are.
fn underscores_separate_digits(text: &str) -> bool {
    let digit = |at: Option<usize>| at.and_then(|at| text.as_bytes().get(at)).is_some_and(u8::is_ascii_digit);
    text.match_indices('_').all(|(at, _)| digit(at.checked_sub(1)) && digit(Some(at + 1)))
}

/// Go's `strconv.ParseInt(…, 0, 64)`: `0x`, `0o`, `0b`, and a leading zero means octal.
fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.bytes().all(|digit| (digit as char).is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0_i64.checked_sub_unsigned(magnitude).map(|number| Value::Number(number.into()));
    }
    Some(Value::Number(magnitude.into()))
}

/// Go prints a whole float without a point, so the API server reads an integer.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "checked to be whole and in range"
)]
fn float(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < (1_u64 << 63) as f64 {
        return Value::Number((number as i64).into());
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

fn not_json(text: &str) -> String {
    format!("`{text}` is not a JSON number, so Kubernetes does not accept it; quote it if it is a string")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_become_what_kubectl_sends() {
        for (text, expected) in [
            ("yes", json!(true)),
            ("y", json!(true)),
            ("Off", json!(false)),
            ("NO", json!(false)),
            ("nO", json!("nO")),
            ("~", json!(null)),
            ("", json!(null)),
            ("010", json!(8)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("-0b11", json!(-3)),
            ("08", json!(8)),
            ("1_000", json!(1000)),
            ("+5", json!(5)),
            ("1.0", json!(1)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            (".1_0", json!(0.1)),
            ("._1", json!("._1")),
            ("1e3", json!(1000)),
            ("1:30", json!("1:30")),
            ("2020-01-01", json!("2020-01-01")),
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("1.2.3", json!("1.2.3")),
            ("0x", json!("0x")),
            ("-", json!("-")),
            ("v1", json!("v1")),
        ] {
            assert_eq!(plain(text), Ok(expected), "{text}");
        }
        assert!(plain(".inf").is_err());
    }

    #[test]
    fn tags_override_the_plain_form() {
        assert_eq!(tagged("str", "yes"), Ok(json!("yes")));
        assert_eq!(tagged("int", "010"), Ok(json!(8)));
        assert_eq!(tagged("binary", "aGVs\nbG8=\n"), Ok(json!("hello")));
        assert!(tagged("int", "ten").is_err());
    }
}
