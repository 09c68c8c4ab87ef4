//! Folding: two texts that people take for the same have the same folded form.

use caseless::Caseless;
use unicode_normalization::UnicodeNormalization;

/// Unicode case folding of the compatibility form (NFKC), so that `Straße` equals `STRASSE` and `ＡＢＣ` equals `abc`. What is
/// not seen, skin tones and the shape of apostrophes do not count.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.chars().map(|c| plain(c.to_ascii_lowercase())).collect();
    }
    seen(text).nfkd().default_case_fold().map(plain).nfc().collect()
}

const JOINER: char = '\u{200d}';
const BLACK_FLAG: char = '\u{1f3f4}';
const TAGS: std::ops::RangeInclusive<char> = '\u{e0020}'..='\u{e007f}';

/// The characters that are seen, and those that make an emoji: joiners between two symbols, and the tags of a flag.
fn seen(text: &str) -> impl Iterator<Item = char> {
    let mut last = None;
    let mut after_joiner = false;
    text.chars()
        .flat_map(move |c| {
            let counts = if TAGS.contains(&c) {
                last.is_some_and(|last| last == BLACK_FLAG || TAGS.contains(&last))
            } else {
                !is_unseen(c)
            };
            after_joiner |= c == JOINER;
            if !counts {
                return [None, None];
            }
            let joiner = (after_joiner && is_symbol(c) && last.is_some_and(is_symbol)).then_some(JOINER);
            after_joiner = false;
            last = Some(c);
            [joiner, Some(alone(c))]
        })
        .flatten()
}

/// Accents and lines of their own, which the compatibility form makes a space and a combining mark.
fn alone(c: char) -> char {
    match c {
        '\u{b4}' | '\u{1ffd}' => '\'',
        '\u{2017}' | '\u{203e}' | '\u{fe49}'..='\u{fe4c}' => '_',
        _ => c,
    }
}

/// Unicode's default ignorable characters, and skin tones.
pub(super) fn is_unseen(c: char) -> bool {
    c > '\u{ac}'
        && matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fff8}'
                | '\u{1f3fb}'..='\u{1f3ff}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Whether a joiner beside it makes an emoji. Beside a letter, it only changes how the letter is drawn.
fn is_symbol(c: char) -> bool {
    c > '\u{2000}' && !c.is_alphanumeric()
}

/// Apostrophes and quotation marks in their ASCII form.
fn plain(c: char) -> char {
    match c {
        '`' | '‘' | '’' | '‛' | '′' | 'ʻ' | 'ʼ' | 'ʽ' | '՚' | '׳' => '\'',
        '“' | '”' | '„' | '‟' | '״' => '"',
        '‐' => '-',
        _ => c,
    }
}
