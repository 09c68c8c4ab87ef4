//! What the API server admits as a keyword is what can find something; it says what to write instead of the rest.

use crate::matching::matches;
use kube_memory::schema::Schema;
use postlink::api::{crds, names::VERSION};
use proptest::{collection::vec, prelude::*, sample::select};
use regex::Regex;
use rstest::rstest;
use serde_json::{Value, json};

fn schema() -> Schema {
    let crd = crds::all().into_iter().find(|crd| crd.spec.names.kind == "AutomationRule").unwrap();
    Schema::from_crd(&crd, VERSION).unwrap()
}

fn rule(match_: &Value) -> Value {
    json!({
        "apiVersion": "postlink.dev/v1alpha1", "kind": "AutomationRule", "metadata": {"name": "r", "namespace": "n"},
        "spec": {"connectionRef": {"name": "c"}, "active": true, "match": match_},
    })
}

/// What the API server says about these keywords, as field and message.
pub fn refusals(keywords: &[String]) -> Vec<(String, String)> {
    let errors = schema().validate(&rule(&json!({"keywords": keywords})), None);
    errors.into_iter().map(|error| (error.field, error.detail)).collect()
}

/// Whether a keyword finds the text that it consists of. A `*` may stand for nothing or for more.
fn finds_itself(keyword: &str) -> bool {
    let whole = keyword.trim();
    let finds = |text: &str| matches(&json!({"keywords": [keyword]}), &json!({"content": text}));
    match whole.strip_suffix(['*', '＊']) {
        Some(beginning) => finds(beginning) || finds(&format!("{beginning}x")),
        None => finds(whole),
    }
}

#[rstest]
#[case::punctuation("!!! …", "a keyword needs a letter, a digit or a symbol")]
#[case::spaces(" \u{3000}", "a keyword needs a letter, a digit or a symbol")]
#[case::sign("#", "a keyword needs a letter, a digit or a symbol")]
#[case::invisible("\u{200b}\u{fe0f}", "a keyword needs a letter, a digit or a symbol")]
#[case::only_a_star("*", "a keyword needs a letter, a digit or a symbol")]
#[case::dash("-late", "list the word, without -, under excludeKeywords")]
#[case::typographic_dash(" – late", "list the word, without -, under excludeKeywords")]
#[case::star_first("*late", "a keyword may have one *, at its end")]
#[case::star_within("re*fund", "a keyword may have one *, at its end")]
#[case::star_of_a_word("late * delivery", "a keyword may have one *, at its end")]
#[case::two_stars("late**", "a keyword may have one *, at its end")]
#[case::star_after_a_space("late *", "a keyword may have one *, at its end")]
#[case::regular_expression("re.*", "regular expressions are not supported")]
#[case::regular_expression_of_its_own("refund .*", "regular expressions are not supported")]
#[case::escaped_star("refund\\*", "regular expressions are not supported")]
#[case::class("[a-z]*", "regular expressions are not supported")]
#[case::any_text(".*", "a keyword needs a letter, a digit or a symbol")]
#[case::trademark("™", "a keyword needs a letter, a digit or a symbol")]
#[case::footnote("②", "a keyword needs a letter, a digit or a symbol")]
#[case::alternatives("refund|return", "a keyword has no operators")]
#[case::alternatives_in_words("refund OR return", "a keyword has no operators")]
#[case::negation("!refund", "what must not be there under excludeKeywords")]
#[case::negation_in_words("NOT refund", "what must not be there under excludeKeywords")]
#[case::wide_star("la＊te", "a keyword may have one *, at its end")]
fn refused_with_what_to_do(#[case] keyword: &str, #[case] message: &str) {
    let found = refusals(&["late".into(), keyword.into()]);
    let [(field, says)] = found.as_slice() else { panic!("one refusal of {keyword:?}: {found:?}") };
    assert_eq!(field, "spec.match.keywords[1]");
    assert!(says.contains(message), "{keyword:?}: {says}");
    assert!(!says.contains("\\x"), "no pattern: {says}");
    let excluded = schema().validate(&rule(&json!({"excludeKeywords": [keyword]})), None);
    assert_eq!(excluded.len(), 1, "{keyword:?} is refused under excludeKeywords");
    assert!(!Admission::of_crd().admits(keyword));
    assert!(!finds_itself(keyword));
}

