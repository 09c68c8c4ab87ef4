//! Matches posts against the filters of rules: AND across filters, OR within one. A filter on a field that the post lacks
//! does not match.

use crate::api::{IncludeExclude, Match, Post};
use caseless::default_case_fold_str;
use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// The filters of a rule, folded once for many posts.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    filters: Match,
    keywords: Vec<Phrase>,
}

/// Folds case and Unicode normalization, so that `Straße` equals `STRASSE`.
fn fold(text: &str) -> String {
    default_case_fold_str(&text.nfd().collect::<String>()).nfc().collect()
}

fn fold_all(values: &mut [String]) {
    for value in values {
        *value = fold(value.trim());
    }
}

impl Matcher {
    pub fn new(filters: Option<&Match>) -> Self {
        let mut filters = filters.cloned().unwrap_or_default();
        for list in
            [&mut filters.sources, &mut filters.languages, &mut filters.locations, &mut filters.search_topics]
        {
            fold_all(list);
        }
        for lists in [&mut filters.authors, &mut filters.author_tags].into_iter().flatten() {
            fold_all(&mut lists.include);
            fold_all(&mut lists.exclude);
        }
        let keywords = filters.keywords.iter().filter_map(|k| Phrase::of(k)).collect();
        Self { filters, keywords }
    }

    pub fn matches(&self, text: &Text<'_>) -> bool {
        let f = &self.filters;
        let post = text.post;
        one_of(&f.sources, text.source.as_ref())
            && one_of(&f.languages, text.language.as_ref())
            && one_of(&f.locations, text.location.as_ref())
            && (f.sentiments.is_empty() || post.sentiment.is_some_and(|s| f.sentiments.contains(&s)))
            && (f.post_types.is_empty() || post.type_.is_some_and(|t| f.post_types.contains(&t)))
            && (f.contributors.is_empty() || post.contributor.is_some_and(|c| f.contributors.contains(&c)))
            && (f.intentions.is_empty() || post.intentions.iter().any(|i| f.intentions.contains(i)))
            && (f.search_topics.is_empty() || text.topics.iter().any(|t| f.search_topics.contains(t)))
            && f.reach.as_ref().is_none_or(|range| {
                let unbounded = range.min.is_none() && range.max.is_none();
                unbounded
                    || post.reach.is_some_and(|reach| {
                        range.min.is_none_or(|min| reach >= min) && range.max.is_none_or(|max| reach <= max)
                    })
            })
            && include_exclude(f.authors.as_ref(), &text.authors)
            && include_exclude(f.author_tags.as_ref(), &text.tags)
            && (f.keywords.is_empty() || self.has_keyword(text))
    }

    /// A phrase does not span title and content.
    fn has_keyword(&self, text: &Text<'_>) -> bool {
        let [title, content] = text.words();
        self.keywords.iter().any(|phrase| title.contain(phrase) || content.contain(phrase))
    }
}

/// A post, folded once for many rules. Its words are folded only when a rule has keywords.
pub struct Text<'a> {
    post: &'a Post,
    source: Option<String>,
    language: Option<String>,
    location: Option<String>,
    authors: Vec<String>,
    tags: Vec<String>,
    topics: Vec<String>,
    words: OnceCell<[Words; 2]>,
}

impl<'a> Text<'a> {
    pub fn of(post: &'a Post) -> Self {
        let one = |value: &Option<String>| value.as_deref().map(|v| fold(v.trim()));
        let author = post.author.as_ref();
        Self {
            post,
            source: one(&post.source),
            language: one(&post.language),
            location: one(&post.location),
            authors: author
                .iter()
                .flat_map(|a| [&a.name, &a.handle])
                .flatten()
                .flat_map(|n| handles(n))
                .collect(),
            tags: author.iter().flat_map(|a| &a.tags).map(|t| fold(t.trim())).collect(),
            topics: post.search_topics.iter().map(|t| fold(t.trim())).collect(),
            words: OnceCell::new(),
        }
    }

    fn words(&self) -> &[Words; 2] {
        let text = |text: &Option<String>| Words::of(text.as_deref().unwrap_or_default());
        self.words.get_or_init(|| [text(&self.post.title), text(&self.post.content)])
    }
}

