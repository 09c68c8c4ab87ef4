//! Paths of fields in the API server's spelling, written only when an error is reported.

use std::fmt::{self, Write as _};

/// A path as a chain of borrowed steps: walking an object allocates nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Path<'a> {
    /// The object itself.
    Root,
    /// A declared property.
    Field(&'a Path<'a>, &'a str),
    /// A key of a map.
    Key(&'a Path<'a>, &'a str),
    /// An element of a list.
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    pub(crate) fn is_root(&self) -> bool {
        matches!(self, Path::Root)
    }

    /// The spelling of the `OpenAPI` validator, which writes map keys like fields.
    pub(crate) fn dotted(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, true);
        text
    }

    fn write(&self, text: &mut String, dotted: bool) {
        let (Path::Field(parent, _) | Path::Key(parent, _) | Path::Index(parent, _)) = self else { return };
        parent.write(text, dotted);
        let written = match self {
            Path::Field(_, name) if text.is_empty() => write!(text, "{name}"),
            Path::Field(_, name) => write!(text, ".{name}"),
            Path::Key(_, name) if dotted => write!(text, ".{name}"),
            Path::Key(_, name) => write!(text, "[{name}]"),
            Path::Index(_, index) => write!(text, "[{index}]"),
            Path::Root => Ok(()),
        };
        written.expect("a String takes every write");
    }
}

/// The spelling of `field.Path`: map keys in brackets, and `<nil>` for the object itself.
impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return formatter.write_str("<nil>");
        }
        let mut text = String::new();
        self.write(&mut text, false);
        formatter.write_str(&text)
    }
}
