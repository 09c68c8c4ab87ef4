//! Strings that many links share, kept once.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc};

/// A shared string. Non-zero, so `Option<Symbol>` takes no extra space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(NonZeroU32);

/// The shared strings: namespaces, connections, rules, tables, organisations. There are few of them, however many
/// links there are, so they are never dropped.
#[derive(Default)]
pub struct Interner {
    numbers: HashMap<Arc<str>, Symbol>,
    strings: Vec<Arc<str>>,
}

impl Interner {
    /// The number of a string.
    pub fn intern(&mut self, text: &str) -> Symbol {
        if let Some(symbol) = self.numbers.get(text) {
            return *symbol;
        }
        let text: Arc<str> = text.into();
        self.strings.push(text.clone());
        let number = u32::try_from(self.strings.len()).ok().and_then(NonZeroU32::new);
        let symbol = Symbol(number.unwrap_or(NonZeroU32::MAX));
        self.numbers.insert(text, symbol);
        symbol
    }

    /// The number of a string, if it has one.
    pub fn find(&self, text: &str) -> Option<Symbol> {
        self.numbers.get(text).copied()
    }

    /// The string of a number.
    pub fn text(&self, symbol: Symbol) -> &Arc<str> {
        &self.strings[symbol.0.get() as usize - 1]
    }
}
