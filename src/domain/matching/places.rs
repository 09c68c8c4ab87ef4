//! Where the words of a text are that have what a keyword demands of a word. A tenant may write a post of the same word
//! sixteen thousand times and a hundred thousand keywords with a sign that none of them has, so a keyword does not look at
//! the words one by one, but at 64 at a time.

use super::words::{Demand, Word, Words};
use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    ops::Range,
    rc::Rc,
};

/// Positions in a text, one bit each.
#[derive(Clone)]
pub(super) struct Bits(Box<[u64]>);

impl Bits {
    /// All positions up to a number.
    pub(super) fn up_to(number: usize) -> Self {
        let mut bits = vec![u64::MAX; number.div_ceil(64)];
        if let (Some(last), used @ 1..) = (bits.last_mut(), number % 64) {
            *last = (1 << used) - 1;
        }
        Self(bits.into())
    }

    fn of(positions: impl Iterator<Item = usize>, words: usize) -> Self {
        let mut bits = vec![0; words.div_ceil(64)];
        for position in positions {
            bits[position / 64] |= 1 << (position % 64);
        }
        Self(bits.into())
    }

    /// Keeps each position if the one that lies `offset` behind it is in `others`.
    pub(super) fn keep(&mut self, others: &Self, offset: usize) {
        let (whole, part) = (offset / 64, offset % 64);
        let at = |n: usize| others.0.get(n + whole).copied().unwrap_or_default();
        for (n, bits) in self.0.iter_mut().enumerate() {
            let next = if part == 0 { 0 } else { at(n + 1) << (64 - part) };
            *bits &= (at(n) >> part) | next;
        }
    }

    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|bits| bits.count_ones() as usize).sum()
    }

    pub(super) fn positions(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(n, bits)| {
            let rest = std::iter::successors(Some(*bits), |bits| Some(bits & bits.wrapping_sub(1)));
            rest.take_while(|bits| *bits != 0).map(move |bits| n * 64 + bits.trailing_zeros() as usize)
        })
    }
}

/// A range in one of the lists of [`Places`].
type Found = (Order, Range<usize>);

/// One of these lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Order {
    Demands,
    Sorted,
}

/// Places in the words of one text. Each part is made when it is first looked up.
#[derive(Default)]
pub(super) struct Places {
    /// Its keys are random, so that nobody can write words that collide.
    hasher: RandomState,
    /// What a keyword may demand of each word, in the upper half as a hash, and in the lower half where it is.
    demands: OnceCell<Box<[u64]>>,
    /// Where the words are, in the order of their text.
    sorted: OnceCell<Box<[u64]>>,
    /// The ranges that have many words.
    many: RefCell<HashMap<Found, Rc<Bits>>>,
}

impl Places {
    /// Where words have what a keyword demands; rarely, others are among them.
    pub(super) fn of(&self, words: &Words, demand: &Demand<'_>) -> Rc<Bits> {
        if let Demand::Beginning(beginning) = demand {
            let (sorted, range) = self.beginning(words, beginning);
            return self.bits(words, Order::Sorted, sorted, range);
        }
        let found = self.demands.get_or_init(|| {
            let of_word = |(at, word)| words.offers(word).map(move |demand| (at, demand));
            let all = words.all().iter().enumerate().flat_map(of_word);
            let mut all: Box<[u64]> = all.map(|(at, demand)| self.hash(&demand) | at as u64).collect();
            all.sort_unstable();
            all
        });
        let hash = self.hash(demand);
        let start = found.partition_point(|entry| *entry < hash);
        let end = start + found[start..].partition_point(|entry| *entry <= hash | u64::from(u32::MAX));
        self.bits(words, Order::Demands, found, start..end)
    }

    fn hash(&self, demand: &Demand<'_>) -> u64 {
        self.hasher.hash_one(demand) & !u64::from(u32::MAX)
    }

    pub(super) fn has_beginning(&self, words: &Words, beginning: &str) -> bool {
        !self.beginning(words, beginning).1.is_empty()
    }

    /// The sorted words, and which of them begin like this.
    fn beginning(&self, words: &Words, beginning: &str) -> (&[u64], Range<usize>) {
        let text = |at: u64| words.core_and_ending(word(words, at));
        let sorted = self.sorted.get_or_init(|| {
            let mut sorted: Box<[u64]> = (0..words.all().len() as u64).collect();
            sorted.sort_unstable_by(|a, b| text(*a).cmp(text(*b)));
            sorted
        });
        let start = sorted.partition_point(|at| text(*at) < beginning);
        (sorted, start..start + sorted[start..].partition_point(|at| text(*at).starts_with(beginning)))
    }

    /// Those that many words have are kept. They are few: each takes part of the words for itself, except beginnings, which
    /// take as many letters.
    fn bits(&self, words: &Words, order: Order, found: &[u64], range: Range<usize>) -> Rc<Bits> {
        let all = words.all().len();
        let bits = || Rc::new(Bits::of(found[range.clone()].iter().map(|entry| position(*entry)), all));
        if range.len() <= all / 256 {
            return bits();
        }
        self.many.borrow_mut().entry((order, range.clone())).or_insert_with(bits).clone()
    }

    /// Bytes that are kept.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        let lists = [&self.demands, &self.sorted].into_iter().filter_map(OnceCell::get);
        let many = self.many.borrow();
        lists.map(|list| size_of_val(&**list)).sum::<usize>()
            + many.values().map(|bits| size_of_val(&*bits.0)).sum::<usize>()
    }
}

fn word(words: &Words, entry: u64) -> &Word {
    &words.all()[position(entry)]
}

#[allow(clippy::cast_possible_truncation, reason = "the lower half")]
fn position(entry: u64) -> usize {
    entry as u32 as usize
}
