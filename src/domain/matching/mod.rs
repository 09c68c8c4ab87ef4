//! Matches posts against the filters of rules: AND across filters, OR within one. A filter on a field that the post lacks
//! does not match. docs/matching.md shows how a keyword is compared.

pub mod budget;
mod fold;
mod marks;
mod phrase;
mod places;
mod runs;
mod values;
mod words;

use crate::api::{Contributor, IncludeExclude, Intention, Match, Post, PostType, Reach, Sentiment};
pub use fold::fold;
use phrase::{Phrases, Searched};
use std::cell::OnceCell;
use values::Values;

/// The filters of a rule, folded once for many posts, in the memory of their text and little more: a tenant can store
/// thousands of rules.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    sources: Values,
    languages: Values,
    locations: Values,
    topics: Values,
    authors: Sides,
    author_tags: Sides,
    sentiments: Box<[Sentiment]>,
    post_types: Box<[PostType]>,
    contributors: Box<[Contributor]>,
    intentions: Box<[Intention]>,
    reach: Option<Reach>,
    keywords: Option<Phrases>,
    excluded: Phrases,
}

/// An [`IncludeExclude`].
#[derive(Clone, Debug, Default)]
struct Sides {
    include: Values,
    exclude: Values,
}

impl Sides {
    fn of(filter: Option<&IncludeExclude>) -> Self {
        let Some(filter) = filter else { return Self::default() };
        Self { include: folded(&filter.include), exclude: folded(&filter.exclude) }
    }

    /// A post without values does not match, even with `exclude` alone.
    fn matches(&self, values: &[String]) -> bool {
        if self.include.is_empty() && self.exclude.is_empty() {
            return true;
        }
        !values.is_empty()
            && (self.include.is_empty() || values.iter().any(|v| self.include.contains(v)))
            && !values.iter().any(|v| self.exclude.contains(v))
    }
}

fn folded(values: &[String]) -> Values {
    Values::of(values.iter().map(|value| fold(value.trim())))
}

impl Matcher {
    pub fn new(filters: Option<&Match>) -> Self {
        let Some(filters) = filters else { return Self::default() };
        let keywords = &filters.keywords;
        Self {
            sources: folded(&filters.sources),
            languages: Values::of(filters.languages.iter().map(|range| subtags(range))),
            locations: folded(&filters.locations),
            topics: folded(&filters.search_topics),
            authors: Sides::of(filters.authors.as_ref()),
            author_tags: Sides::of(filters.author_tags.as_ref()),
            sentiments: filters.sentiments.as_slice().into(),
            post_types: filters.post_types.as_slice().into(),
            contributors: filters.contributors.as_slice().into(),
            intentions: filters.intentions.as_slice().into(),
            reach: filters.reach.clone(),
            keywords: (!keywords.is_empty()).then(|| Phrases::of(keywords)),
            excluded: Phrases::of(&filters.exclude_keywords),
        }
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        let lists = [&self.sources, &self.languages, &self.locations, &self.topics];
        let sides = [&self.authors, &self.author_tags].into_iter().flat_map(|s| [&s.include, &s.exclude]);
        let phrases = self.keywords.iter().chain([&self.excluded]);
        size_of::<Self>()
            + lists.into_iter().chain(sides).map(Values::heap_size).sum::<usize>()
            + phrases.map(Phrases::heap_size).sum::<usize>()
    }

    pub fn matches(&self, text: &Text<'_>) -> bool {
        let post = text.post;
        self.sources.admit(text.source.as_ref())
            && (self.languages.is_empty() || self.languages.all().any(|range| text.is_in(range)))
            && self.locations.admit(text.location.as_ref())
            && (self.sentiments.is_empty() || post.sentiment.is_some_and(|s| self.sentiments.contains(&s)))
            && (self.post_types.is_empty() || post.type_.is_some_and(|t| self.post_types.contains(&t)))
            && (self.contributors.is_empty()
                || post.contributor.is_some_and(|c| self.contributors.contains(&c)))
            && (self.intentions.is_empty() || post.intentions.iter().any(|i| self.intentions.contains(i)))
            && (self.topics.is_empty() || text.topics.iter().any(|t| self.topics.contains(t)))
            && self.reach.as_ref().is_none_or(|range| {
                let unbounded = range.min.is_none() && range.max.is_none();
                unbounded
                    || post.reach.is_some_and(|reach| {
                        range.min.is_none_or(|min| reach >= min) && range.max.is_none_or(|max| reach <= max)
                    })
            })
            && self.authors.matches(&text.authors)
            && self.author_tags.matches(&text.tags)
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

/// A handle with and without its leading `@`.
fn handles(name: &str) -> Vec<String> {
    let name = fold(name.trim());
    let bare = name.trim_start_matches('@').to_owned();
    if bare == name { vec![name.clone(), format!("@{name}")] } else { vec![name, bare] }
}
