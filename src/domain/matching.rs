//! Which posts a rule matches: AND across filters, OR inside one; a filter on what the post lacks does not match.

use crate::api::{IncludeExclude, Match, Post};
use caseless::default_case_fold_str;
use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// A rule's filters, prepared for many posts.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    filters: Match,
    keywords: Vec<Phrase>,
}

/// Equal texts for readers become equal strings: composed or not, whatever the case (`Straße` = `STRASSE`).
fn fold(text: &str) -> String {
    default_case_fold_str(&text.nfd().collect::<String>()).nfc().collect()
}

fn fold_all(values: &mut [String]) {
    for value in values {
        *value = fold(value.trim());
    }
}

impl Matcher {
    /// Prepares filters.
    pub fn new(filters: Option<&Match>) -> Self {
        let mut filters = filters.cloned().unwrap_or_default();
        for list in
            [&mut filters.sources, &mut filters.languages, &mut filters.locations, &mut filters.search_topics]
        {
            fold_all(list);
        }
        for either in [&mut filters.authors, &mut filters.author_tags].into_iter().flatten() {
            fold_all(&mut either.include);
            fold_all(&mut either.exclude);
        }
        let keywords = filters.keywords.iter().filter_map(|k| Phrase::of(k)).collect();
        Self { filters, keywords }
    }

    /// Whether every filter matches.
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
                let asked = range.min.is_some() || range.max.is_some();
                !asked
                    || post.reach.is_some_and(|reach| {
                        range.min.is_none_or(|min| reach >= min) && range.max.is_none_or(|max| reach <= max)
                    })
            })
            && either(f.authors.as_ref(), &text.authors)
            && either(f.author_tags.as_ref(), &text.tags)
            && (f.keywords.is_empty() || self.has_keyword(text))
    }

    /// Title and content are two texts: a phrase does not run from one into the other.
    fn has_keyword(&self, text: &Text<'_>) -> bool {
        let [title, content] = text.words();
        self.keywords.iter().any(|phrase| title.contain(phrase) || content.contain(phrase))
    }
}

/// A post, prepared for many rules: each of its words is folded once, and only when a rule has keywords.
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
    /// Prepares a post.
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

fn one_of(wanted: &[String], value: Option<&String>) -> bool {
    wanted.is_empty() || value.is_some_and(|value| wanted.contains(value))
}

/// A handle with and without its leading `@`.
fn handles(name: &str) -> Vec<String> {
    let name = fold(name.trim());
    let bare = name.trim_start_matches('@').to_owned();
    if bare == name { vec![name.clone(), format!("@{name}")] } else { vec![name, bare] }
}

/// Include and exclude; a post that says nothing of the matter lacks the field and does not match.
fn either(filter: Option<&IncludeExclude>, values: &[String]) -> bool {
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
    /// A number for the text, to compare first.
    hash: u64,
}

impl Word {
    fn of(sigil: Option<char>, text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self { sigil, text: text.to_owned(), hash: hasher.finish() }
    }

    /// Whether a keyword's word finds this one.
    fn is(&self, wanted: &Self) -> bool {
        self.hash == wanted.hash
            && self.text == wanted.text
            && (wanted.sigil.is_none() || wanted.sigil == self.sigil)
    }
}

/// A keyword: one word, or several in a row.
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

/// The words of a text. A namespace may have more than a hundred thousand keywords: were the text read for each, one
/// long post would take seconds. So each keyword is looked up instead, among all runs of as many words as it has.
struct Words {
    words: Vec<Word>,
    /// By length of the run: where a run with this hash begins first.
    runs: RefCell<HashMap<usize, HashMap<u64, usize>>>,
}

impl Words {
    fn of(text: &str) -> Self {
        Self { words: words(text), runs: RefCell::default() }
    }

    /// Whether a phrase stands in the text, word for word. `late` finds `#late` too; `#late` finds only `#late`.
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
        // A hash knows nothing of signs, and two runs may share one: what is found is compared.
        of_length.get(&phrase.hash).is_some_and(|begin| {
            self.words[*begin..]
                .windows(length)
                .any(|run| run.iter().zip(&phrase.words).all(|(t, p)| t.is(p)))
        })
    }
}

/// A number for several words in a row, whatever signs lead them.
fn run_hash(words: &[Word]) -> u64 {
    words.iter().fold(0, |run: u64, word| run.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(word.hash))
}

/// A text as its words, by Unicode's own word boundaries, so that it works where no spaces are written.
fn words(text: &str) -> Vec<Word> {
    let folded = fold(text);
    let mut words = Vec::new();
    let mut before = None;
    for segment in folded.split_word_bounds() {
        if segment.chars().any(says_something) {
            let sigil = before.filter(|c| matches!(c, '#' | '@' | '$'));
            words.push(Word::of(sigil, segment));
        }
        before = segment.chars().last();
    }
    words
}

/// Letters, digits, and signs people search for (an emoji); not spaces and punctuation.
fn says_something(c: char) -> bool {
    let punctuation = c.is_ascii_punctuation()
        || ('\u{2000}'..='\u{206f}').contains(&c)
        || ('\u{3000}'..='\u{303f}').contains(&c)
        || matches!(
            c,
            '\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{b6}' | '\u{b7}' | '\u{bb}' | '\u{bf}' | '\u{fe0f}'
        );
    c.is_alphanumeric() || !(c.is_whitespace() || c.is_control() || punctuation)
}
