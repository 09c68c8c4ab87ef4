//! What a keyword may be: the characters that stand between words, and the rules that the API server checks.

use super::schemas::{NOT_EMPTY, NOT_EMPTY_MESSAGE};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// Characters that no keyword can find: spaces, controls, punctuation, the ASCII signs, and what is not seen or does not
/// count, such as soft hyphens and skin tones. Sorted ranges, first and last character. All others are searchable. The list
/// does not use Unicode's categories, because API servers know different versions of them.
pub const UNSEARCHABLE: [(char, char); 78] = [
    ('\0', '/'),
    (':', '@'),
    ('[', '`'),
    ('{', '\u{a1}'),
    ('\u{a7}', '\u{a7}'),
    ('\u{ab}', '\u{ab}'),
    ('\u{ad}', '\u{ae}'),
    ('\u{b2}', '\u{b4}'),
    ('\u{b6}', '\u{b7}'),
    ('\u{b9}', '\u{b9}'),
    ('\u{bb}', '\u{bb}'),
    ('\u{bf}', '\u{bf}'),
    ('\u{2bb}', '\u{2bd}'),
    ('\u{34f}', '\u{34f}'),
    // Greek and Armenian.
    ('\u{37e}', '\u{37e}'),
    ('\u{387}', '\u{387}'),
    ('\u{55a}', '\u{55f}'),
    ('\u{589}', '\u{58a}'),
    // Hebrew and Arabic.
    ('\u{5be}', '\u{5be}'),
    ('\u{5c0}', '\u{5c0}'),
    ('\u{5c3}', '\u{5c3}'),
    ('\u{5f3}', '\u{5f4}'),
    ('\u{60c}', '\u{60d}'),
    ('\u{61b}', '\u{61f}'),
    ('\u{66a}', '\u{66d}'),
    ('\u{6d4}', '\u{6d4}'),
    // South and Southeast Asia.
    ('\u{964}', '\u{965}'),
    ('\u{970}', '\u{970}'),
    ('\u{df4}', '\u{df4}'),
    ('\u{e4f}', '\u{e4f}'),
    ('\u{e5a}', '\u{e5b}'),
    ('\u{f0b}', '\u{f12}'),
    ('\u{104a}', '\u{104f}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{1361}', '\u{1368}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{17d4}', '\u{17d6}'),
    ('\u{17d8}', '\u{17da}'),
    ('\u{1800}', '\u{180f}'),
    // Accents of their own, and general punctuation.
    ('\u{1fef}', '\u{1fef}'),
    ('\u{1ffd}', '\u{1ffd}'),
    ('\u{2000}', '\u{206f}'),
    // Superscript digits, and trademark signs.
    ('\u{2070}', '\u{2070}'),
    ('\u{2074}', '\u{207e}'),
    ('\u{208a}', '\u{208e}'),
    ('\u{2120}', '\u{2120}'),
    ('\u{2122}', '\u{2122}'),
    ('\u{2212}', '\u{2212}'),
    ('\u{2308}', '\u{230b}'),
    ('\u{2329}', '\u{232a}'),
    ('\u{2460}', '\u{249b}'),
    ('\u{24ea}', '\u{24ff}'),
    ('\u{2768}', '\u{2793}'),
    ('\u{27e6}', '\u{27ef}'),
    ('\u{2983}', '\u{2998}'),
    ('\u{2a74}', '\u{2a76}'),
    ('\u{2e00}', '\u{2e7f}'),
    // Chinese, Japanese and Korean.
    ('\u{3000}', '\u{3003}'),
    ('\u{3008}', '\u{3011}'),
    ('\u{3014}', '\u{301f}'),
    ('\u{3030}', '\u{3030}'),
    ('\u{303d}', '\u{303d}'),
    ('\u{30a0}', '\u{30a0}'),
    ('\u{30fb}', '\u{30fb}'),
    ('\u{3164}', '\u{3164}'),
    // Other forms of the above, and selectors.
    ('\u{fb29}', '\u{fb29}'),
    ('\u{fd3e}', '\u{fd3f}'),
    ('\u{fe00}', '\u{fe19}'),
    ('\u{fe30}', '\u{fe6b}'),
    ('\u{feff}', '\u{ff0f}'),
    ('\u{ff1a}', '\u{ff20}'),
    ('\u{ff3b}', '\u{ff40}'),
    ('\u{ff5b}', '\u{ff65}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fff8}'),
    ('\u{1f3fb}', '\u{1f3ff}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// What makes the last word of a keyword the beginning of a word.
pub const STARS: [char; 2] = ['*', '＊'];

/// What a `*` must not follow: spaces, and the ASCII signs that are none of a listed word (`C+`, `C#`, `late_`). With them, a
/// regular expression would pass as the beginning of a word: `re.*`.
pub const NOT_BEFORE_STAR: [(char, char); 13] = [
    ('\0', '"'),
    ('$', '*'),
    (',', '/'),
    (':', '@'),
    ('[', '^'),
    ('`', '`'),
    ('{', '\u{a0}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{2000}', '\u{200a}'),
    ('\u{2028}', '\u{2029}'),
    ('\u{202f}', '\u{202f}'),
    ('\u{205f}', '\u{205f}'),
    ('\u{3000}', '\u{3000}'),
];

/// What a keyword must not start with: elsewhere it excludes a word.
pub const DASHES: [char; 9] = ['-', '‐', '‑', '‒', '–', '—', '−', '﹣', '－'];

/// Whether a keyword has operators, which other tools know: `refund|return`, `refund OR return`, `NOT refund`, `!refund`. Of
/// these words, only those in capitals beside others in small letters.
pub fn has_operators(keyword: &str) -> bool {
    let words: Vec<&str> = keyword.split_ascii_whitespace().collect();
    let operator = |(n, word): (usize, &&str)| match *word {
        "NOT" => n + 1 < words.len(),
        "OR" | "AND" => 0 < n && n + 1 < words.len(),
        _ => false,
    };
    let letter = |c: char| c.is_ascii_alphanumeric() || !c.is_ascii();
    let small = keyword.contains(|c: char| c.is_ascii_lowercase());
    let negated = keyword.strip_prefix('!').map(|rest| rest.strip_prefix(' ').unwrap_or(rest));
    keyword.rsplit_once('|').is_some_and(|(before, _)| before.contains(letter))
        || negated.is_some_and(|rest| rest.starts_with(letter))
        || small && words.iter().enumerate().any(operator)
}

/// [`has_operators`] as a regular expression. `\s` would not be the same in all languages.
fn operators() -> String {
    let (space, word, letter) = (r"[\t\n\f\r ]", "(OR|AND|NOT)", r"[0-9A-Za-z\x{80}-\x{10FFFF}]");
    format!(
        r"(?s){letter}.*\||^! ?{letter}|^NOT{space}.*[a-z]|[a-z].*{space}{word}{space}|{space}{word}{space}.*[a-z]"
    )
}

/// A list of keywords. What the API server admits is exactly what the domain can use.
pub(super) fn keywords_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let unsearchable = class(UNSEARCHABLE);
    let stars = class(STARS.map(|c| (c, c)));
    let dashes = class(DASHES.map(|c| (c, c)));
    let (others, operators) = (class(NOT_BEFORE_STAR), operators());
    let Value::Object(map) = json!({
        "type": "array", "maxItems": 128,
        "x-kubernetes-validations": [{"rule": NOT_EMPTY, "message": NOT_EMPTY_MESSAGE}],
        "items": {
            "type": "string", "minLength": 1, "maxLength": 256,
            "x-kubernetes-validations": [{
                "rule": format!("self.matches(r'[^{unsearchable}]')"),
                "message": "a keyword needs a letter, a digit or a symbol such as an emoji; punctuation and signs such as # \
                            or % alone match nothing",
            }, {
                "rule": format!("!self.trim().matches(r'^[{dashes}]')"),
                "message": "a keyword must not start with -; to exclude posts that have a word, list the word, without -, \
                            under excludeKeywords",
            }, {
                // A keyword without anything searchable is refused above.
                "rule": format!(r"!self.trim().matches(r'(?s)[{stars}].|[0-9A-Za-z\x{{80}}-\x{{10FFFF}}].*[{others}][{stars}]$')"),
                "message": "a keyword may have one *, at its end and directly after the beginning of a word, such as refund*; it \
                            stands for the rest of the word, and regular expressions are not supported",
            }, {
                "rule": format!("!self.trim().matches(r'{operators}')"),
                "message": "a keyword has no operators such as | or OR; list each alternative as a keyword of its own, and what \
                            must not be there under excludeKeywords",
            }],
        },
    }) else {
        return schemars::Schema::from(Map::new());
    };
    schemars::Schema::from(map)
}

/// The inside of a character class.
fn class(ranges: impl IntoIterator<Item = (char, char)>) -> String {
    let mut class = String::new();
    for (first, last) in ranges {
        let _ = write!(class, r"\x{{{:X}}}", u32::from(first));
        if first != last {
            let _ = write!(class, r"-\x{{{:X}}}", u32::from(last));
        }
    }
    class
}
