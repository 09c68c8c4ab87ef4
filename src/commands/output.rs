//! What commands print. A reader that has gone away ends a command quietly, a full disk ends it with a word; neither
//! is a panic. And no name in a file can move somebody's cursor.

use super::Outcome;
use std::{
    fmt::{Display, Write as _},
    io::{self, ErrorKind, Write as _},
};

/// Prints a part of the answer on stdout.
///
/// # Errors
/// [`Outcome::Usage`] when it cannot be printed: there is nothing more to do.
pub fn answer(text: impl Display) -> Result<(), Outcome> {
    let mut out = io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        // `… | head -1`: whoever asked has heard enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Outcome::Usage),
        Err(error) => {
            tell(format_args!("error: the answer cannot be written: {error}"));
            Err(Outcome::Usage)
        }
    }
}

/// Prints one line on stderr; nobody can be told when that fails.
pub fn tell(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(&line.to_string()));
}

/// The text as one line, with what controls a terminal written out: keys and names of files are told in errors.
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
    fn what_controls_a_terminal_is_written_out() {
        assert_eq!(printable("a\u{1b}[2Jb\nerror: forged\tü"), "a\\u{1b}[2Jb\\nerror: forged\tü");
    }
}
