//! The runs of consecutive words in a text, as hashes: what shows that a phrase is not there, before it is split into words.

use super::words::Word;
use hashbrown::HashSet;
use std::cell::OnceCell;

/// Runs of 1, 2, 4 … 256 words are hashed. There is no table for each length: a keyword may have a thousand words.
const LENGTHS: usize = 9;
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// The first and the last words of a phrase. They overlap, so up to 512 words all count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends([u32; 2]);

impl Ends {
    /// Of at least one word.
    pub(super) fn of(words: &[Word]) -> Self {
        let length = 1 << exponent(words.len());
        Self([upper(hash(&words[..length])), upper(hash(&words[words.len() - length..]))])
    }
}

/// The hashes of a text's runs, by length; each is made when a keyword of this length is looked up.
#[derive(Default)]
pub(super) struct Runs([OnceCell<HashSet<u32>>; LENGTHS]);

impl Runs {
    /// Whether the words of a text may contain a phrase of this length, apart from signs.
    pub(super) fn may_contain(&self, words: &[Word], length: usize, ends: Ends) -> bool {
        let exponent = exponent(length);
        let of_length = self.0[exponent].get_or_init(|| hashes(words, 1 << exponent).map(upper).collect());
        ends.0.iter().all(|end| of_length.contains(end))
    }

    /// Bytes that are kept.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.0.iter().filter_map(OnceCell::get).map(HashSet::allocation_size).sum()
    }
}

/// Which power of two the longest run has that fits into this many words.
fn exponent(words: usize) -> usize {
    (words.max(1).ilog2() as usize).min(LENGTHS - 1)
}

/// Of a run of words, without their signs.
fn hash(words: &[Word]) -> u64 {
    words.iter().fold(0, |run: u64, word| run.wrapping_mul(FACTOR).wrapping_add(word.hash))
}

/// Of each run of this many words; each from the one before.
fn hashes(words: &[Word], length: usize) -> impl Iterator<Item = u64> {
    let first = words.get(..length).map(hash);
    let out = (0..length).fold(1_u64, |factor, _| factor.wrapping_mul(FACTOR));
    let steps = words.iter().zip(words.get(length..).unwrap_or_default());
    let rest = steps.scan(first.unwrap_or_default(), move |run, (left, entered)| {
        *run = run.wrapping_mul(FACTOR).wrapping_add(entered.hash).wrapping_sub(left.hash.wrapping_mul(out));
        Some(*run)
    });
    first.into_iter().chain(rest)
}

#[allow(clippy::cast_possible_truncation, reason = "half of a hash")]
fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
}
