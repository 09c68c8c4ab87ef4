//! Interns strings that many links share.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU32,
    sync::Arc,
};

/// An interned string. Non-zero, so `Option<Symbol>` takes no extra space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(NonZeroU32);

/// Namespaces, connections, rules, tables, organizations. They are few, however many links exist.
#[derive(Default)]
pub struct Interner {
    symbols: HashMap<Arc<str>, Symbol>,
    strings: Vec<Arc<str>>,
    free: Vec<Symbol>,
    /// With this many strings, those that are no longer used are dropped.
    full: usize,
}

/// Strings that are kept although none of them may be used any more.
const SLACK: usize = 1024;

impl Interner {
    pub fn intern(&mut self, text: &str) -> Symbol {
        if let Some(symbol) = self.symbols.get(text) {
            return *symbol;
        }
        let text: Arc<str> = text.into();
        let symbol = if let Some(symbol) = self.free.pop() {
            self.strings[place(symbol)] = text.clone();
            symbol
        } else {
            self.strings.push(text.clone());
            let number = u32::try_from(self.strings.len()).ok().and_then(NonZeroU32::new);
            Symbol(number.unwrap_or(NonZeroU32::MAX))
        };
        self.symbols.insert(text, symbol);
        symbol
    }

    /// The symbol of a string, if it is interned.
    pub fn find(&self, text: &str) -> Option<Symbol> {
        self.symbols.get(text).copied()
    }

    /// `symbol` is in use.
    pub fn text(&self, symbol: Symbol) -> &Arc<str> {
        &self.strings[place(symbol)]
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.symbols.len()
    }

    /// Whether it may have many strings that nobody uses: a tenant that edits the names in an object in a loop would
    /// otherwise fill the memory.
    pub fn is_full(&self) -> bool {
        self.symbols.len() >= self.full.max(SLACK)
    }

    /// Drops all strings but these.
    pub fn keep(&mut self, used: &HashSet<Symbol>) {
        let (strings, free) = (&mut self.strings, &mut self.free);
        self.symbols.retain(|_, symbol| {
            let keep = used.contains(symbol);
            if !keep {
                strings[place(*symbol)] = Arc::default();
                free.push(*symbol);
            }
            keep
        });
        self.full = 2 * self.symbols.len() + SLACK;
    }
}

fn place(symbol: Symbol) -> usize {
    symbol.0.get() as usize - 1
}
