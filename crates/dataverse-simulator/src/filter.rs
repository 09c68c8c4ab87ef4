//! `$filter`: the part of the `OData` language that Dataverse and the discovery service understand.

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::answer::Refusal;
use super::filter_tokens::{Token, syntax, tokenize};

/// Dataverse refuses a query with more conditions than this.
const MAX_CONDITIONS: usize = 500;
/// An `In` over strings may carry this many characters in total.
const MAX_IN_TEXT: usize = 850;
const MAX_DEPTH: usize = 100;

/// Type of a property, as far as comparing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Guid,
    Text,
    Number,
    Flag,
    Time,
}

/// A parsed, type-checked filter.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    root: Node,
    ignore_case: bool,
}

#[derive(Clone, Debug)]
enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Compare { property: String, operator: Operator, literal: Literal },
    Text { property: String, function: Function, needle: String },
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
enum Function {
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

/// Looks up the type of a property; `None` = there is no such property.
pub(super) type Types<'a> = &'a dyn Fn(&str) -> Option<Type>;

impl Filter {
    /// Parses a filter. `ignore_case` is how Dataverse compares strings; discovery does not.
    pub fn parse(text: &str, types: Types<'_>, ignore_case: bool) -> Result<Self, Refusal> {
        let tokens = tokenize(text)?;
        let mut parser = Parser { tokens: &tokens, at: 0, types, conditions: 0, depth: 0 };
        let root = parser.or()?;
        if parser.at != tokens.len() {
            return Err(syntax(text));
        }
        if parser.conditions > MAX_CONDITIONS {
            return Err(Refusal::new(
                http::StatusCode::BAD_REQUEST,
                "0x8004430C",
                "Number of conditions in query exceeded maximum limit.",
            ));
        }
        Ok(Self { root, ignore_case })
    }

    /// Whether a row, read through `value`, passes.
    pub fn matches(&self, value: &dyn Fn(&str) -> Value) -> bool {
        self.holds(&self.root, value)
    }

    /// The keys, if the filter is nothing but a choice of keys: such a query needs no scan.
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
                    Function::Contains => text.contains(&needle),
                    Function::StartsWith => text.starts_with(&needle),
                    Function::EndsWith => text.ends_with(&needle),
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

    /// A null passes `ne` and nothing else but `eq null`.
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
    tokens: &'a [Token],
    at: usize,
    types: Types<'a>,
    conditions: usize,
    depth: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Result<Token, Refusal> {
        let token = self.tokens.get(self.at).cloned().ok_or_else(|| syntax("end of the filter"))?;
        self.at += 1;
        Ok(token)
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Word(text)) if text == word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, token: &Token) -> Result<(), Refusal> {
        let found = self.next()?;
        if found == *token { Ok(()) } else { Err(syntax(&format!("{found:?}"))) }
    }

    fn or(&mut self) -> Result<Node, Refusal> {
        let mut nodes = vec![self.and()?];
        while self.accept_word("or") {
            nodes.push(self.and()?);
        }
        Ok(if nodes.len() == 1 { nodes.swap_remove(0) } else { Node::Or(nodes) })
    }

    fn and(&mut self) -> Result<Node, Refusal> {
        let mut nodes = vec![self.unary()?];
        while self.accept_word("and") {
            nodes.push(self.unary()?);
        }
        Ok(if nodes.len() == 1 { nodes.swap_remove(0) } else { Node::And(nodes) })
    }

