//! Splits a text into words, with the signs beside them.

use super::{fold::fold, marks::without_marks};
use crate::api::UNSEARCHABLE;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
};
use unicode_segmentation::UnicodeSegmentation;

/// The words of a text, folded.
#[derive(Clone, Debug)]
pub(super) struct Words {
    text: Box<str>,
    words: Box<[Word]>,
}

/// One word of a text: `l'Oréal's` is the article `l'`, the core `oréal` and the ending `'s`. A keyword finds a word by its
/// core; articles, endings and signs count only if the keyword has them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    /// Hash of the core.
    pub(super) hash: u64,
    start: u32,
    core: u32,
    core_end: u32,
    end: u32,
    before: Before,
    after: After,
    /// Whether it is in a handle.
    handle: bool,
    /// Whether `.` or `-` and another word follow: `@contoso` is not `@contoso-support`.
    continued: bool,
}

/// What a keyword can demand of one word of a text.
#[derive(Hash)]
pub(super) enum Demand<'a> {
    Core(&'a str),
    Article(&'a str),
    Ending(&'a str),
    Before(Before),
    After(After),
    Continued(bool),
    /// [`Words::begins`].
    Beginning(&'a str),
}

/// The sign before a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Before {
    Nothing,
    /// `#late`.
    Hash,
    /// `@contoso`, but not `info@contoso.com`.
    At,
    /// The second word of `info@contoso.com`.
    AtWithin,
    /// `$9.99`.
    Dollar,
    /// The second word of `H&M` or `H & M`.
    And,
    /// `.NET`.
    Dot,
    /// The second word of `contoso.com`.
    DotWithin,
}

/// The sign after a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum After {
    Nothing,
    Plus,
    PlusPlus,
    Hash,
    /// `50%` or `50 %`.
    Percent,
}

/// A text as it is split into words.
pub(super) fn folded(text: &str) -> String {
    fold(&without_marks(text))
}

impl Words {
    pub(super) fn of(text: &str) -> Self {
        Self::of_folded(folded(text), false)
    }

    /// Splits a folded text at Unicode word boundaries, which also works for languages without spaces. In an open text, the
    /// last word is only the beginning of a word.
    pub(super) fn of_folded(text: String, open: bool) -> Self {
        let mut words: Vec<Word> = Vec::new();
        for (at, segment) in text.split_word_bound_indices() {
            if !segment.chars().any(is_searchable) {
                continue;
            }
            // A combining mark without a letter follows a space.
            let bare = segment.trim_start_matches(|c| c != '_' && !is_searchable(c));
            let at = at + segment.len() - bare.len();
            for piece in pieces(bare) {
                // The `s` of a possessive, if the word boundaries separate it, as in `iPhone15's`.
                let taken = words.last().is_some_and(|last| last.end as usize > at + piece.start);
                if !taken {
                    words.push(word(&text, at + piece.start..at + piece.end, words.last(), open));
                }
            }
        }
        Self { text: text.into(), words: words.into() }
    }

    pub(super) fn all(&self) -> &[Word] {
        &self.words
    }

    fn core(&self, word: &Word) -> &str {
        &self.text[word.core as usize..word.core_end as usize]
    }

    fn article(&self, word: &Word) -> &str {
        &self.text[word.start as usize..word.core as usize]
    }

    fn ending(&self, word: &Word) -> &str {
        &self.text[word.core_end as usize..word.end as usize]
    }

    /// Where [`Self::core_and_ending`] is in the folded text.
    pub(super) fn place(word: &Word) -> Range<usize> {
        word.core as usize..word.end as usize
    }

    /// The word without its article: what a prefix is compared with.
    pub(super) fn core_and_ending(&self, word: &Word) -> &str {
        &self.text[Self::place(word)]
    }

    /// Whether a word of this text is the word that a keyword wants.
    pub(super) fn is(&self, word: &Word, keyword: &Self, wanted: &Word) -> bool {
        let ending = keyword.ending(wanted);
        word.hash == wanted.hash
            && self.core(word) == keyword.core(wanted)
            && (ending.is_empty() || self.ending(word) == ending)
            && self.has_signs(word, keyword, wanted)
            && (!wanted.handle || word.continued == wanted.continued)
    }

    /// Whether a word of this text begins as a keyword wants.
    pub(super) fn begins(&self, word: &Word, keyword: &Self, wanted: &Word) -> bool {
        self.core_and_ending(word).starts_with(keyword.core_and_ending(wanted))
            && self.has_signs(word, keyword, wanted)
    }

    /// What a keyword may demand of this word of a text, apart from its beginning.
    pub(super) fn offers(&self, word: &Word) -> impl Iterator<Item = Demand<'_>> {
        let whole = [Demand::Core(self.core(word)), Demand::Continued(word.continued)];
        self.signs(word).chain(self.demanded_ending(word)).chain(whole)
    }

    /// What a word of this keyword demands, or the beginning of a word.
    pub(super) fn demands(&self, wanted: &Word, whole: bool) -> impl Iterator<Item = Demand<'_>> {
        let continued = (whole && wanted.handle).then_some(Demand::Continued(wanted.continued));
        let ending = whole.then(|| self.demanded_ending(wanted)).flatten();
        let text = if whole {
            Demand::Core(self.core(wanted))
        } else {
            Demand::Beginning(self.core_and_ending(wanted))
        };
        self.signs(wanted).chain(ending).chain(continued).chain([text])
    }

    fn signs(&self, word: &Word) -> impl Iterator<Item = Demand<'_>> {
        let article = self.article(word);
        let before = (word.before != Before::Nothing).then_some(Demand::Before(word.before));
        let after = (word.after != After::Nothing).then_some(Demand::After(word.after));
        let article = (!article.is_empty()).then_some(Demand::Article(article));
        before.into_iter().chain(after).chain(article)
    }

    fn demanded_ending(&self, word: &Word) -> Option<Demand<'_>> {
        let ending = self.ending(word);
        (!ending.is_empty()).then_some(Demand::Ending(ending))
    }

    fn has_signs(&self, word: &Word, keyword: &Self, wanted: &Word) -> bool {
        let article = keyword.article(wanted);
        (wanted.before == Before::Nothing || wanted.before == word.before)
            && (wanted.after == After::Nothing || wanted.after == word.after)
            && (article.is_empty() || self.article(word) == article)
    }
}

