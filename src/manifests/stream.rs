//! Divides a file into documents as kubectl does: JSON values if it begins with `{`, otherwise YAML between lines `---`.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::compose::{ComposeError, Composed, compose};
use super::document::{Document, Item, ManifestError, Origin};
use super::json::{self, JsonError};
use super::{list, recognize};

pub(super) const NOT_AN_OBJECT: &str =
    "not a Kubernetes object: expected a mapping with apiVersion, kind and metadata";

/// Documents and errors, in order.
pub(super) type Results = VecDeque<Result<Document, ManifestError>>;

/// A file that is read document by document, so that a hundred thousand documents are never values in memory all at once.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    text: Arc<str>,
    /// Byte at which the next document starts; `line` is its line, counted from 1.
    at: usize,
    line: usize,
    /// The number of JSON values read; `None` since the rest is YAML.
    values: Option<usize>,
}

/// The text of one YAML document: bytes of the file and, counted from 1, the line of the first.
struct Chunk {
    start: usize,
    end: usize,
    line: usize,
}

impl File {
    pub(super) fn new(path: &Path, text: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}');
        let values = text.trim_start().starts_with('{').then_some(0);
        Self { path: path.to_owned(), text: text.into(), at: 0, line: 1, values }
    }

    /// Reads the next document into `results`; false when there is none.
    pub(super) fn read(&mut self, results: &mut Results) -> bool {
        if self.values.is_some() && self.blank() {
            return false;
        }
        if self.at >= self.text.len() {
            return false;
        }
        let Some(values) = self.values else {
            self.yaml(results);
            return true;
        };
        match json::first(&self.text[self.at..]) {
            Ok((value, taken)) => {
                let chunk = Chunk { start: self.at, end: self.at + taken, line: self.line };
                self.line += lines(&self.text[chunk.start..chunk.end]);
                self.at = chunk.end;
                self.values = Some(values + 1);
                self.push(results, &chunk, Composed { value, line: chunk.line, items: Vec::new() });
            }
            // After two values it is JSON for certain.
            Err(JsonError { may_be_yaml: true, .. }) if values < 2 => {
                self.values = None;
                self.yaml(results);
            }
            Err(JsonError { error, .. }) => {
                results.push_back(Err(error.below(self.line).in_file(&self.path)));
                self.at = self.text.len();
            }
        }
        true
    }

    /// Skips white space between JSON values; true at the end of the file.
    fn blank(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        self.line += lines(&rest[..blank]);
        self.at += blank;
        self.at == self.text.len()
    }

    /// Reads up to the next line `---`.
    fn yaml(&mut self, results: &mut Results) {
        let mut chunk = Chunk { start: self.at, end: self.at, line: self.line };
        let mut wrong = None;
        let text = Arc::clone(&self.text);
        for line in text[self.at..].split_inclusive('\n') {
            self.at += line.len();
            self.line += 1;
            if let Some(rest) = line.strip_prefix("---") {
                let rest = rest.trim();
                wrong = (!rest.is_empty() && !rest.starts_with('#')).then_some(self.line - 1);
                break;
            }
            chunk.end = self.at;
        }
        self.document(results, &mut chunk);
        let Some(line) = wrong else { return };
        let message =
            "kubectl reads nothing but a comment in the line `---`; begin the document on the next line";
        let error = ComposeError { line, column: 1, message: message.to_owned() };
        results.push_back(Err(error.in_file(&self.path)));
        // The document of that line lacks its beginning.
        let rest = &text[self.at..];
        let end = if rest.starts_with("---") { Some(0) } else { rest.find("\n---").map(|at| at + 1) };
        let end = end.unwrap_or(rest.len());
        self.line += lines(&rest[..end]);
        self.at += end;
    }

    fn document(&self, results: &mut Results, chunk: &mut Chunk) {
        let text = &self.text[chunk.start..chunk.end];
        let marks = text.len() - text.trim_start_matches('\u{feff}').len();
        chunk.start += marks;
        let text = &text[marks..];
        let composed = match recognize::unreadable(text) {
            Some(error) => Err(error),
            None => compose(text),
        };
        match composed {
            Ok(None) => {}
            Ok(Some(mut composed)) if composed.value.is_object() => {
                let above = chunk.line - 1;
                composed.line += above;
                for item in &mut composed.items {
                    item.location.line += above;
                    item.byte += chunk.start;
                }
                self.push(results, chunk, composed);
            }
            other => {
                let error = recognize::guess(text).unwrap_or_else(|| match other {
                    Ok(composed) => ComposeError {
                        line: composed.map_or(1, |composed| composed.line),
                        column: 1,
                        message: NOT_AN_OBJECT.to_owned(),
                    },
                    Err(error) => error.with_hint(text),
                });
                results.push_back(Err(error.below(chunk.line).in_file(&self.path)));
            }
        }
    }

    /// Adds the object, or the objects of a `List`.
    fn push(&self, results: &mut Results, chunk: &Chunk, composed: Composed) {
        let Composed { value, line, items: places } = composed;
        let document = |value, item| Document {
            file: self.path.clone(),
            line,
            value,
            origin: Origin {
                text: Arc::clone(&self.text),
                start: chunk.start,
                end: chunk.end,
                first_line: chunk.line,
                item,
            },
        };
        let fault = |document: &Document, field: &str, message: &str| {
            let place = document.locate(field);
            let error = ComposeError { line: place.line, column: place.column, message: message.to_owned() };
            Err(error.in_file(&self.path))
        };
        let item_of = |value, index: usize| {
            let place = places.get(index).copied();
            let line = place.map_or(line, |place| place.location.line);
            Document { line, ..document(value, Some(Item { index, place })) }
        };
        match value {
            Value::Object(fields) if list::is_list(&fields) => match list::items(fields) {
                Err(message) => results.push_back(fault(&document(Value::Null, None), "items", message)),
                Ok(items) => results.extend(items.into_iter().enumerate().map(|(index, item)| match item {
                    Ok(value) => Ok(item_of(value, index)),
                    Err(wrong) => fault(&item_of(Value::Null, index), "", wrong),
                })),
            },
            Value::Object(_) => results.push_back(Ok(document(value, None))),
            _ => results.push_back(fault(&document(value, None), "", NOT_AN_OBJECT)),
        }
    }
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}
