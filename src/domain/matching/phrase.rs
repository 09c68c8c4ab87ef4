//! Looks up keywords in a text.

use super::words::{Word, Words};
use crate::api::{DASHES, NOT_BEFORE_STAR, STARS};
use hashbrown::HashMap;
use std::cell::{OnceCell, RefCell};

/// A keyword: one or more consecutive words, the last of which may be the beginning of a word.
#[derive(Clone, Debug)]
pub(super) struct Phrase {
    words: Words,
    /// Hash of the whole words.
    hash: u64,
    open: bool,
}

impl Phrase {
    /// `None` for a keyword that the API server refuses. A rule that was stored earlier may have one.
    pub(super) fn of(keyword: &str) -> Option<Self> {
        let keyword = keyword.trim();
        let closed = keyword.strip_suffix(STARS);
        let body = closed.unwrap_or(keyword);
        let open = closed.is_some();
        let no_word = |c: char| NOT_BEFORE_STAR.iter().any(|(first, last)| (*first..=*last).contains(&c));
        if keyword.starts_with(DASHES) || body.contains(STARS) || (open && body.ends_with(no_word)) {
            return None;
        }
        let words = Words::of(body, open);
        let whole = words.all().len().checked_sub(usize::from(open))?;
        (!words.all().is_empty()).then(|| Self { hash: run_hash(&words.all()[..whole]), words, open })
    }

    /// The words of which all is known.
    fn whole(&self) -> &[Word] {
        let all = self.words.all();
        if self.open { &all[..all.len() - 1] } else { all }
    }
}

/// A text in which keywords are looked up. A namespace may have more than a hundred thousand keywords, and searching a long
/// post for each would take seconds. So each keyword is looked up in a hash table of all runs of the same number of words.
pub(super) struct Searched {
    words: Words,
    /// By length: the first position of a run with this hash.
    runs: RefCell<Vec<Option<HashMap<u64, usize>>>>,
    /// The words in the order of their text.
    sorted: OnceCell<Vec<Word>>,
}

impl Searched {
    pub(super) fn of(text: &str) -> Self {
        Self { words: Words::of(text, false), runs: RefCell::default(), sorted: OnceCell::new() }
    }

    /// Whether the text contains a phrase. `late` also matches `#late`; `#late` matches only `#late`.
    pub(super) fn contains(&self, phrase: &Phrase) -> bool {
        let all = self.words.all();
        let whole = phrase.whole();
        if phrase.words.all().len() > all.len() {
            return false;
        }
        if whole.is_empty() {
            return self.has_beginning(phrase);
        }
        let Some(begin) = self.first_run(whole.len(), phrase.hash) else { return false };
        // The hash ignores signs and may collide, so the words are compared.
        all[begin..].windows(phrase.words.all().len()).any(|run| {
            run.iter().zip(phrase.words.all()).enumerate().all(|(n, (word, wanted))| {
                if n < whole.len() {
                    self.words.is(word, &phrase.words, wanted)
                } else {
                    self.words.begins(word, &phrase.words, wanted)
                }
            })
        })
    }

    fn first_run(&self, length: usize, hash: u64) -> Option<usize> {
        let mut runs = self.runs.borrow_mut();
        if runs.len() <= length {
            runs.resize(length + 1, None);
        }
        let of_length = runs[length].get_or_insert_with(|| {
            let mut first = HashMap::new();
            for (begin, run) in self.words.all().windows(length).enumerate() {
                first.entry(run_hash(run)).or_insert(begin);
            }
            first
        });
        of_length.get(&hash).copied()
    }

    fn has_beginning(&self, phrase: &Phrase) -> bool {
        let text = |word: &Word| self.words.core_and_ending(word);
        let sorted = self.sorted.get_or_init(|| {
            let mut words = self.words.all().to_vec();
            words.sort_unstable_by(|a, b| text(a).cmp(text(b)));
            words
        });
        let wanted = &phrase.words.all()[0];
        let beginning = phrase.words.core_and_ending(wanted);
        let first = sorted.partition_point(|word| text(word) < beginning);
        sorted[first..]
            .iter()
            .take_while(|word| text(word).starts_with(beginning))
            .any(|word| self.words.begins(word, &phrase.words, wanted))
    }
}

/// Hashes a run of words without their signs.
fn run_hash(words: &[Word]) -> u64 {
    words.iter().fold(0, |run: u64, word| run.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(word.hash))
}
