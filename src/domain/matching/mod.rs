//! Matches posts against the filters of rules: AND across filters, OR within one. A filter on a field that the post lacks
//! does not match. docs/matching.md shows how a keyword is compared.

mod fold;
mod marks;
mod phrase;
mod words;

use crate::api::{IncludeExclude, Match, Post};
pub use fold::fold;
use phrase::{Phrases, Searched};
use std::cell::OnceCell;

/// The filters of a rule, folded once for many posts.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    /// All but the keywords.
    filters: Match,
    keywords: Option<Phrases>,
    excluded: Phrases,
}

fn fold_all(values: &mut [String]) {
    for value in values {
        *value = fold(value.trim());
    }
}

impl Matcher {
    pub fn new(filters: Option<&Match>) -> Self {
        let mut filters = filters.cloned().unwrap_or_default();
        for list in [&mut filters.sources, &mut filters.locations, &mut filters.search_topics] {
            fold_all(list);
        }
        for lists in [&mut filters.authors, &mut filters.author_tags].into_iter().flatten() {
            fold_all(&mut lists.include);
            fold_all(&mut lists.exclude);
        }
        for range in &mut filters.languages {
            *range = subtags(range);
        }
        let keywords = std::mem::take(&mut filters.keywords);
        let keywords = (!keywords.is_empty()).then(|| Phrases::of(&keywords));
        let excluded = Phrases::of(&std::mem::take(&mut filters.exclude_keywords));
        Self { filters, keywords, excluded }
    }

    pub fn matches(&self, text: &Text<'_>) -> bool {
        let f = &self.filters;
        let post = text.post;
        one_of(&f.sources, text.source.as_ref())
            && (f.languages.is_empty() || f.languages.iter().any(|range| text.is_in(range)))
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
            && self.keywords.as_ref().is_none_or(|keywords| text.has_one_of(keywords))
            && (self.excluded.is_empty() || !text.has_one_of(&self.excluded))
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
    words: OnceCell<[Searched; 2]>,
}

impl<'a> Text<'a> {
    pub fn of(post: &'a Post) -> Self {
        let one = |value: &Option<String>| value.as_deref().map(|v| fold(v.trim()));
        let author = post.author.as_ref();
        Self {
            post,
            source: one(&post.source),
            language: post.language.as_deref().map(subtags),
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

    /// A phrase does not span title and content.
    fn has_one_of(&self, phrases: &Phrases) -> bool {
        let text = |text: &Option<String>| Searched::of(text.as_deref().unwrap_or_default());
        let [title, content] = self.words.get_or_init(|| [text(&self.post.title), text(&self.post.content)]);
        title.contains_one_of(phrases) || content.contains_one_of(phrases)
    }

    /// Whether the language is in a range, by basic filtering (RFC 4647): `en` contains `en-GB`.
    fn is_in(&self, range: &str) -> bool {
        let rest = self.language.as_deref().and_then(|language| language.strip_prefix(range));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

/// The subtags of a language tag; many programs write `en_GB`.
fn subtags(language: &str) -> String {
    fold(language.trim()).replace('_', "-")
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
