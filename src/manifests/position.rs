//! Locates a field in a document's text. It runs only for errors, so that loading a hundred thousand valid documents keeps
//! no table of positions.

use serde_saphyr::granit_parser::{Event, Marker, Parser, Span, StrInput, options};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
}

impl From<Marker> for Location {
    fn from(mark: Marker) -> Self {
        Self { line: mark.line(), column: mark.col() + 1 }
    }
}

/// The location of `path` in the first document of `text`, or of its nearest parent. `None` if the text is not YAML.
pub(super) fn find(text: &str, path: &str) -> Option<Location> {
    let mut search =
        Search { parser: Parser::new_from_str_with_options(text, options! { emit_comments: false }) };
    loop {
        if let (Event::DocumentStart(..), _) = search.event()? {
            break;
        }
    }
    let (event, span) = search.event()?;
    let mut found = Location::from(span.start);
    search.descend(&event, path, &mut found);
    Some(found)
}

struct Search<'text> {
    parser: Parser<'text, StrInput<'text>>,
}

impl<'text> Search<'text> {
    fn event(&mut self) -> Option<(Event<'text>, Span)> {
        self.parser.next_event()?.ok()
    }

    /// Follows `path` from the node that `event` opens; `found` is the last step that exists.
    fn descend(&mut self, event: &Event<'text>, path: &str, found: &mut Location) -> Option<()> {
        if path.is_empty() {
            return Some(());
        }
        match event {
            Event::MappingStart(..) => self.in_mapping(path, found),
            Event::SequenceStart(..) => self.in_sequence(path, found),
            _ => None,
        }
    }

    fn in_mapping(&mut self, path: &str, found: &mut Location) -> Option<()> {
        loop {
            let (key, span) = self.event()?;
            if key == Event::MappingEnd {
                return None;
            }
            let rest = key.scalar().and_then(|(name, _)| step_into(path, name));
            if key.scalar().is_none() {
                self.skip(&key)?;
            }
            let (value, _) = self.event()?;
            if let Some(rest) = rest {
                let mut inner = Location::from(span.start);
                let complete = self.descend(&value, rest, &mut inner);
                *found = inner;
                return complete;
            }
            self.skip(&value)?;
        }
    }

    fn in_sequence(&mut self, path: &str, found: &mut Location) -> Option<()> {
        let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
        let index: usize = index.parse().ok()?;
        for position in 0.. {
            let (event, span) = self.event()?;
            if event == Event::SequenceEnd {
                return None;
            }
            if position == index {
                *found = Location::from(span.start);
                return self.descend(&event, rest.strip_prefix('.').unwrap_or(rest), found);
            }
            self.skip(&event)?;
        }
        None
    }

    /// Skips the rest of a node whose first event was read.
    fn skip(&mut self, event: &Event<'text>) -> Option<()> {
        let mut depth = match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => 1,
            _ => return Some(()),
        };
        while depth > 0 {
            match self.event()?.0 {
                Event::MappingStart(..) | Event::SequenceStart(..) => depth += 1,
                Event::MappingEnd | Event::SequenceEnd => depth -= 1,
                _ => {}
            }
        }
        Some(())
    }
}

/// The rest of `path` after the key `name`, which may contain dots; `None` if `path` does not begin with it. Both `labels.app` and `labels[app]` name the key `app`.
pub fn step_into<'path>(path: &'path str, name: &str) -> Option<&'path str> {
    let bracketed = path.strip_prefix('[').and_then(|inner| inner.strip_prefix(name));
    if let Some(rest) = bracketed.and_then(|rest| rest.strip_prefix(']')) {
        return Some(rest.strip_prefix('.').unwrap_or(rest));
    }
    let rest = path.strip_prefix(name)?;
    match rest.as_bytes().first() {
        None | Some(b'[') => Some(rest),
        Some(b'.') => Some(&rest[1..]),
        Some(_) => None,
    }
}
