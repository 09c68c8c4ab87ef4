//! Paths to fields in the API server's spelling, built only when an error is reported.

use std::fmt;

/// A path as a chain of borrowed steps, so that walking an object allocates nothing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'a> {
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
    pub(super) fn is_root(&self) -> bool {
        matches!(self, Path::Root)
    }

    /// The spelling of the OpenAPI validator, which writes map keys like fields.
    pub(super) fn dotted(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, true);
        text
    }

    fn write(&self, text: &mut String, dotted: bool) {
        match self {
            Path::Root => {}
            Path::Field(parent, name) => {
                parent.write(text, dotted);
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            Path::Key(parent, name) if dotted => Path::Field(parent, name).write(text, dotted),
            Path::Key(parent, name) => {
                parent.write(text, dotted);
                text.push_str(&format!("[{name}]"));
            }
            Path::Index(parent, index) => {
                parent.write(text, dotted);
                text.push_str(&format!("[{index}]"));
            }
        }
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
