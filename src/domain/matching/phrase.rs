//! Looks up keywords in a text.

use super::words::{Word, Words, folded};
use crate::api::{DASHES, NOT_BEFORE_STAR, STARS, has_operators};
use hashbrown::HashMap;
use std::{
    cell::{OnceCell, RefCell},
    ops::Range,
};

/// Keywords, each of one or more consecutive words, the last of which may be the beginning of a word. A tenant can have a
/// hundred thousand of them, so only their text is kept and what it takes to see that a keyword is not in a post; its words
/// are split again in a post that seems to have it.
#[derive(Clone, Debug, Default)]
pub(super) struct Phrases {
    /// The folded texts, one after the other.
    text: Box<str>,
    phrases: Box<[Phrase]>,
}

#[derive(Clone, Debug)]
struct Phrase {
    /// Where the text ends; it begins where that of the phrase before ends.
    end: u32,
    /// The number of whole words.
    whole: u16,
    /// Whether the beginning of a word follows.
    open: bool,
    find: Find,
}

/// The hash of a run of words.
type RunHash = [u32; 2];

/// How a phrase is looked up.
#[derive(Clone, Copy, Debug)]
enum Find {
    /// By the hash of its whole words, as two halves: a field of 8 bytes would make each phrase larger.
    Run(RunHash),
    /// By the beginning of a word, which is here in its text.
    Beginning(u32, u32),
}

impl Phrases {
    /// Without keywords that the API server refuses. A rule that was stored earlier may have one.
    pub(super) fn of(keywords: &[String]) -> Self {
        let mut text = String::new();
        let mut phrases = Vec::new();
        for (folded, mut phrase) in keywords.iter().filter_map(|keyword| phrase(keyword)) {
            text.push_str(&folded);
            phrase.end = short(text.len());
            phrases.push(phrase);
        }
        Self { text: text.into(), phrases: phrases.into() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.phrases.is_empty()
    }

    /// Bytes on the heap.
    pub(super) fn heap_size(&self) -> usize {
        self.text.len() + size_of_val(&*self.phrases)
    }

    /// Each phrase with its text.
    fn all(&self) -> impl Iterator<Item = (&Phrase, &str)> {
        let mut begin = 0;
        self.phrases.iter().map(move |phrase| {
            let end = phrase.end as usize;
            (phrase, &self.text[std::mem::replace(&mut begin, end)..end])
        })
    }
}

/// The folded text of a keyword, and the phrase without its place.
fn phrase(keyword: &str) -> Option<(String, Phrase)> {
    let keyword = keyword.trim();
    let closed = keyword.strip_suffix(STARS);
    let body = closed.unwrap_or(keyword);
    let open = closed.is_some();
    let no_word = |c: char| NOT_BEFORE_STAR.iter().any(|(first, last)| (*first..=*last).contains(&c));
    let refused = keyword.starts_with(DASHES) || has_operators(keyword) || body.contains(STARS);
    if refused || (open && body.ends_with(no_word)) {
        return None;
    }
    let text = folded(body);
    let words = Words::of_folded(text.clone(), open);
    let whole = words.all().len().checked_sub(usize::from(open))?;
    let find = match (words.all().first()?, whole) {
        (only, 0) => {
            let Range { start, end } = Words::place(only);
            Find::Beginning(short(start), short(end))
        }
        _ => Find::Run(halves(run_hash(&words.all()[..whole]))),
    };
    Some((text, Phrase { end: 0, whole: u16::try_from(whole).ok()?, open, find }))
}

/// The keywords of a rule are far shorter than 4 GiB: the API server limits them.
fn short(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[allow(clippy::cast_possible_truncation, reason = "the two halves of a hash")]
fn halves(hash: u64) -> RunHash {
    [(hash >> 32) as u32, hash as u32]
}

/// A text in which keywords are looked up. A namespace may have more than a hundred thousand keywords, and searching a long
/// post for each would take seconds. So each keyword is looked up in a hash table of all runs of the same number of words.
pub(super) struct Searched {
    words: Words,
    /// By length: the first position of a run with this hash.
    runs: RefCell<Vec<Option<HashMap<RunHash, usize>>>>,
    /// The words in the order of their text.
    sorted: OnceCell<Vec<Word>>,
}

impl Searched {
    pub(super) fn of(text: &str) -> Self {
        Self { words: Words::of(text), runs: RefCell::default(), sorted: OnceCell::new() }
    }

    /// Whether the text contains one of these phrases. `late` also matches `#late`; `#late` matches only `#late`.
    pub(super) fn contains_one_of(&self, phrases: &Phrases) -> bool {
        phrases.all().any(|(phrase, text)| self.contains(phrase, text))
    }

    fn contains(&self, phrase: &Phrase, text: &str) -> bool {
        let all = self.words.all();
        let (whole, length) =
            (usize::from(phrase.whole), usize::from(phrase.whole) + usize::from(phrase.open));
        if length > all.len() {
            return false;
        }
        let begin = match phrase.find {
            Find::Run(hash) => self.first_run(whole, hash),
            Find::Beginning(begin, end) => return self.has_beginning(text, begin as usize..end as usize),
        };
        let Some(begin) = begin else { return false };
        // The hash ignores signs and may collide, so the words are compared.
        let keyword = Words::of_folded(text.to_owned(), phrase.open);
        all[begin..].windows(length).any(|run| {
            run.iter().zip(keyword.all()).enumerate().all(|(n, (word, wanted))| {
                if n < whole {
                    self.words.is(word, &keyword, wanted)
                } else {
                    self.words.begins(word, &keyword, wanted)
                }
            })
        })
    }

    fn first_run(&self, length: usize, hash: RunHash) -> Option<usize> {
        let mut runs = self.runs.borrow_mut();
        if runs.len() <= length {
            runs.resize(length + 1, None);
        }
        let of_length = runs[length].get_or_insert_with(|| {
            let mut first = HashMap::new();
            for (begin, run) in self.words.all().windows(length).enumerate() {
                first.entry(halves(run_hash(run))).or_insert(begin);
            }
            first
        });
        of_length.get(&hash).copied()
    }

    /// `place` is where the wanted beginning of a word is in the text of the keyword.
    fn has_beginning(&self, keyword: &str, place: Range<usize>) -> bool {
        let text = |word: &Word| self.words.core_and_ending(word);
        let sorted = self.sorted.get_or_init(|| {
            let mut words = self.words.all().to_vec();
            words.sort_unstable_by(|a, b| text(a).cmp(text(b)));
            words
        });
        let beginning = &keyword[place];
        let first = sorted.partition_point(|word| text(word) < beginning);
        let mut found =
            sorted[first..].iter().take_while(|word| text(word).starts_with(beginning)).peekable();
        if found.peek().is_none() {
            return false;
        }
        let keyword = Words::of_folded(keyword.to_owned(), true);
        found.any(|word| self.words.begins(word, &keyword, &keyword.all()[0]))
    }
}

/// Hashes a run of words without their signs.
fn run_hash(words: &[Word]) -> u64 {
    words.iter().fold(0, |run: u64, word| run.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(word.hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrase_stays_small() {
        assert_eq!(size_of::<Phrase>(), 20);
    }
}