    fn unary(&mut self) -> Result<Node, Refusal> {
        self.depth += 1;
        // A filter nested without end must not exhaust the stack.
        if self.depth > MAX_DEPTH {
            return Err(Refusal::bad_query("The node count limit of the $filter expression is exceeded."));
        }
        let node = if self.accept_word("not") {
            Node::Not(Box::new(self.unary()?))
        } else if self.tokens.get(self.at) == Some(&Token::Open) {
            self.at += 1;
            let node = self.or()?;
            self.expect(&Token::Close)?;
            node
        } else {
            self.condition()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn condition(&mut self) -> Result<Node, Refusal> {
        self.conditions += 1;
        let Token::Word(word) = self.next()? else { return Err(syntax("a literal where a name belongs")) };
        if self.tokens.get(self.at) == Some(&Token::Open) {
            self.at += 1;
            return match word.as_str() {
                "contains" => self.text_function(Function::Contains),
                "startswith" => self.text_function(Function::StartsWith),
                "endswith" => self.text_function(Function::EndsWith),
                "Microsoft.Dynamics.CRM.In" => self.in_function(),
                _ => Err(Refusal::bad_query(format!("An unknown function with name '{word}' was found."))),
            };
        }
        let kind = self.type_of(&word)?;
        let operator = match self.next()? {
            Token::Word(text) => match text.as_str() {
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

    fn text_function(&mut self, function: Function) -> Result<Node, Refusal> {
        let Token::Word(property) = self.next()? else { return Err(syntax("a function's first argument")) };
        if self.type_of(&property)? != Type::Text {
            return Err(Refusal::bad_query(format!("'{property}' is not a string.")));
        }
        self.expect(&Token::Comma)?;
        let Token::Quoted(needle) = self.next()? else {
            return Err(syntax("a function's second argument"));
        };
        self.expect(&Token::Close)?;
        Ok(Node::Text { property, function, needle })
    }

    /// `Microsoft.Dynamics.CRM.In(PropertyName='x',PropertyValues=["a","b"])`, one condition in all.
    fn in_function(&mut self) -> Result<Node, Refusal> {
        let named = |parser: &mut Self, name: &str| -> Result<(), Refusal> {
            if !parser.accept_word(name) {
                return Err(syntax(name));
            }
            parser.expect(&Token::Equals)
        };
        named(self, "PropertyName")?;
        let Token::Quoted(property) = self.next()? else { return Err(syntax("PropertyName")) };
        let kind = self.type_of(&property)?;
        self.expect(&Token::Comma)?;
        named(self, "PropertyValues")?;
        self.expect(&Token::SquareOpen)?;
        let (mut values, mut characters) = (Vec::new(), 0);
        loop {
            let Token::Listed(text) = self.next()? else { return Err(syntax("PropertyValues")) };
            characters += text.chars().count();
            let token = if kind == Type::Text { Token::Quoted(text) } else { Token::Word(text) };
            values.push(literal(&token, kind)?);
            match self.next()? {
                Token::Comma => {}
                Token::SquareClose => break,
                other => return Err(syntax(&format!("{other:?}"))),
            }
        }
        self.expect(&Token::Close)?;
        if kind == Type::Text && characters > MAX_IN_TEXT {
            return Err(Refusal::bad_query(format!(
                "The values of In have {characters} characters; {MAX_IN_TEXT} are allowed."
            )));
        }
        Ok(Node::In { property, values })
    }

    fn type_of(&self, property: &str) -> Result<Type, Refusal> {
        (self.types)(property).ok_or_else(|| {
            Refusal::bad_query(format!(
                "Could not find a property named '{property}' on the type that is filtered."
            ))
        })
    }
}

/// Reads a literal and checks it against the property's type: a quoted GUID is a string and is refused.
fn literal(token: &Token, kind: Type) -> Result<Literal, Refusal> {
    let incompatible = || {
        Refusal::bad_query(format!(
            "A binary operator with incompatible types was detected: {token:?} against {kind:?}."
        ))
    };
    let word = match token {
        Token::Quoted(text) if kind == Type::Text => return Ok(Literal::Text(text.clone())),
        Token::Word(word) => word.as_str(),
        _ => return Err(incompatible()),
    };
    if word == "null" {
        return Ok(Literal::Null);
    }
    match kind {
        Type::Guid if word.len() == 36 => Uuid::parse_str(word).ok().map(Literal::Guid),
        Type::Number => word.parse().ok().map(Literal::Number),
        Type::Flag => word.parse().ok().map(Literal::Flag),
        Type::Time => word.parse().ok().map(Literal::Time),
        Type::Guid | Type::Text => None,
    }
    .ok_or_else(incompatible)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn types(name: &str) -> Option<Type> {
        match name {
            "id" => Some(Type::Guid),
            "name" => Some(Type::Text),
            "n" => Some(Type::Number),
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
    fn a_quoted_guid_an_unknown_property_and_a_cut_filter_are_refused() {
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