/// The word at a place of a text. `last` is the word before it.
fn word(text: &str, place: Range<usize>, last: Option<&Word>, open: bool) -> Word {
    let before = sign_before(text, place.clone(), last);
    let (mut start, mut end) = (place.start, place.end);
    if !matches!(before, Before::Hash | Before::At | Before::Dollar) {
        // Underscores emphasize: `_late_`.
        let bare = text[start..end].trim_start_matches('_');
        start = end - bare.len();
        if !open || end < text.len() {
            end = start + bare.trim_end_matches('_').len();
        }
    }
    let (article, core, ending) = cut(&text[start..end]);
    let core_start = start + article;
    let mut core_end = core_start + core;
    debug_assert_eq!(core_end + ending, end);
    let mut after = sign_after(text, end);
    // The sign makes another word of a single letter: C, C++ and C#.
    if core == 1 && ending == 0 && text.as_bytes()[core_start].is_ascii_alphabetic() {
        let sign = match after {
            After::Plus | After::Hash => 1,
            After::PlusPlus => 2,
            After::Nothing | After::Percent => 0,
        };
        if sign > 0 {
            (core_end, end, after) = (end + sign, end + sign, After::Nothing);
        }
    }
    if ending == 0 && text[end..].starts_with("'s") && !text[end + 2..].starts_with(is_searchable) {
        end += 2;
    }
    let touched = last.is_some_and(|last| last.handle && last.continued && last.end as usize + 1 == start);
    let continued = continues(&text[end..]);
    let mut hasher = DefaultHasher::new();
    text[core_start..core_end].hash(&mut hasher);
    Word {
        hash: hasher.finish(),
        start: position(start),
        core: position(core_start),
        core_end: position(core_end),
        end: position(end),
        before,
        after,
        handle: before == Before::At || touched,
        continued,
    }
}

/// Whether a dot or a hyphen and another word follow.
fn continues(rest: &str) -> bool {
    let mut rest = rest.chars();
    matches!(rest.next(), Some('.' | '-')) && rest.next().is_some_and(is_searchable)
}

