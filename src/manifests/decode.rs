//! Decodes a file as kubectl does: UTF-8, or UTF-16 with a byte-order mark. What kubectl would mangle is an error.

use super::compose::ComposeError;

/// The text of a file, without its byte-order mark.
pub(super) fn text(bytes: Vec<u8>) -> Result<String, ComposeError> {
    match bytes.as_slice() {
        [0x1f, 0x8b, ..] => return Err(at_start("the file is compressed (gzip); decompress it")),
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => {
            return Err(at_start("the file is UTF-32, which kubectl does not read; save it as UTF-8"));
        }
        [0xff, 0xfe, rest @ ..] => return utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => return utf16(rest, u16::from_be_bytes),
        [0, other, ..] | [other, 0, ..] if *other != 0 => {
            return Err(at_start("the file looks like UTF-16 without a byte-order mark; save it as UTF-8"));
        }
        _ => {}
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned();
        let byte = error.as_bytes()[before.len()];
        let line = before.rsplit('\n').next().unwrap_or_default();
        ComposeError {
            line: before.matches('\n').count() + 1,
            column: line.trim_start_matches('\u{feff}').chars().count() + 1,
            message: format!(
                "the byte 0x{byte:02X} is not UTF-8; save the file as UTF-8 (it may be Latin-1 or Windows-1252)"
            ),
        }
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, ComposeError> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let text = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect::<Result<String, _>>();
    match text {
        Ok(text) if rest.is_empty() => Ok(text),
        _ => Err(at_start("the file begins like UTF-16, and is not; save it as UTF-8")),
    }
}

fn at_start(message: &str) -> ComposeError {
    ComposeError { line: 1, column: 1, message: message.to_owned() }
}
