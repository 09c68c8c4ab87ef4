//! The tokens of `$filter`.

use super::answer::Refusal;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
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

pub(super) fn syntax(near: &str) -> Refusal {
    Refusal::bad_query(format!("Syntax error in $filter near '{near}'."))
}

pub(super) fn tokenize(text: &str) -> Result<Vec<Token>, Refusal> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let single = match c {
            '(' => Some(Token::Open),
            ')' => Some(Token::Close),
            '[' => Some(Token::SquareOpen),
            ']' => Some(Token::SquareClose),
            ',' => Some(Token::Comma),
            '=' => Some(Token::Equals),
            _ => None,
        };
        if let Some(token) = single {
            tokens.push(token);
            rest = &rest[1..];
        } else if c == ' ' {
            rest = &rest[1..];
        } else if c == '\'' {
            let (literal, after) = quoted(&rest[1..], '\'').ok_or_else(|| syntax(rest))?;
            tokens.push(Token::Quoted(literal));
            rest = after;
        } else if c == '"' {
            let (literal, after) = quoted(&rest[1..], '"').ok_or_else(|| syntax(rest))?;
            tokens.push(Token::Listed(literal));
            rest = after;
        } else {
            let end = rest.find([' ', '(', ')', ',', '[', ']', '=', '\'', '"']).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
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
