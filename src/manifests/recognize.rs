//! Says what a text that is not a manifest seems to be, and finds the characters that kubectl does not read.

use std::sync::LazyLock;

use regex::Regex;

use super::compose::ComposeError;

pub(super) const MARK: &str = "a byte-order mark inside a document";

/// The first character of a YAML text that kubectl rejects, or reads as the end of a line.
pub(super) fn unreadable(text: &str) -> Option<ComposeError> {
    let mut previous = '\n';
    let found = text.char_indices().find(|(_, letter)| {
        let begins_line = previous == '\n';
        previous = *letter;
        match letter {
            ' '..='~' | '\t' | '\n' | '\r' => false,
            '\u{feff}' => begins_line,
            '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}' => true,
            _ => letter.is_control(),
        }
    });
    let (at, letter) = found?;
    let number = u32::from(letter);
    let message = match letter {
        '\u{feff}' => {
            format!("{MARK} (were files joined?); remove it, or put it below a line `---`")
        }
        '\u{85}' | '\u{2028}' | '\u{2029}' => format!(
            "kubectl reads the character U+{number:04X} as the end of a line; write \\u{number:04x} in double quotes"
        ),
        _ => format!(
            "kubectl does not read the control character U+{number:04X}; write \\u{number:04x} in double quotes"
        ),
    };
    let (line, column) = place(text, at);
    Some(ComposeError { line, column, message })
}

/// What a text that cannot be read, or is no object, seems to be.
pub(super) fn guess(text: &str) -> Option<ComposeError> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let marker = line.trim_end();
        let conflict = ["<<<<<<< ", ">>>>>>> ", "||||||| "].iter().any(|begin| marker.starts_with(begin));
        if conflict || marker == "=======" {
            let (line, column) = place(text, at);
            let message = "a git merge conflict; resolve it and remove its markers".to_owned();
            return Some(ComposeError { line, column, message });
        }
        at += line.len();
    }
    let begin = text.trim_start();
    let message = if begin.starts_with("version https://git-lfs.github.com/") {
        "a pointer of Git LFS, not the file itself; run git lfs pull"
    } else if begin
        .strip_prefix('<')
        .is_some_and(|rest| rest.starts_with(|c: char| "!?".contains(c) || c.is_alphabetic()))
    {
        "an HTML or XML page, not a manifest; if it was downloaded, open its address in a browser to see why"
    } else {
        return None;
    };
    let (line, column) = place(text, text.len() - begin.len());
    Some(ComposeError { line, column, message: message.to_owned() })
}

/// Whether a value is, or holds, a template or a variable: of Helm, Jinja, Flux, Kustomize or a shell.
pub fn is_unrendered(value: &str) -> bool {
    [("{{", "}}"), ("{%", "%}"), ("${", "}"), ("$(", ")")]
        .iter()
        .any(|(open, close)| value.split_once(open).is_some_and(|(_, rest)| rest.contains(close)))
}

static UNQUOTED: LazyLock<Regex> = LazyLock::new(|| {
    let value = r"(?:: +|- +|[\[{,] *)";
    Regex::new(&format!(
        "{value}[@`%*]|[\\[,] *#|{value}(?:\"[^\"]*\"|'[^']*') *[^\\s,\\]}}#:'\"]|^[^#'\"]*?: +[^'\"\\[{{|>#\\s].*: "
    ))
    .expect("a constant pattern")
});

/// Whether a value in this line, or in the one above it, needs quotes: it begins with a sign that means something in YAML,
/// has text after its quotes, or has a colon and a space.
pub(super) fn is_unquoted(text: &str, line: usize) -> bool {
    let lines = text.lines().skip(line.saturating_sub(2)).take(if line > 1 { 2 } else { 1 });
    lines.into_iter().any(|line| !line.trim_start().starts_with('#') && UNQUOTED.is_match(line))
}

/// Whether this line, or the one above it, is a separator of documents but for its indentation.
pub(super) fn is_indented_separator(text: &str, line: usize) -> bool {
    let mut lines = text.lines().skip(line.saturating_sub(2)).take(2);
    lines.any(|line| line.starts_with([' ', '\t']) && line.trim() == "---")
}

/// Line and column of a byte, counted from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}
