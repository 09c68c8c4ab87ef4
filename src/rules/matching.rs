//! Which posts a rule matches: AND across filters, OR inside one; a filter on what the post lacks does not match.

use crate::api::{IncludeExclude, Match, Post};
use caseless::default_case_fold_str;
use std::cell::OnceCell;
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// A rule's filters, prepared for many posts.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    filters: Match,
    keywords: Vec<Vec<Word>>,
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
        let keywords = filters.keywords.iter().map(|k| words(k)).filter(|k| !k.is_empty()).collect();
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
        self.keywords.iter().any(|phrase| contains(title, phrase) || contains(content, phrase))
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
    words: OnceCell<[Vec<Word>; 2]>,
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

    fn words(&self) -> &[Vec<Word>; 2] {
        let text = |text: &Option<String>| text.as_deref().map(words).unwrap_or_default();
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
}

/// A text as its words, by Unicode's own word boundaries, so that it works where no spaces are written.
fn words(text: &str) -> Vec<Word> {
    let folded = fold(text);
    let mut words = Vec::new();
    let mut before = None;
    for segment in folded.split_word_bounds() {
        if segment.chars().any(says_something) {
            let sigil = before.filter(|c| matches!(c, '#' | '@' | '$'));
            words.push(Word { sigil, text: segment.to_owned() });
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

/// Whether a phrase stands in a text, word for word. `late` finds `#late` too; `#late` finds only `#late`.
fn contains(text: &[Word], phrase: &[Word]) -> bool {
    text.windows(phrase.len()).any(|window| {
        window.iter().zip(phrase).all(|(t, p)| t.text == p.text && (p.sigil.is_none() || p.sigil == t.sigil))
    })
}
