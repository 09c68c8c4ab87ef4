//! §2 "`AutomationRule`", `match`: AND across fields, OR inside one; a filter on a field the post lacks does not match.

use postlink::{
    api::{Match, Post},
    domain::matching::{Matcher, Text},
};
use rstest::rstest;
use serde_json::{Value, from_value, json};

/// Whether these filters match this post; both as JSON.
pub fn matches(filters: &Value, post: &Value) -> bool {
    let mut whole = json!({"url": "https://social.example/1", "id": "1"});
    whole.as_object_mut().unwrap().extend(post.as_object().unwrap().clone());
    let filters: Match = from_value(filters.clone()).unwrap();
    let post: Post = from_value(whole).unwrap();
    Matcher::new(Some(&filters)).matches(&Text::of(&post))
}

/// A filter, a post it matches, and one it does not; no filter matches a post without any field.
#[rstest]
#[case::sources(json!({"sources": ["Twitter", "Reddit"]}), json!({"source": "reddit"}), json!({"source": "News"}))]
#[case::languages(json!({"languages": ["en", "de"]}), json!({"language": "DE"}), json!({"language": "fr"}))]
#[case::language_range(json!({"languages": ["en", "zh-Hant"]}), json!({"language": "ZH_hant_TW"}), json!({"language": "zh-Hans"}))]
#[case::sentiments(json!({"sentiments": ["Negative", "Neutral"]}), json!({"sentiment": "Neutral"}), json!({"sentiment": "Positive"}))]
#[case::reach(json!({"reach": {"min": 10, "max": 20}}), json!({"reach": 10}), json!({"reach": 21}))]
#[case::reach_max(json!({"reach": {"min": 10, "max": 20}}), json!({"reach": 20}), json!({"reach": 9}))]
#[case::reach_only_min(json!({"reach": {"min": 10}}), json!({"reach": 100}), json!({"reach": 9}))]
#[case::reach_only_max(json!({"reach": {"max": 0}}), json!({"reach": 0}), json!({"reach": 1}))]
#[case::locations(json!({"locations": ["Österreich"]}), json!({"location": "ÖSTERREICH"}), json!({"location": "Austria"}))]
#[case::authors(json!({"authors": {"include": ["Jo Doe"]}}), json!({"author": {"name": "jo doe"}}), json!({"author": {"name": "Jo"}}))]
#[case::handles(json!({"authors": {"include": ["@jo"]}}), json!({"author": {"handle": "jo"}}), json!({"author": {"handle": "joe"}}))]
#[case::handles_bare(json!({"authors": {"include": ["jo"]}}), json!({"author": {"handle": "@Jo"}}), json!({"author": {"handle": "@joe"}}))]
#[case::authors_out(json!({"authors": {"exclude": ["spam"]}}), json!({"author": {"name": "jo"}}), json!({"author": {"name": "Spam"}}))]
#[case::tags(json!({"authorTags": {"include": ["vip", "press"]}}), json!({"author": {"tags": ["x", "Press"]}}), json!({"author": {"tags": ["x"]}}))]
#[case::tags_out(json!({"authorTags": {"exclude": ["bot"]}}), json!({"author": {"tags": ["vip"]}}), json!({"author": {"tags": ["vip", "BOT"]}}))]
#[case::types(json!({"postTypes": ["Reply", "Share"]}), json!({"type": "Share"}), json!({"type": "Post"}))]
#[case::contributors(json!({"contributors": ["Audience"]}), json!({"contributor": "Audience"}), json!({"contributor": "PageOwner"}))]
#[case::intentions(json!({"intentions": ["Purchase", "Complaint"]}), json!({"intentions": ["SupportRequest", "Complaint"]}), json!({"intentions": ["SupportRequest"]}))]
#[case::topics(json!({"searchTopics": ["Kettles"]}), json!({"searchTopics": ["toasters", "kettles"]}), json!({"searchTopics": ["toasters"]}))]
#[case::keywords(json!({"keywords": ["refund", "broken"]}), json!({"title": "Broken kettle"}), json!({"content": "all fine"}))]
fn each_filter(#[case] filters: Value, #[case] hit: Value, #[case] miss: Value) {
    assert!(matches(&filters, &hit), "{filters} matches {hit}");
    assert!(!matches(&filters, &miss), "{filters} does not match {miss}");
    assert!(!matches(&filters, &json!({})), "{filters} does not match a post that lacks the field");
}

#[test]
fn empty_matches_every_post() {
    for nothing in [json!({}), json!({"reach": {}, "authors": {}, "authorTags": {}, "keywords": []})] {
        assert!(matches(&nothing, &json!({})));
        assert!(matches(&nothing, &json!({"content": "x", "reach": 3})));
    }
    assert!(Matcher::new(None).matches(&Text::of(&Post::default())));
}

#[test]
fn all_filters_must_match() {
    let filters = json!({"sources": ["Reddit"], "sentiments": ["Negative"], "keywords": ["late"]});
    let post = |source: &str, sentiment: &str, content: &str| json!({"source": source, "sentiment": sentiment, "content": content});
    assert!(matches(&filters, &post("Reddit", "Negative", "late again")));
    assert!(!matches(&filters, &post("News", "Negative", "late again")));
    assert!(!matches(&filters, &post("Reddit", "Neutral", "late again")));
    assert!(!matches(&filters, &post("Reddit", "Negative", "early")));
}

