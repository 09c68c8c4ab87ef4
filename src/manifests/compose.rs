//! Turns the YAML parser's events into JSON values, one document at a time. Rejects duplicate keys and alias bombs; after a
//! broken document, goes on with the next.

use std::collections::HashMap;

use serde_json::{Map, Value};
use serde_saphyr::granit_parser::{
    Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag, options,
};

use super::scalar;

/// Limit of the values that aliases add to one document. Ten nested levels of ten aliases turn a kilobyte into ten billion
/// values; no manifest needs more than a few.
const MAX_ALIASED_VALUES: usize = 100_000;

/// A document as composed, before lists are expanded.
#[derive(Debug)]
pub(super) struct Composed {
    pub value: Value,
    /// Line of the first content, counted from 1.
    pub line: usize,
    /// Byte range in the text, from the end of the previous document.
    pub start: usize,
    pub end: usize,
    /// Line of `start`, counted from 1.
    pub first_line: usize,
    /// Lines of the elements of the root's `items`, so that a `List` of a hundred thousand objects is not searched once per
    /// object. Empty for JSON.
    pub item_lines: Vec<usize>,
}

/// An error in one document.
#[derive(Debug)]
pub(super) struct ComposeError {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

impl ComposeError {
    fn at(mark: Marker, message: impl Into<String>) -> Self {
        Self { line: mark.line(), column: mark.col() + 1, message: message.into() }
    }
}

impl From<ScanError> for ComposeError {
    fn from(error: ScanError) -> Self {
        Self::at(*error.marker(), with_advice(&error.info()))
    }
}

/// The parser's words, with advice about the usual mistakes.
fn with_advice(info: &str) -> String {
    if info.split_whitespace().any(|word| matches!(word, "tab" | "tabs")) {
        return "a tab is not allowed here; indent with spaces".to_owned();
    }
    if info.contains("expected key") || info.contains("'-' indicator") {
        return format!("{info}; check the indentation of this line and of the one before it");
    }
    if info.contains("only valid inside a block") {
        return format!("{info}; if this is a Helm template, render it first: helm template");
    }
    info.to_owned()
}

/// The documents of one text, in order. Empty documents are left out.
pub(super) struct Composer<'text> {
    parser: Parser<'text, StrInput<'text>>,
    text: &'text str,
    anchors: HashMap<usize, (Value, usize)>,
    aliased: usize,
    depth: usize,
    item_lines: Vec<usize>,
    position: (usize, usize),
    done: bool,
}

impl<'text> Composer<'text> {
    pub(super) fn new(text: &'text str) -> Self {
        let parser = Parser::new_from_str_with_options(text, options! { emit_comments: false });
        Self {
            parser,
            text,
            anchors: HashMap::new(),
            aliased: 0,
            depth: 0,
            item_lines: Vec::new(),
            position: (0, 1),
            done: false,
        }
    }

    /// Byte and line at which the next document starts; `None` if there is none.
    pub(super) fn position(&self) -> Option<(usize, usize)> {
        (!self.done).then_some(self.position)
    }

    fn event(&mut self) -> Result<(Event<'text>, Span), ComposeError> {
        match self.parser.next_event() {
            Some(event) => Ok(event?),
            None => {
                Err(ComposeError { line: 1, column: 1, message: "the file ends inside a document".into() })
            }
        }
    }

