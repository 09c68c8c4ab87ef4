//! The tokens of `$filter`.

use crate::response::ODataError;

/// A token of a filter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FilterToken {
    Open,
    Close,
    SquareOpen,
    SquareClose,
    Comma,
    Equals,
    /// `'single quoted'`.
    Quoted(String),
    /// `"double quoted"`, only inside `In`.
    Listed(String),
    Word(String),
}

pub(crate) fn syntax(near: &str) -> ODataError {
    ODataError::bad_query(format!("Syntax error in $filter near '{near}'."))
}

pub(crate) fn tokenize(text: &str) -> Result<Vec<FilterToken>, ODataError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let single = match c {
            '(' => Some(FilterToken::Open),
            ')' => Some(FilterToken::Close),
            '[' => Some(FilterToken::SquareOpen),
            ']' => Some(FilterToken::SquareClose),
            ',' => Some(FilterToken::Comma),
            '=' => Some(FilterToken::Equals),
            _ => None,
        };
        if let Some(token) = single {
            tokens.push(token);
            rest = &rest[1..];
        } else if c == ' ' {
            rest = &rest[1..];
        } else if c == '\'' {
            let (literal, after) = quoted(&rest[1..], '\'').ok_or_else(|| syntax(rest))?;
            tokens.push(FilterToken::Quoted(literal));
            rest = after;
        } else if c == '"' {
            let (literal, after) = quoted(&rest[1..], '"').ok_or_else(|| syntax(rest))?;
            tokens.push(FilterToken::Listed(literal));
            rest = after;
        } else {
            let end = rest.find([' ', '(', ')', ',', '[', ']', '=', '\'', '"']).unwrap_or(rest.len());
            tokens.push(FilterToken::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
    }
    Ok(tokens)
}

/// Reads up to the closing quote; a doubled quote stands for one.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let (mut literal, mut rest) = (String::new(), text);
    loop {
        let (before, after) = rest.split_once(quote)?;
        literal.push_str(before);
        match after.strip_prefix(quote) {
            Some(more) => {
                literal.push(quote);
                rest = more;
            }
            None => return Some((literal, after)),
        }
    }
}
