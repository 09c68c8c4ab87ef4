//! Turns the YAML parser's events for one document into a JSON value. Rejects duplicate keys, alias bombs, and what tools
//! read differently.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value};
use serde_saphyr::granit_parser::{
    Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle, Tag, options,
};

use super::document::ManifestError;
use super::position::Location;
use super::{recognize, scalar};

/// Limit of the values that aliases add to one document. Ten nested levels of ten aliases turn a kilobyte into ten billion
/// values; no manifest needs more than a few.
const MAX_ALIASED_VALUES: usize = 100_000;

/// Limit of mappings and sequences inside one another, as in `serde_json`: deeper values could not be sent as JSON.
const MAX_DEPTH: usize = 127;

/// A document as composed, before lists are expanded.
#[derive(Debug)]
pub(super) struct Composed {
    pub value: Value,
    /// Line of the first content, counted from 1.
    pub line: usize,
    /// Places of the elements of the root's `items`, so that a `List` of a hundred thousand objects is not searched once per
    /// object. Empty for JSON.
    pub items: Vec<Place>,
}

/// Where a node begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub location: Location,
    pub byte: usize,
}

/// An error in one document.
#[derive(Debug)]
pub(super) struct ComposeError {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

impl ComposeError {
    pub(super) fn at(mark: Marker, message: impl Into<String>) -> Self {
        Self { line: mark.line(), column: mark.col() + 1, message: message.into() }
    }

    /// The same in a text that begins on line `first`, counted from 1.
    pub(super) fn below(mut self, first: usize) -> Self {
        self.line += first - 1;
        self
    }

    /// Advises to render a template, or to quote a value.
    pub(super) fn with_hint(mut self, text: &str) -> Self {
        if text.contains("{{") {
            if !self.message.contains("helm template") {
                self.message.push_str(TEMPLATE);
            }
        } else if recognize::is_indented_separator(text, self.line) {
            self.message.push_str("; begin the line `---` without spaces");
        } else if !NOT_FOR_WANT_OF_QUOTES.iter().any(|begin| self.message.starts_with(begin))
            && recognize::is_unquoted(text, self.line)
        {
            self.message.push_str(QUOTES);
        }
        self
    }

    /// The message becomes one short line: it may quote a key of any length.
    pub(super) fn in_file(self, file: &Path) -> ManifestError {
        let mut message: String = self.message.chars().take(MAX_MESSAGE).flat_map(one_line).collect();
        if self.message.chars().nth(MAX_MESSAGE).is_some() {
            message.push('…');
        }
        ManifestError::Syntax { file: file.to_owned(), line: self.line, column: self.column, message }
    }
}

const TAB: &str = "a tab is not allowed here; indent with spaces";
const DUPLICATE: &str = "duplicate key";
/// How messages begin that have nothing to do with quotes.
const NOT_FOR_WANT_OF_QUOTES: [&str; 3] = [TAB, DUPLICATE, recognize::MARK];
const MAX_MESSAGE: usize = 300;
const QUOTES: &str = "; put the value in quotes";
const TEMPLATE: &str = "; if this is a Helm template, render it first: helm template";

fn one_line(letter: char) -> impl Iterator<Item = char> {
    let escaped = letter.is_control().then(|| letter.escape_default());
    let plain = escaped.is_none().then_some(letter);
    escaped.into_iter().flatten().chain(plain)
}

impl From<ScanError> for ComposeError {
    fn from(error: ScanError) -> Self {
        Self::at(*error.marker(), with_advice(&error.info()))
    }
}

/// The parser's words, with advice about the usual mistakes.
fn with_advice(info: &str) -> String {
    if info.split_whitespace().any(|word| matches!(word, "tab" | "tabs")) {
        return TAB.to_owned();
    }
    if info.contains("directive") {
        return "kubectl does not read directives such as %YAML; remove this line and the `---` below it"
            .to_owned();
    }
    if info.contains("nesting") || info.contains("recursion") {
        return format!("mappings and sequences are nested more than {MAX_DEPTH} levels deep");
    }
    if info.contains("expected key") || info.contains("'-' indicator") {
        return format!("{info}; check the indentation of this line and of the one before it");
    }
    if info.contains("only valid inside a block") {
        return format!("{info}; if this is a Helm template, render it first: helm template");
    }
    info.to_owned()
}

/// The only document of a text; `None` if it is empty or holds only comments.
pub(super) fn compose(text: &str) -> Result<Option<Composed>, ComposeError> {
    let parser = Parser::new_from_str_with_options(
        text,
        options! {
            emit_comments: false,
            disallow_directives: true,
        },
    );
    let composer = Composer {
        parser,
        text,
        anchors: HashMap::new(),
        aliased: 0,
        depth: 0,
        items: Vec::new(),
        tabs: text.contains('\t'),
        free: Vec::new(),
        in_flow: false,
        end: 0,
    };
    composer.document()
}

struct Composer<'text> {
    parser: Parser<'text, StrInput<'text>>,
    text: &'text str,
    anchors: HashMap<usize, (Value, usize)>,
    aliased: usize,
    depth: usize,
    items: Vec<Place>,
    /// Whether the text has tabs; only then, `free` holds the bytes in which they are not indentation: scalars and flow
    /// collections.
    tabs: bool,
    free: Vec<Range<usize>>,
    in_flow: bool,
    /// Byte at which the last event ended.
    end: usize,
}