#[rstest]
#[case(" late ")]
#[case("gift card")]
#[case("refund*")]
#[case("refund* ")]
#[case("refund＊")]
#[case("#contoso_*")]
#[case("e-mail")]
#[case("TRUE OR FALSE")]
#[case("gift AND")]
#[case("Note or not")]
#[case("C++")]
#[case(".NET")]
#[case("50%")]
#[case("C+*")]
#[case("C#*")]
#[case("Contoso™*")]
#[case("m²")]
#[case("😡")]
#[case("退款")]
fn admitted(#[case] keyword: &str) {
    assert_eq!(refusals(&[keyword.into()]), vec![]);
    assert!(Admission::of_crd().admits(keyword));
    assert!(finds_itself(keyword));
}

/// An unchanged list stays valid, so that the status, and another field, can be written.
#[test]
fn stored_keywords_of_an_older_version_stay() {
    let old = rule(&json!({"keywords": ["!!!", "-late"]}));
    let mut new = old.clone();
    new["spec"]["active"] = json!(false);
    assert_eq!(schema().validate(&new, Some(&old)), vec![]);
    new["spec"]["match"]["keywords"] = json!(["!!!"]);
    assert_eq!(schema().validate(&new, Some(&old)).len(), 1, "a changed list is checked");
}

/// The rules of the CRD for a keyword, read once: a CEL engine compiles their expressions for each keyword.
pub struct Admission(Vec<(Regex, bool)>);

impl Admission {
    pub fn of_crd() -> Self {
        let crd = crds::all().into_iter().find(|crd| crd.spec.names.kind == "AutomationRule").unwrap();
        let crd = serde_json::to_value(crd).unwrap();
        let keywords =
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/match/properties/keywords";
        let rules = crd.pointer(&format!("{keywords}/items/x-kubernetes-validations")).unwrap();
        let read = |rule: &Value| {
            let rule = rule["rule"].as_str().unwrap();
            let wanted = rule.strip_prefix("self.matches(r'");
            let pattern = wanted.or_else(|| rule.strip_prefix("!self.trim().matches(r'")).unwrap();
            (Regex::new(pattern.strip_suffix("')").unwrap()).unwrap(), wanted.is_some())
        };
        Self(rules.as_array().unwrap().iter().map(read).collect())
    }

    pub fn admits(&self, keyword: &str) -> bool {
        self.0.iter().all(|(pattern, wanted)| {
            pattern.is_match(if *wanted { keyword } else { keyword.trim() }) == *wanted
        })
    }
}

/// The schema's list of characters and the way a text is folded agree on every character.
#[test]
fn single_characters_are_admitted_if_they_find_themselves() {
    let admission = Admission::of_crd();
    // Beyond lie more Chinese characters, and private and unassigned ones.
    let all = ('\0'..'\u{20000}').chain('\u{e0000}'..'\u{e1000}').map(String::from);
    let found: Vec<String> = all
        .filter(|c| admission.admits(c) != finds_itself(c))
        .map(|c| c.escape_unicode().to_string())
        .collect();
    assert!(found.is_empty(), "{}", found.join(" "));
}

/// Letters of several scripts, signs, and characters that are dropped, joined or composed.
const CHARACTERS: &str = "aAbcsnt019 \t'’'\"`_-–.:,;&%+##@@$$***＊\\/!?éßİıΣд退カｶ한국ㅋคน้ำ👍🏽👩💻❤🇩🇪לצ״׳＃＠％½ﷺ…mk™®²¹③❷₂\n\
                          \u{200d}\u{200d}\u{fe0f}\u{200b}\u{ad}\u{feff}\u{301}\u{307}\u{345}\u{3099}\u{85}\u{3000}";

fn keyword() -> impl Strategy<Value = String> {
    let character = select(CHARACTERS.chars().collect::<Vec<_>>());
    vec(character, 1..9).prop_map(|characters| characters.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn admitted_if_and_only_if_it_finds_itself(keywords in vec(keyword(), 1024)) {
        let admission = Admission::of_crd();
        for keyword in keywords {
            prop_assert_eq!(admission.admits(&keyword), finds_itself(&keyword), "{:?}", keyword);
        }
    }
}
