//! Looks up keywords in a text.

use super::{
    places::{Bits, Places},
    runs::{Ends, Runs},
    words::{Words, folded},
};
use crate::api::{DASHES, NOT_BEFORE_STAR, STARS, has_operators};
use std::ops::Range;

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

/// How a phrase is looked up.
#[derive(Clone, Copy, Debug)]
enum Find {
    /// By its whole words.
    Run(Ends),
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
        _ => Find::Run(Ends::of(&words.all()[..whole])),
    };
    Some((text, Phrase { end: 0, whole: u16::try_from(whole).ok()?, open, find }))
}

/// The keywords of a rule are far shorter than 4 GiB: the API server limits them.
fn short(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// With so few places left, the words there are compared one by one.
const FEW: usize = 8;

/// A text in which keywords are looked up. A namespace may have more than a hundred thousand keywords, and searching a long
/// post for each would take seconds. So most keywords are seen not to be there by their hash.
pub(super) struct Searched {
    words: Words,
    runs: Runs,
    places: Places,
    /// How often words of the text were compared with a keyword.
    #[cfg(test)]
    compared: std::cell::Cell<usize>,
}

impl Searched {
    pub(super) fn of(text: &str) -> Self {
        Self {
            words: Words::of(text),
            runs: Runs::default(),
            places: Places::default(),
            #[cfg(test)]
            compared: std::cell::Cell::default(),
        }
    }

    /// Whether the text contains one of these phrases. `late` also matches `#late`; `#late` matches only `#late`.
    pub(super) fn contains_one_of(&self, phrases: &Phrases) -> bool {
        phrases.all().any(|(phrase, text)| self.contains(phrase, text))
    }

    fn contains(&self, phrase: &Phrase, text: &str) -> bool {
        let whole = usize::from(phrase.whole);
        let Some(places) = (self.words.all().len() + 1).checked_sub(whole + usize::from(phrase.open)) else {
            return false;
        };
        let may = match phrase.find {
            Find::Run(ends) => self.runs.may_contain(self.words.all(), whole, ends),
            Find::Beginning(begin, end) => {
                self.places.has_beginning(&self.words, &text[begin as usize..end as usize])
            }
        };
        // The hash ignores signs and may collide, so the words are compared.
        may && self.has(&Words::of_folded(text.to_owned(), phrase.open), whole, places)
    }

    /// Whether the words of a keyword, of which so many are whole, are at one of the first `places` of the text.
    fn has(&self, keyword: &Words, whole: usize, places: usize) -> bool {
        let of_word = |(n, wanted)| keyword.demands(wanted, n < whole).map(move |demand| (n, demand));
        let mut left = Bits::up_to(places);
        for (n, demand) in keyword.all().iter().enumerate().flat_map(of_word) {
            if left.count() <= FEW {
                break;
            }
            left.keep(&self.places.of(&self.words, &demand), n);
        }
        left.positions().any(|begin| self.is_at(begin, keyword, whole))
    }

    fn is_at(&self, begin: usize, keyword: &Words, whole: usize) -> bool {
        #[cfg(test)]
        self.compared.set(self.compared.get() + 1);
        let run = self.words.all()[begin..].iter();
        run.zip(keyword.all()).enumerate().all(|(n, (word, wanted))| {
            if n < whole {
                self.words.is(word, keyword, wanted)
            } else {
                self.words.begins(word, keyword, wanted)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{
        collection::vec,
        option,
        prelude::*,
        sample::{Index, select},
    };
    use rstest::rstest;

    #[test]
    fn phrase_stays_small() {
        assert_eq!(size_of::<Phrase>(), 20);
    }

    fn finds(searched: &Searched, keyword: &str) -> bool {
        searched.contains_one_of(&Phrases::of(&[keyword.to_owned()]))
    }

    /// Whether a text contains a keyword, compared at each word.
    fn contains(text: &str, keyword: &str) -> bool {
        let Some((folded, phrase)) = phrase(keyword) else { return false };
        let (text, keyword) = (Words::of(text), Words::of_folded(folded, phrase.open));
        text.all().windows(keyword.all().len()).any(|run| {
            run.iter().zip(keyword.all()).enumerate().all(|(n, (word, wanted))| {
                if n < usize::from(phrase.whole) {
                    text.is(word, &keyword, wanted)
                } else {
                    text.begins(word, &keyword, wanted)
                }
            })
        })
    }

    /// Words with what a keyword can demand, and a character that folds to four words.
    const WORDS: [&str; 22] = [
        "a", "#a", "@a", "$a", "a's", "l'a", "@a.b", "a-b", "a.b", "a&b", "ab", "#ab", "ab'x", "ab's", "c",
        "c++", "c%", "ab+", "漢", "#漢", "字", "ﷺ",
    ];

    /// Where it begins, its length, and whether a `*` follows.
    type Part = (Index, usize, bool);
    /// A word in the place of another.
    type Other = (Index, &'static str);

    /// A text that repeats some words, and parts of it, some of which have another word.
    fn text_and_keywords() -> impl Strategy<Value = (String, Vec<String>)> {
        let part = (any::<Index>(), 1..300_usize, any::<bool>());
        let other = option::of((any::<Index>(), select(&WORDS)));
        let words = (vec(select(&WORDS), 1..12), vec(select(&WORDS), 0..4), 1..60_usize);
        (words, vec((part, other), 1..40)).prop_map(|((repeated, rest, times), parts)| {
            let words = [repeated.repeat(times), rest].concat();
            let keyword = |((begin, length, open), other): (Part, Option<Other>)| {
                let begin = begin.index(words.len());
                let mut part = words[begin..words.len().min(begin + length)].to_vec();
                if let Some((place, word)) = other {
                    let place = place.index(part.len());
                    part[place] = word;
                }
                part.join(" ") + if open { "*" } else { "" }
            };
            (words.join(" "), parts.into_iter().map(keyword).collect())
        })
    }

    proptest! {
        #[test]
        fn finds_what_a_comparison_at_each_word_finds((text, keywords) in text_and_keywords()) {
            let searched = Searched::of(&text);
            for keyword in keywords {
                prop_assert_eq!(finds(&searched, &keyword), contains(&text, &keyword), "{:?}", keyword);
            }
        }
    }

    /// Other words for each number.
    fn numbered(words: impl Fn(u32) -> String) -> String {
        (0..4_096).map(|n| words(n) + " ").collect()
    }

    #[rstest]
    #[case::sign("a ".repeat(16_384), "#a")]
    #[case::sign_of_another_word("@b . a ".repeat(5_000), "@a")]
    #[case::sign_of_a_phrase("a #a ".repeat(5_000), "#a #a")]
    #[case::sign_within("a ".repeat(16_384), "a a a a a a a a a #a a")]
    #[case::word_after_equal_ones("a ".repeat(16_384) + "b", "a a a a a a a a a b a")]
    #[case::beginning(numbered(|n| format!("ab{n}")), "#ab*")]
    #[case::beginning_in_a_phrase(numbered(|n| format!("a ab{n}")), "a #ab*")]
    #[case::endings(numbered(|n| format!("#ab'x{n} ab'y{n}")), "#ab #ab")]
    #[case::ending("ab ".repeat(8_000) + "b'x", "ab'x")]
    #[case::article("ab ".repeat(8_000) + "l'b", "l'ab")]
    #[case::longer_handles("@a-b ".repeat(6_000), "@a")]
    fn words_are_not_compared_one_by_one(#[case] text: String, #[case] keyword: &str) {
        let searched = Searched::of(&text);
        assert!(!finds(&searched, keyword));
        let compared = searched.compared.get();
        assert!(compared <= FEW, "{compared} places are compared");
    }

    /// Many words have all but the last thing that the keyword demands.
    #[rstest]
    #[case::beginning_of_a_longer_handle("@a.b ".repeat(9), "@a*")]
    #[case::last_word("a ".repeat(16_000) + "#a", "a #a")]
    #[case::ending("ab ".repeat(8_000) + "ab's", "ab's")]
    fn what_many_words_almost_are_is_found(#[case] text: String, #[case] keyword: &str) {
        assert!(finds(&Searched::of(&text), keyword));
    }

    /// As many characters as a post may have, most of them other ones than those before.
    fn longest(character: impl Fn(u32) -> String) -> String {
        (0..).flat_map(|n| character(n).chars().collect::<Vec<_>>()).take(32_768).collect()
    }

    fn han(n: u32) -> String {
        let character = if n < 0x5000 { 0x4e00 + n } else { 0x20000 + n };
        char::from_u32(character).map(String::from).unwrap_or_default()
    }

    /// With a table of the runs of each length, it would be 285 MB.
    #[rstest]
    #[case::words(longest(han))]
    #[case::characters_of_four_words(longest(|n| han(n) + "ﷺ"))]
    #[case::equal_words("a ".repeat(16_384))]
    #[case::beginnings((1..250).map(|n| "a".repeat(n) + " ").collect())]
    fn little_is_kept_for_keywords_of_all_lengths(#[case] text: String) {
        let searched = Searched::of(&text);
        let words: Vec<char> = text.chars().filter(|c| *c != ' ').collect();
        for length in 1..=255 {
            let keyword: String = words[..length].iter().collect();
            for end in ["", "*", "#a", "#a*"] {
                finds(&searched, &(keyword.clone() + end));
            }
            let spaced: String = words[..length].iter().flat_map(|word| [*word, ' ']).collect();
            finds(&searched, &spaced);
            finds(&searched, &(spaced + "#a"));
        }
        let (kept, folded) = (searched.runs.size() + searched.places.size(), folded(&text).len());
        assert!(kept <= 16 << 20, "{kept} bytes are kept for a text of {folded}");
    }
}