    /// Reads up to and including the end of the next document; `None` at the end of the text.
    fn document(&mut self) -> Result<Option<Composed>, ComposeError> {
        loop {
            match self.event()? {
                (Event::StreamEnd, _) => return Ok(None),
                (Event::DocumentStart(..), _) => break,
                _ => {}
            }
        }
        self.anchors.clear();
        self.aliased = 0;
        self.depth = 0;
        self.item_lines.clear();
        let (event, span) = self.event()?;
        let empty = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, 0, None) if text.is_empty());
        let value = self.node(event, span, false)?.0;
        let end = loop {
            let (event, span) = self.event()?;
            if event == Event::DocumentEnd {
                break span.end;
            }
        };
        let (start, first_line) = self.position;
        let stop = end.byte_offset().unwrap_or(self.text.len());
        self.position = (stop, end.line());
        let value = if empty { Value::Null } else { value };
        let item_lines = std::mem::take(&mut self.item_lines);
        Ok(Some(Composed { value, line: span.start.line(), start, end: stop, first_line, item_lines }))
    }

    /// The value of a node whose first event was read, and the number of values in it.
    fn node(&mut self, event: Event<'text>, span: Span, note: bool) -> Result<(Value, usize), ComposeError> {
        let (value, size, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar_value(&text, style, tag.as_deref())
                    .map_err(|message| ComposeError::at(span.start, message))?;
                (value, 1, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                let (items, size) = self.sequence(note)?;
                (Value::Array(items), size, anchor)
            }
            Event::MappingStart(_, anchor, _) => {
                self.depth += 1;
                let (fields, size) = self.mapping()?;
                self.depth -= 1;
                (Value::Object(fields), size, anchor)
            }
            Event::Alias(id) => return self.alias(id, span),
            other => {
                return Err(ComposeError::at(span.start, format!("expected a value, got {other:?}")));
            }
        };
        if anchor != 0 {
            self.anchors.insert(anchor, (value.clone(), size));
        }
        Ok((value, size))
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(Value, usize), ComposeError> {
        let Some((value, size)) = self.anchors.get(&id) else {
            return Err(ComposeError::at(span.start, "an alias must not be inside the value it refers to"));
        };
        self.aliased += size;
        if self.aliased > MAX_ALIASED_VALUES {
            return Err(ComposeError::at(
                span.start,
                format!(
                    "aliases add more than {MAX_ALIASED_VALUES} values; write them out or split the document"
                ),
            ));
        }
        Ok((value.clone(), *size))
    }

    fn sequence(&mut self, note: bool) -> Result<(Vec<Value>, usize), ComposeError> {
        let mut items = Vec::new();
        let mut size = 1;
        loop {
            let (event, span) = self.event()?;
            if event == Event::SequenceEnd {
                return Ok((items, size));
            }
            if note {
                self.item_lines.push(span.start.line());
            }
            let (value, inner) = self.node(event, span, false)?;
            size += inner;
            items.push(value);
        }
    }

    fn mapping(&mut self) -> Result<(Map<String, Value>, usize), ComposeError> {
        let mut fields = Map::new();
        let mut merged = Vec::new();
        let mut size = 1;
        loop {
            let (event, span) = self.event()?;
            if event == Event::MappingEnd {
                break;
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let (key, _) = self.node(event, span, false)?;
            let (event, value_span) = self.event()?;
            let note = self.depth == 1 && key == "items";
            let (value, inner) = self.node(event, value_span, note)?;
            size += inner + 1;
            if merge {
                merged.push((value, value_span));
                continue;
            }
            let Some(name) = scalar::key(&key) else {
                let template = if key.is_object() {
                    "; if this is a Helm template, render it first: helm template"
                } else {
                    ""
                };
                let message = format!("a key must be a string, a number or a boolean{template}");
                return Err(ComposeError::at(span.start, message));
            };
            if fields.contains_key(&name) {
                let message = format!("duplicate key `{name}`; keep one of them");
                return Err(ComposeError::at(span.start, message));
            }
            fields.insert(name, value);
        }
        for (value, span) in merged {
            merge_into(&mut fields, value, span)?;
        }
        Ok((fields, size))
    }
}

/// Adds the fields of a `<<` merge. Fields of the mapping itself take precedence.
fn merge_into(fields: &mut Map<String, Value>, value: Value, span: Span) -> Result<(), ComposeError> {
    match value {
        Value::Object(other) => {
            for (name, value) in other {
                fields.entry(name).or_insert(value);
            }
            Ok(())
        }
        Value::Array(others) => others.into_iter().try_for_each(|other| merge_into(fields, other, span)),
        _ => Err(ComposeError::at(span.start, "`<<` needs a mapping or a list of mappings")),
    }
}

fn scalar_value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    match tag {
        Some(tag) => match tag.suffix_in_namespace("tag:yaml.org,2002:") {
            Some(suffix) => scalar::tagged(&suffix, text),
            None => Ok(Value::String(text.to_owned())),
        },
        None if style == ScalarStyle::Plain => scalar::plain(text),
        None => Ok(Value::String(text.to_owned())),
    }
}

impl Iterator for Composer<'_> {
    type Item = Result<Composed, ComposeError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            match self.document() {
                Ok(None) => self.done = true,
                Ok(Some(composed)) if composed.value.is_null() => {}
                Ok(Some(composed)) => return Some(Ok(composed)),
                Err(error) => {
                    // Continue at the next `---`: one broken document must not hide the others.
                    match self.parser.proceed_next_document() {
                        Ok(true) => self.resume_after(&error),
                        Ok(false) | Err(_) => self.done = true,
                    }
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl Composer<'_> {
    /// Takes the start of the next document from the parser's next event.
    fn resume_after(&mut self, error: &ComposeError) {
        let next = match self.parser.peek() {
            Some(Ok((_, span))) => span.start.byte_offset().map(|start| (start, span.start.line())),
            _ => None,
        };
        self.position = next.unwrap_or((self.position.0, error.line));
    }
}