impl<'text> Composer<'text> {
    fn event(&mut self) -> Result<(Event<'text>, Span), ComposeError> {
        match self.parser.next_event() {
            Some(event) => {
                let (event, span) = event?;
                self.end = span.end.byte_offset().unwrap_or(self.end);
                Ok((event, span))
            }
            None => {
                Err(ComposeError { line: 1, column: 1, message: "the file ends inside a document".into() })
            }
        }
    }

    fn document(mut self) -> Result<Option<Composed>, ComposeError> {
        if self.start()?.is_none() {
            return Ok(None);
        }
        let (event, span) = self.event()?;
        let empty = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, 0, None) if text.is_empty());
        let value = self.node(event, span, false)?.0;
        while self.event()?.0 != Event::DocumentEnd {}
        if let Some(another) = self.start()? {
            // kubectl reads no more of the text, and does not say so.
            let message = "kubectl does not read what follows the end of a document; begin the next one with a line `---`";
            return Err(ComposeError::at(another.start, message));
        }
        self.tabs()?;
        let composed = Composed { value, line: span.start.line(), items: self.items };
        Ok(Some(composed).filter(|composed| !empty && !composed.value.is_null()))
    }

    /// The place of the next document's start; `None` at the end of the text.
    fn start(&mut self) -> Result<Option<Span>, ComposeError> {
        loop {
            match self.event()? {
                (Event::StreamEnd, _) => return Ok(None),
                (Event::DocumentStart(..), span) => return Ok(Some(span)),
                _ => {}
            }
        }
    }

    /// The value of a node whose first event was read, and the number of values in it.
    fn node(&mut self, event: Event<'text>, span: Span, note: bool) -> Result<(Value, usize), ComposeError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("mappings and sequences are nested more than {MAX_DEPTH} levels deep");
            return Err(ComposeError::at(span.start, message));
        }
        let (value, size, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar_value(&text, style, tag.as_deref())
                    .and_then(|value| self.scalar(span, style).map(|()| value))
                    .map_err(|message| ComposeError::at(span.start, message))?;
                (value, 1, anchor)
            }
            Event::SequenceStart(style, anchor, _) => {
                let (items, size) = self.collection(style, span, |it| it.sequence(note))?;
                (Value::Array(items), size, anchor)
            }
            Event::MappingStart(style, anchor, _) => {
                let (fields, size) = self.collection(style, span, Self::mapping)?;
                (Value::Object(fields), size, anchor)
            }
            Event::Alias(id) => {
                self.depth -= 1;
                return self.alias(id, span);
            }
            other => {
                return Err(ComposeError::at(span.start, format!("expected a value, got {other:?}")));
            }
        };
        self.depth -= 1;
        if anchor != 0 {
            self.anchors.insert(anchor, (value.clone(), size));
        }
        Ok((value, size))
    }

    /// Reads the rest of a mapping or sequence, and notes where the outermost in flow style is.
    fn collection<T>(
        &mut self,
        style: StructureStyle,
        span: Span,
        read: impl FnOnce(&mut Self) -> Result<T, ComposeError>,
    ) -> Result<T, ComposeError> {
        let outermost = style == StructureStyle::Flow && !self.in_flow;
        self.in_flow |= outermost;
        let value = read(self)?;
        if outermost {
            self.in_flow = false;
            self.free.push(span.start.byte_offset().unwrap_or(self.end)..self.end);
        }
        Ok(value)
    }

    /// Notes where a scalar is, and rejects what only YAML 1.2 has in it.
    fn scalar(&mut self, span: Span, style: ScalarStyle) -> Result<(), String> {
        let (Some(start), Some(end)) = (span.start.byte_offset(), span.end.byte_offset()) else {
            return Ok(());
        };
        if self.tabs && !self.in_flow {
            self.free.push(start..end);
        }
        let text = self.text.get(start..end).unwrap_or_default();
        match style {
            ScalarStyle::DoubleQuoted => scalar::known_escapes(text),
            ScalarStyle::Literal | ScalarStyle::Folded if self.tabs => scalar::no_leading_tab(text),
            _ => Ok(()),
        }
    }

    /// Rejects tabs as indentation, which YAML 1.2 allows in some places. In scalars, they are text.
    fn tabs(&self) -> Result<(), ComposeError> {
        let mut at = 0;
        for (number, line) in self.text.split_inclusive('\n').enumerate().filter(|_| self.tabs) {
            let tab = line.find(|letter| letter != ' ').unwrap_or_default();
            let begins = line[tab..].starts_with('\t') || line[tab..].starts_with("-\t");
            let outside = |range: &Range<usize>| !range.contains(&(at + tab));
            let next = self.free.partition_point(|range| range.end <= at + tab);
            if begins && self.free.get(next).is_none_or(outside) {
                return Err(ComposeError { line: number + 1, column: tab + 1, message: TAB.to_owned() });
            }
            at += line.len();
        }
        Ok(())
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
                self.items.push(Place {
                    location: span.start.into(),
                    byte: span.start.byte_offset().unwrap_or_default(),
                });
            }
            let (value, inner) = self.node(event, span, false)?;
            size += inner;
            items.push(value);
        }
    }

    fn mapping(&mut self) -> Result<(Map<String, Value>, usize), ComposeError> {
        let mut fields = Map::new();
        let mut merge = None;
        let mut size = 1;
        loop {
            let (event, span) = self.event()?;
            if event == Event::MappingEnd {
                break;
            }
            let is_merge = is_merge(&event);
            let plain = match &event {
                Event::Scalar(text, ScalarStyle::Plain, ..) => Some(text.clone()),
                _ => None,
            };
            let (key, _) = self.node(event, span, false)?;
            let (event, value_span) = self.event()?;
            let from_alias = matches!(event, Event::Alias(_));
            let note = self.depth == 1 && key == "items";
            let (value, inner) = self.node(event, value_span, note)?;
            size += inner + 1;
            let error = |message: String| Err(ComposeError::at(span.start, message));
            if is_merge {
                if merge.is_some() {
                    return error(format!("{DUPLICATE} `<<`; write one `<<` with a list"));
                }
                merge = Some((merged(value, from_alias, value_span)?, fields.clone(), span));
                continue;
            }
            let Some(name) = scalar::key(&key, plain.as_deref()) else {
                return error(match key {
                    Value::Object(_) => format!("{KEYS}{TEMPLATE}"),
                    Value::Number(_) => {
                        "kubectl writes a number of this form differently as a key; put it in quotes"
                            .to_owned()
                    }
                    _ => KEYS.to_owned(),
                });
            };
            if name.starts_with("//") || name.starts_with("/*") {
                return error(
                    "JSON has no comments, and kubectl reads this one as a key; remove it".to_owned(),
                );
            }
            if fields.contains_key(&name) {
                let joined = self.depth == 1 && ["apiVersion", "kind"].contains(&name.as_str());
                let advice =
                    if joined { "begin the next document with a line `---`" } else { "keep one of them" };
                return error(format!("{DUPLICATE} `{name}`; {advice}"));
            }
            fields.insert(name, value);
        }
        if let Some((merged, before, span)) = merge {
            if let Some(name) = merged.keys().find(|name| before.contains_key(*name)) {
                // YAML says the key above it, kubectl says the merge.
                let message = format!(
                    "`<<` also has the key `{name}`, and tools differ in which one they take; write `<<` first"
                );
                return Err(ComposeError::at(span.start, message));
            }
            for (name, value) in merged {
                fields.entry(name).or_insert(value);
            }
        }
        Ok((fields, size))
    }
}

