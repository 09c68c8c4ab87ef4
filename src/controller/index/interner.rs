//! Interns strings that many links share.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc};

/// An interned string. Non-zero, so `Option<Symbol>` takes no extra space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(NonZeroU32);

/// Namespaces, connections, rules, tables, organizations. They are few, however many links exist, and never dropped.
#[derive(Default)]
pub struct Interner {
    symbols: HashMap<Arc<str>, Symbol>,
    strings: Vec<Arc<str>>,
}

impl Interner {
    pub fn intern(&mut self, text: &str) -> Symbol {
        if let Some(symbol) = self.symbols.get(text) {
            return *symbol;
        }
        let text: Arc<str> = text.into();
        self.strings.push(text.clone());
        let number = u32::try_from(self.strings.len()).ok().and_then(NonZeroU32::new);
        let symbol = Symbol(number.unwrap_or(NonZeroU32::MAX));
        self.symbols.insert(text, symbol);
        symbol
    }

    /// The symbol of a string, if it is interned.
    pub fn find(&self, text: &str) -> Option<Symbol> {
        self.symbols.get(text).copied()
    }

    pub fn text(&self, symbol: Symbol) -> &Arc<str> {
        &self.strings[symbol.0.get() as usize - 1]
    }
}
