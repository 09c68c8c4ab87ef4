//! `$filter`: parses and evaluates the part of the OData language that Dataverse and the discovery service support.

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::odata::filter_tokens::{FilterToken, syntax, tokenize};
use crate::response::ODataError;

/// Dataverse refuses a query with more conditions than this.
const MAX_CONDITIONS: usize = 500;
/// The strings of an `In` may have this many characters in total.
const MAX_IN_TEXT: usize = 850;
/// A deeper filter could exhaust the stack of the parser.
const MAX_DEPTH: usize = 100;

/// The type of a property, as far as comparisons need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PropertyType {
    Guid,
    Text,
    Number,
    Flag,
    Time,
}

/// A parsed, type-checked filter.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    root: Node,
    ignore_case: bool,
}

#[derive(Clone, Debug)]
enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Compare { property: String, operator: Operator, literal: Literal },
    Text { property: String, function: TextFunction, needle: String },
    In { property: String, values: Vec<Literal> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
}

#[derive(Clone, Copy, Debug)]
enum TextFunction {
    Contains,
    StartsWith,
    EndsWith,
}

#[derive(Clone, Debug, PartialEq)]
enum Literal {
    Null,
    Text(String),
    Number(f64),
    Flag(bool),
    Guid(Uuid),
    Time(Timestamp),
}

/// Returns the type of a property; `None` if there is no such property.
pub(crate) type PropertyTypes<'a> = &'a dyn Fn(&str) -> Option<PropertyType>;

impl Filter {
    /// Parses a filter. Dataverse ignores case when it compares strings; the discovery service does not.
    pub fn parse(text: &str, types: PropertyTypes<'_>, ignore_case: bool) -> Result<Self, ODataError> {
        let tokens = tokenize(text)?;
        let mut parser = Parser { tokens: &tokens, at: 0, types, conditions: 0, depth: 0 };
        let root = parser.or()?;
        if parser.at != tokens.len() {
            return Err(syntax(text));
        }
        if parser.conditions > MAX_CONDITIONS {
            return Err(ODataError::new(
                http::StatusCode::BAD_REQUEST,
                "0x8004430C",
                "Number of conditions in query exceeded maximum limit.",
            ));
        }
        Ok(Self { root, ignore_case })
    }

    /// Whether a row matches; `value` returns its properties.
    pub fn matches(&self, value: &dyn Fn(&str) -> Value) -> bool {
        self.holds(&self.root, value)
    }

    /// The keys, if the filter does nothing but list keys. Such a query needs no scan.
    pub fn keys(&self, key: &str) -> Option<Vec<Uuid>> {
        fn collect(node: &Node, key: &str, into: &mut Vec<Uuid>) -> bool {
            match node {
                Node::Or(nodes) => nodes.iter().all(|node| collect(node, key, into)),
                Node::Compare { property, operator: Operator::Eq, literal: Literal::Guid(id) }
                    if property == key =>
                {
                    into.push(*id);
                    true
                }
                Node::In { property, values } if property == key => values.iter().all(|value| match value {
                    Literal::Guid(id) => {
                        into.push(*id);
                        true
                    }
                    _ => false,
                }),
                _ => false,
            }
        }
        let mut keys = Vec::new();
        collect(&self.root, key, &mut keys).then(|| {
            keys.sort_unstable();
            keys.dedup();
            keys
        })
    }

    fn holds(&self, node: &Node, value: &dyn Fn(&str) -> Value) -> bool {
        match node {
            Node::And(nodes) => nodes.iter().all(|node| self.holds(node, value)),
            Node::Or(nodes) => nodes.iter().any(|node| self.holds(node, value)),
            Node::Not(node) => !self.holds(node, value),
            Node::Compare { property, operator, literal } => {
                self.compare(&value(property), *operator, literal)
            }
            Node::Text { property, function, needle } => {
                let value = value(property);
                let (text, needle) = (self.fold(value.as_str().unwrap_or_default()), self.fold(needle));
                match function {
                    TextFunction::Contains => text.contains(&needle),
                    TextFunction::StartsWith => text.starts_with(&needle),
                    TextFunction::EndsWith => text.ends_with(&needle),
                }
            }
            Node::In { property, values } => {
                let actual = value(property);
                values.iter().any(|literal| self.compare(&actual, Operator::Eq, literal))
            }
        }
    }

    fn fold(&self, text: &str) -> String {
        if self.ignore_case { text.to_lowercase() } else { text.to_owned() }
    }

