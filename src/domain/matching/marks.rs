//! Trademark signs and footnotes, which the compatibility form would make letters and digits of the word before.

use super::fold::is_unseen;
use std::borrow::Cow;

/// A text without the marks that are written beside a word. They end a word: before another one, a space takes their place.
pub(super) fn without_marks(text: &str) -> Cow<'_, str> {
    if !text.contains(is_mark) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if !is_mark(c) {
            kept.push(c);
            continue;
        }
        let next = rest.clone().find(|c| !is_unseen(*c));
        match exponent(c) {
            Some(digit) if is_unit(&kept) && !next.is_some_and(is_mark) => kept.push(digit),
            _ if next.is_some_and(|c| c.is_alphanumeric() && !is_mark(c) || "#@$".contains(c)) => {
                kept.push(' ');
            }
            _ => {}
        }
    }
    Cow::Owned(kept)
}

/// ® ℠ ™, and digits that are superscript or in a circle or parentheses.
fn is_mark(c: char) -> bool {
    matches!(
        c,
        '®' | '℠' | '™'
            | '²'
            | '³'
            | '¹'
            | '⁰'
            | '⁴'..='⁹'
            | '①'..='⒛'
            | '⓪'..='⓿'
            | '❶'..='➓'
    )
}

fn exponent(c: char) -> Option<char> {
    match c {
        '²' => Some('2'),
        '³' => Some('3'),
        _ => None,
    }
}

/// Whether a text ends in a unit of length, which has squares and cubes: `5 m`, `5m`.
fn is_unit(text: &str) -> bool {
    let word = &text[text.trim_end_matches(|c: char| c.is_alphabetic()).len()..];
    ["m", "mm", "cm", "dm", "km"].contains(&word)
}
