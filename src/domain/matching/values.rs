//! The values of one filter, in one piece of memory.

/// A list of strings: their text, and four bytes for each.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    text: Box<str>,
    /// Where each value ends; it begins where the one before ends.
    ends: Box<[u32]>,
}

impl Values {
    pub(super) fn of(values: impl Iterator<Item = String>) -> Self {
        let (mut text, mut ends) = (String::new(), Vec::new());
        for value in values {
            text.push_str(&value);
            // The API server limits a rule to far less than 4 GiB.
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        Self { text: text.into(), ends: ends.into() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        let mut begin = 0;
        self.ends.iter().map(move |end| {
            let end = *end as usize;
            &self.text[std::mem::replace(&mut begin, end)..end]
        })
    }

    pub(super) fn contains(&self, wanted: &str) -> bool {
        self.all().any(|value| value == wanted)
    }

    /// Whether a field passes: without values, always.
    pub(super) fn admit(&self, field: Option<&String>) -> bool {
        self.is_empty() || field.is_some_and(|field| self.contains(field))
    }

    /// Bytes on the heap.
    pub(super) fn heap_size(&self) -> usize {
        self.text.len() + size_of_val(&*self.ends)
    }
}