    /// Null matches only `ne` and `eq null`.
    fn compare(&self, actual: &Value, operator: Operator, literal: &Literal) -> bool {
        let ordering = match literal {
            Literal::Null => {
                return match operator {
                    Operator::Eq => actual.is_null(),
                    Operator::Ne => !actual.is_null(),
                    _ => false,
                };
            }
            Literal::Text(text) => actual.as_str().map(|actual| self.fold(actual).cmp(&self.fold(text))),
            Literal::Number(number) => actual.as_f64().and_then(|actual| actual.partial_cmp(number)),
            Literal::Flag(flag) => actual.as_bool().map(|actual| actual.cmp(flag)),
            Literal::Guid(id) => {
                actual.as_str().and_then(|text| Uuid::parse_str(text).ok()).map(|actual| actual.cmp(id))
            }
            Literal::Time(time) => {
                actual.as_str().and_then(|text| text.parse::<Timestamp>().ok()).map(|actual| actual.cmp(time))
            }
        };
        match (ordering, operator) {
            (None, operator) => operator == Operator::Ne,
            (Some(ordering), Operator::Eq) => ordering.is_eq(),
            (Some(ordering), Operator::Ne) => ordering.is_ne(),
            (Some(ordering), Operator::Gt) => ordering.is_gt(),
            (Some(ordering), Operator::Ge) => ordering.is_ge(),
            (Some(ordering), Operator::Lt) => ordering.is_lt(),
            (Some(ordering), Operator::Le) => ordering.is_le(),
        }
    }
}

struct Parser<'a> {
    tokens: &'a [FilterToken],
    at: usize,
    types: PropertyTypes<'a>,
    conditions: usize,
    depth: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Result<FilterToken, ODataError> {
        let token = self.tokens.get(self.at).cloned().ok_or_else(|| syntax("end of the filter"))?;
        self.at += 1;
        Ok(token)
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(FilterToken::Word(text)) if text == word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, token: &FilterToken) -> Result<(), ODataError> {
        let found = self.next()?;
        if found == *token { Ok(()) } else { Err(syntax(&format!("{found:?}"))) }
    }

    fn or(&mut self) -> Result<Node, ODataError> {
        let mut nodes = vec![self.and()?];
        while self.accept_word("or") {
            nodes.push(self.and()?);
        }
        Ok(if nodes.len() == 1 { nodes.swap_remove(0) } else { Node::Or(nodes) })
    }

    fn and(&mut self) -> Result<Node, ODataError> {
        let mut nodes = vec![self.unary()?];
        while self.accept_word("and") {
            nodes.push(self.unary()?);
        }
        Ok(if nodes.len() == 1 { nodes.swap_remove(0) } else { Node::And(nodes) })
    }

    fn unary(&mut self) -> Result<Node, ODataError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ODataError::bad_query("The node count limit of the $filter expression is exceeded."));
        }
        let node = if self.accept_word("not") {
            Node::Not(Box::new(self.unary()?))
        } else if self.tokens.get(self.at) == Some(&FilterToken::Open) {
            self.at += 1;
            let node = self.or()?;
            self.expect(&FilterToken::Close)?;
            node
        } else {
            self.condition()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn condition(&mut self) -> Result<Node, ODataError> {
        self.conditions += 1;
        let FilterToken::Word(word) = self.next()? else {
            return Err(syntax("a literal where a name belongs"));
        };
        if self.tokens.get(self.at) == Some(&FilterToken::Open) {
            self.at += 1;
            return match word.as_str() {
                "contains" => self.text_function(TextFunction::Contains),
                "startswith" => self.text_function(TextFunction::StartsWith),
                "endswith" => self.text_function(TextFunction::EndsWith),
                "Microsoft.Dynamics.CRM.In" => self.in_function(),
                _ => Err(ODataError::bad_query(format!("An unknown function with name '{word}' was found."))),
            };
        }
        let kind = self.type_of(&word)?;
        let operator = match self.next()? {
            FilterToken::Word(text) => match text.as_str() {
                "eq" => Operator::Eq,
                "ne" => Operator::Ne,
                "gt" => Operator::Gt,
                "ge" => Operator::Ge,
                "lt" => Operator::Lt,
                "le" => Operator::Le,
                _ => return Err(syntax(&text)),
            },
            other => return Err(syntax(&format!("{other:?}"))),
        };
        let token = self.next()?;
        Ok(Node::Compare { literal: literal(&token, kind)?, property: word, operator })
    }

    fn text_function(&mut self, function: TextFunction) -> Result<Node, ODataError> {
        let FilterToken::Word(property) = self.next()? else {
            return Err(syntax("a function's first argument"));
        };
        if self.type_of(&property)? != PropertyType::Text {
            return Err(ODataError::bad_query(format!("'{property}' is not a string.")));
        }
        self.expect(&FilterToken::Comma)?;
        let FilterToken::Quoted(needle) = self.next()? else {
            return Err(syntax("a function's second argument"));
        };
        self.expect(&FilterToken::Close)?;
        Ok(Node::Text { property, function, needle })
    }

    /// `Microsoft.Dynamics.CRM.In(PropertyName='x',PropertyValues=["a","b"])`, which counts as one condition.
    fn in_function(&mut self) -> Result<Node, ODataError> {
        let named = |parser: &mut Self, name: &str| -> Result<(), ODataError> {
            if !parser.accept_word(name) {
                return Err(syntax(name));
            }
            parser.expect(&FilterToken::Equals)
        };
        named(self, "PropertyName")?;
        let FilterToken::Quoted(property) = self.next()? else { return Err(syntax("PropertyName")) };
        let kind = self.type_of(&property)?;
        self.expect(&FilterToken::Comma)?;
        named(self, "PropertyValues")?;
        self.expect(&FilterToken::SquareOpen)?;
        let (mut values, mut characters) = (Vec::new(), 0);
        loop {
            let FilterToken::Listed(text) = self.next()? else { return Err(syntax("PropertyValues")) };
            characters += text.chars().count();
            let token =
                if kind == PropertyType::Text { FilterToken::Quoted(text) } else { FilterToken::Word(text) };
            values.push(literal(&token, kind)?);
            match self.next()? {
                FilterToken::Comma => {}
                FilterToken::SquareClose => break,
                other => return Err(syntax(&format!("{other:?}"))),
            }
        }
        self.expect(&FilterToken::Close)?;
        if kind == PropertyType::Text && characters > MAX_IN_TEXT {
            return Err(ODataError::bad_query(format!(
                "The values of In have {characters} characters; {MAX_IN_TEXT} are allowed."
            )));
        }
        Ok(Node::In { property, values })
    }

    fn type_of(&self, property: &str) -> Result<PropertyType, ODataError> {
        (self.types)(property).ok_or_else(|| {
            ODataError::bad_query(format!(
                "Could not find a property named '{property}' on the type that is filtered."
            ))
        })
    }
}