const KEYS: &str = "a key must be a string, a number or a boolean";

fn is_merge(event: &Event) -> bool {
    let Event::Scalar(text, style, _, tag) = event else { return false };
    let tagged = |tag: &Tag| tag.suffix_in_namespace(YAML_TAGS).as_deref() == Some("merge");
    text == "<<" && tag.as_deref().map_or(*style == ScalarStyle::Plain, tagged)
}

/// The fields of a `<<` merge; the first mapping of a list takes precedence.
fn merged(value: Value, from_alias: bool, span: Span) -> Result<Map<String, Value>, ComposeError> {
    let wrong = || ComposeError::at(span.start, "`<<` needs a mapping or a list of mappings");
    let mappings = match value {
        Value::Array(values) if !from_alias => values,
        value => vec![value],
    };
    let mut fields = Map::new();
    for mapping in mappings {
        let Value::Object(mapping) = mapping else { return Err(wrong()) };
        for (name, value) in mapping {
            fields.entry(name).or_insert(value);
        }
    }
    Ok(fields)
}

/// The prefix of `!!` tags.
const YAML_TAGS: &str = "tag:yaml.org,2002:";

fn scalar_value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    match tag {
        Some(tag) => match tag.suffix_in_namespace(YAML_TAGS) {
            Some(suffix) => scalar::tagged(&suffix, text),
            None => Ok(Value::String(text.to_owned())),
        },
        None if style == ScalarStyle::Plain => scalar::plain(text),
        None => Ok(Value::String(text.to_owned())),
    }
}
