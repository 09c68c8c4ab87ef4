//! Prints answers to stdout and diagnostics to stderr. A closed pipe ends a command silently, a full disk with an error;
//! neither panics. Control characters in names of files or fields never reach the terminal.

use super::outcome::Outcome;
use std::{
    fmt::{Display, Write as _},
    io::{self, ErrorKind, Write as _},
};

/// Prints a part of the answer to stdout.
///
/// # Errors
/// The exit code, if it cannot be printed.
pub fn answer(text: impl Display) -> Result<(), Outcome> {
    let mut out = io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        // As in `… | head -1`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Outcome::Usage),
        Err(error) => {
            tell(format_args!("error: cannot write to stdout: {error}"));
            Err(Outcome::Usage)
        }
    }
}

/// Prints one line to stderr. A failure is ignored, because there is nowhere to report it.
pub fn tell(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(&line.to_string()));
}

/// The text as one line, with control characters escaped: errors quote keys and file names.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\t' {
            let _ = write!(shown, "{}", c.escape_debug());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\u{1b}[2Jb\nerror: forged\tü"), "a\\u{1b}[2Jb\\nerror: forged\tü");
    }
}