fn one_of(filter: &[String], value: Option<&String>) -> bool {
    filter.is_empty() || value.is_some_and(|value| filter.contains(value))
}

/// A handle with and without its leading `@`.
fn handles(name: &str) -> Vec<String> {
    let name = fold(name.trim());
    let bare = name.trim_start_matches('@').to_owned();
    if bare == name { vec![name.clone(), format!("@{name}")] } else { vec![name, bare] }
}

/// A post without values does not match, even with `exclude` alone.
fn include_exclude(filter: Option<&IncludeExclude>, values: &[String]) -> bool {
    let Some(filter) = filter else { return true };
    if filter.include.is_empty() && filter.exclude.is_empty() {
        return true;
    }
    !values.is_empty()
        && (filter.include.is_empty() || values.iter().any(|v| filter.include.contains(v)))
        && !values.iter().any(|v| filter.exclude.contains(v))
}

/// One word of a text, folded, and the `#`, `@` or `$` it is led by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    sigil: Option<char>,
    text: String,
    /// Compared before the text.
    hash: u64,
}

impl Word {
    fn of(sigil: Option<char>, text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self { sigil, text: text.to_owned(), hash: hasher.finish() }
    }

    /// Whether a word of a keyword matches this one.
    fn is(&self, wanted: &Self) -> bool {
        self.hash == wanted.hash
            && self.text == wanted.text
            && (wanted.sigil.is_none() || wanted.sigil == self.sigil)
    }
}

/// A keyword of one or more consecutive words.
#[derive(Clone, Debug)]
struct Phrase {
    words: Vec<Word>,
    hash: u64,
}

impl Phrase {
    fn of(keyword: &str) -> Option<Self> {
        let words = words(keyword);
        let hash = run_hash(&words);
        (!words.is_empty()).then_some(Self { words, hash })
    }
}

/// The words of a text. A namespace may have more than a hundred thousand keywords, and searching a long post for each
/// would take seconds. So each keyword is looked up in a hash table of all runs of the same number of words.
struct Words {
    words: Vec<Word>,
    /// By length: the first position of a run with this hash.
    runs: RefCell<HashMap<usize, HashMap<u64, usize>>>,
}

impl Words {
    fn of(text: &str) -> Self {
        Self { words: words(text), runs: RefCell::default() }
    }

    /// Whether the text contains a phrase. `late` also matches `#late`; `#late` matches only `#late`.
    fn contain(&self, phrase: &Phrase) -> bool {
        let length = phrase.words.len();
        let mut runs = self.runs.borrow_mut();
        let of_length = runs.entry(length).or_insert_with(|| {
            let mut first = HashMap::new();
            for (begin, run) in self.words.windows(length).enumerate() {
                first.entry(run_hash(run)).or_insert(begin);
            }
            first
        });
        // The hash ignores sigils and may collide, so the words are compared.
        of_length.get(&phrase.hash).is_some_and(|begin| {
            self.words[*begin..]
                .windows(length)
                .any(|run| run.iter().zip(&phrase.words).all(|(t, p)| t.is(p)))
        })
    }
}

/// Hashes a run of words without their sigils.
fn run_hash(words: &[Word]) -> u64 {
    words.iter().fold(0, |run: u64, word| run.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(word.hash))
}

/// Splits a text at Unicode word boundaries, which also works for languages without spaces.
fn words(text: &str) -> Vec<Word> {
    let folded = fold(text);
    let mut words = Vec::new();
    let mut before = None;
    for segment in folded.split_word_bounds() {
        if segment.chars().any(is_searchable) {
            let sigil = before.filter(|c| matches!(c, '#' | '@' | '$'));
            words.push(Word::of(sigil, segment));
        }
        before = segment.chars().last();
    }
    words
}

/// Letters, digits and symbols such as emoji, but no spaces or punctuation.
fn is_searchable(c: char) -> bool {
    let punctuation = c.is_ascii_punctuation()
        || ('\u{2000}'..='\u{206f}').contains(&c)
        || ('\u{3000}'..='\u{303f}').contains(&c)
        || matches!(
            c,
            '\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{b6}' | '\u{b7}' | '\u{bb}' | '\u{bf}' | '\u{fe0f}'
        );
    c.is_alphanumeric() || !(c.is_whitespace() || c.is_control() || punctuation)
}