/// Parses a literal of the property's type. A quoted GUID is a string, and refused.
fn literal(token: &FilterToken, kind: PropertyType) -> Result<Literal, ODataError> {
    let incompatible = || {
        ODataError::bad_query(format!(
            "A binary operator with incompatible types was detected: {token:?} against {kind:?}."
        ))
    };
    let word = match token {
        FilterToken::Quoted(text) if kind == PropertyType::Text => return Ok(Literal::Text(text.clone())),
        FilterToken::Word(word) => word.as_str(),
        _ => return Err(incompatible()),
    };
    if word == "null" {
        return Ok(Literal::Null);
    }
    match kind {
        PropertyType::Guid if word.len() == 36 => Uuid::parse_str(word).ok().map(Literal::Guid),
        PropertyType::Number => word.parse().ok().map(Literal::Number),
        PropertyType::Flag => word.parse().ok().map(Literal::Flag),
        PropertyType::Time => word.parse().ok().map(Literal::Time),
        PropertyType::Guid | PropertyType::Text => None,
    }
    .ok_or_else(incompatible)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn types(name: &str) -> Option<PropertyType> {
        match name {
            "id" => Some(PropertyType::Guid),
            "name" => Some(PropertyType::Text),
            "n" => Some(PropertyType::Number),
            _ => None,
        }
    }

    fn passes(filter: &str) -> bool {
        let row = json!({"id": "6bcbf6bf-1f2a-4ab9-9901-2605b314d72d", "name": "It's", "n": 3});
        Filter::parse(filter, &types, true)
            .unwrap()
            .matches(&|name| row.get(name).cloned().unwrap_or(Value::Null))
    }

    #[test]
    fn precedence_quotes_and_case() {
        assert!(passes("name eq 'IT''S'"));
        assert!(passes("n eq 1 and n eq 2 or n eq 3"));
        assert!(!passes("n eq 1 and (n eq 2 or n eq 3)"));
        assert!(passes("not contains(name,'x') and startswith(name,'it')"));
        assert!(passes("id eq 6bcbf6bf-1f2a-4ab9-9901-2605b314d72d"));
        assert!(passes("Microsoft.Dynamics.CRM.In(PropertyName='n',PropertyValues=[\"2\",\"3\"])"));
    }

    #[test]
    fn invalid_filters_are_refused() {
        for filter in [
            "id eq '6bcbf6bf-1f2a-4ab9-9901-2605b314d72d'",
            "other eq 1",
            "name eq",
            "name eq 'x",
            "(n eq 1",
            "n eq 1 n eq 2",
            "name in ('a')",
        ] {
            assert!(Filter::parse(filter, &types, true).is_err(), "{filter}");
        }
    }

    #[test]
    fn more_than_500_conditions_are_refused() {
        let of = |count: usize| vec!["n eq 1"; count].join(" or ");
        assert!(Filter::parse(&of(500), &types, true).is_ok());
        assert_eq!(Filter::parse(&of(501), &types, true).unwrap_err().code, "0x8004430C");
    }
}