#[test]
fn exclude_overrides_include() {
    let filters = json!({"authors": {"include": ["jo"], "exclude": ["jo"]}});
    assert!(!matches(&filters, &json!({"author": {"name": "jo"}})));
    let filters = json!({"authors": {"include": ["jo"], "exclude": ["@spam"]}});
    assert!(!matches(&filters, &json!({"author": {"name": "Jo", "handle": "spam"}})));
}

/// A keyword, a text, and whether it is found there as a whole word or phrase.
#[rstest]
#[case::whole_word("late", "It was late.", true)]
#[case::case("LATE", "it was Late", true)]
#[case::part_of_a_word("late", "later, plate, chocolate", false)]
#[case::at_the_end("late", "so late", true)]
#[case::punctuation("late", "(late)!", true)]
#[case::quotes("late", "“late”", true)]
#[case::hyphen("late", "a late-night call", true)]
#[case::phrase("gift card", "My GIFT  card, again", true)]
#[case::phrase_order("gift card", "card gift", false)]
#[case::phrase_apart("gift card", "gift or card", false)]
#[case::phrase_over_lines("gift card", "gift\ncard", true)]
#[case::sharp_s("STRASSE", "an der Straße 5", true)]
#[case::sharp_s_back("straße", "STRASSE", true)]
#[case::capital_sharp_s("straße", "STRAẞE", true)]
#[case::final_sigma("ΟΔΟΣ", "στην οδος", true)]
#[case::final_sigma_back("οδός", "ΟΔΌΣ", true)]
#[case::accents_count("resume", "résumé", false)]
#[case::composed("caf\u{e9}", "cafe\u{301} noir", true)]
#[case::decomposed("cafe\u{301}", "CAF\u{c9}", true)]
#[case::hangul_composed("한글", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}", true)]
#[case::ligature("office", "oﬃce", true)]
#[case::cyrillic("ПОЗДНО", "очень поздно", true)]
#[case::tag("late", "#late", true)]
#[case::tag_wanted("#late", "so #Late", true)]
#[case::tag_missing("#late", "so late", false)]
#[case::mention("@contoso", "hey @contoso!", true)]
#[case::mention_missing("@contoso", "hey contoso", false)]
#[case::other_sign("@late", "#late", false)]
#[case::cash("$MSFT", "buy $msft now", true)]
#[case::japanese("東京", "東京都に住む", true)]
#[case::japanese_order("東京", "京東", false)]
#[case::chinese("退款", "我要退款。", true)]
#[case::katakana("カメラ", "新しい カメラ です", true)]
#[case::emoji("😡", "again 😡", true)]
#[case::emoji_beside_a_word("😡", "late😡", true)]
#[case::other_emoji("😡", "😀", false)]
#[case::flag("🇩🇪", "🇩🇪🇫🇷", true)]
#[case::family("👩‍👩‍👧", "my 👩‍👩‍👧", true)]
#[case::numbers("4471", "Parcel 4471 is late", true)]
#[case::part_of_a_number("447", "4471", false)]
#[case::apostrophe("don't", "I DON'T know", true)]
#[case::only_punctuation("!!!", "what!!!", false)]
fn keywords(#[case] keyword: &str, #[case] text: &str, #[case] found: bool) {
    let filters = json!({"keywords": [keyword]});
    assert_eq!(matches(&filters, &json!({"content": text})), found, "in the content");
    assert_eq!(matches(&filters, &json!({"title": text})), found, "in the title");
    let either = json!({"keywords": ["zzz", keyword]});
    assert_eq!(matches(&either, &json!({"content": text})), found, "any keyword will do");
}

/// Unlike `exclude`, it does not need the field: a post without text has none of the words.
#[test]
fn excluded_keywords() {
    let filters = json!({"excludeKeywords": ["giveaway", "gift card*"]});
    for post in [json!({}), json!({"content": "broken"}), json!({"title": "a gift", "content": "card game"})]
    {
        assert!(matches(&filters, &post), "{post}");
    }
    for post in [json!({"title": "Giveaway!"}), json!({"title": "x", "content": "two gift cards"})] {
        assert!(!matches(&filters, &post), "{post}");
    }
    let both = json!({"keywords": ["kettle"], "excludeKeywords": ["giveaway"]});
    assert!(matches(&both, &json!({"content": "my kettle is broken"})));
    assert!(!matches(&both, &json!({"title": "giveaway", "content": "win a kettle"})));
    assert!(!matches(&both, &json!({})), "keywords need a text");
}

/// A rule that is stored with them has a filter, and it does not match everything.
#[test]
fn keywords_that_find_nothing_match_nothing() {
    assert!(!matches(&json!({"keywords": ["!!!"]}), &json!({"content": "what!!!"})));
    assert!(matches(&json!({"keywords": ["!!!", "what"]}), &json!({"content": "what!!!"})));
}

#[test]
fn phrase_does_not_span_title_and_content() {
    let post = json!({"title": "a gift", "content": "card game"});
    assert!(!matches(&json!({"keywords": ["gift card"]}), &post));
}