/// A folded text is far shorter than 4 GiB: the API server limits its length.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The words in a segment between two word boundaries. Unicode does not end a word at the dot of `late.Where`, and many
/// people leave out the space. Nor does it separate the ending of a Korean word from a Latin name.
fn pieces(segment: &str) -> impl Iterator<Item = Range<usize>> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let begin = rest;
        let mut last = None;
        for (at, c) in segment[begin..].char_indices().map(|(at, c)| (begin + at, c)) {
            let next = segment[at + c.len_utf8()..].chars().next();
            if matches!(c, '.' | ':') && !next.is_some_and(char::is_numeric) {
                rest = at + c.len_utf8();
                return Some(begin..at);
            }
            if last.is_some_and(|last| is_hangul(last) != is_hangul(c) && (is_latin(last) || is_latin(c))) {
                rest = at;
                return Some(begin..at);
            }
            last = Some(c);
        }
        rest = segment.len();
        (begin < rest).then_some(begin..rest)
    })
}

fn is_hangul(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{11ff}' | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}')
}

fn is_latin(c: char) -> bool {
    c.is_alphanumeric() && c < '\u{250}' || ('\u{1e00}'..='\u{1eff}').contains(&c)
}

/// French and Italian articles and particles that lose their vowel.
const ELIDED: [&str; 24] = [
    "c", "d", "j", "l", "m", "n", "qu", "s", "t", "v", "un", "all", "coll", "dall", "dell", "nell", "sull",
    "quell", "quest", "jusqu", "lorsqu", "puisqu", "presqu", "quoiqu",
];

/// The lengths of a word's article, core and ending, which apostrophes separate: `l'|avion`, `contoso|'s`, `istanbul|'da`.
/// `don't` is one word, as is Ukrainian `сім'я`.
fn cut(word: &str) -> (usize, usize, usize) {
    let whole = (0, word.len(), 0);
    let Some(first) = word.find('\'') else { return whole };
    if word.ends_with("n't") {
        return whole;
    }
    let possessive = word.strip_suffix("'s").map_or(0, |_| 2);
    let bare = &word[..word.len() - possessive];
    if bare.len() > first + 1 && ELIDED.contains(&&word[..first]) {
        return (first + 1, bare.len() - first - 1, possessive);
    }
    if possessive > 0 {
        return (0, bare.len(), possessive);
    }
    let latin = word[..first].chars().next_back().is_some_and(is_latin);
    if latin && word[..first].chars().count() > 1 { (0, first, word.len() - first) } else { whole }
}

fn sign_before(text: &str, Range { start, end }: Range<usize>, last: Option<&Word>) -> Before {
    let mut before = text[..start].chars().rev();
    let touches = last.is_some_and(|last| last.end as usize + 1 == start);
    match before.next() {
        Some('#') => Before::Hash,
        Some('$') => Before::Dollar,
        // Between a word and a name with a dot, it is the sign of an e-mail address; after a handle, another handle or its
        // server. `RT@contoso` lacks a space.
        Some('@') => {
            let after_word = before.next().is_some_and(|c| c.is_ascii_alphanumeric() || "_-+".contains(c));
            let after_handle = touches && last.is_some_and(|last| last.handle);
            let address = after_word && !after_handle && continues(&text[end..]);
            if address { Before::AtWithin } else { Before::At }
        }
        Some('.') if touches => Before::DotWithin,
        Some('.') if before.next() != Some('.') => Before::Dot,
        Some(c) if last.is_some() && (c == '&' || c.is_whitespace()) => {
            if text[..start].trim_end().ends_with('&') { Before::And } else { Before::Nothing }
        }
        _ => Before::Nothing,
    }
}

fn sign_after(text: &str, end: usize) -> After {
    let rest = &text[end..];
    if rest.starts_with('+') {
        let bare = rest.trim_start_matches('+');
        let next = bare.chars().next();
        return match rest.len() - bare.len() {
            1 if !next.is_some_and(is_searchable) => After::Plus,
            // C++17.
            2 if !next.is_some_and(|c| is_searchable(c) && !c.is_ascii_digit()) => After::PlusPlus,
            _ => After::Nothing,
        };
    }
    if let Some(rest) = rest.strip_prefix('#') {
        return if rest.starts_with(|c| c == '#' || is_searchable(c)) { After::Nothing } else { After::Hash };
    }
    if rest.trim_start().starts_with('%') { After::Percent } else { After::Nothing }
}

/// Letters, digits and symbols such as emoji, but no spaces or punctuation.
fn is_searchable(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric();
    }
    let range = UNSEARCHABLE.partition_point(|(_, last)| *last < c);
    UNSEARCHABLE.get(range).is_none_or(|(first, _)| c < *first)
}
