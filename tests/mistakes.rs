//! What people get wrong most, and the message of the API server: the same table for the in-memory API and a real one.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test program uses what it needs; a failed unwrap fails the test"
)]

use http::Request;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use postlink::api::crds;
use serde_json::{Value, json};

/// A value in a field, as YAML, and where and with which words it is refused.
pub type Mistake = (&'static str, &'static str, &'static str);

const URL: &str = "must be the address of the instance, with https:// and without a path, such as https://contoso.crm.dynamics.com";
const DURATION: &str = "must be a duration in hours, minutes and seconds, such as 24h, 90m or 1h30m";
const TABLE: &str =
    "must be the logical name of a table, in lowercase and singular, such as incident (Case) or lead (Lead)";
const TIME: &str = "must be a date and time with a time zone, such as 2025-12-01T00:00:00Z";
const REACH: &str = "must be from 0 to 100: reach is a score, not a number of followers";
const RECORD: &str = "must be the GUID of the record, such as 0f8fad5b-d9cb-469f-a165-70867728950e; it follows id= in the address of the record's page";
const NAME: &str = "must be the name of an object in this namespace: lowercase letters, digits, hyphens and dots, such as contoso";
const PAGE: &str = "must be a URL without spaces that begins with https:// or http://, such as https://social.example/posts/1";

const LANGUAGE: &str = "must be a language code, such as en, de or pt-BR";
const EMPTY: &str = "must have at least one value; remove the field if it is not needed";
const POST: &str = "must be the ID of the post, and not empty or only spaces";

pub const CONNECTION: &[Mistake] = &[
    ("spec.instanceUrl", "http://contoso.crm.dynamics.com", URL),
    ("spec.instanceUrl", "contoso.crm.dynamics.com", URL),
    ("spec.instanceUrl", "https://contoso.crm.dynamics.com/main.aspx?appid=1&pagetype=entityrecord", URL),
    ("spec.instanceUrl", "https://contoso.crm.dynamics.com:port", URL),
    ("spec.instanceUrl", "https://user@contoso.crm.dynamics.com", URL),
    ("spec.instanceUrl", "https://.crm.dynamics.com", URL),
    ("spec.instanceUrl", "https://contoso.crm.dynamics.com.", URL),
    ("spec.instanceUrl", "https://contoso..crm.dynamics.com", URL),
    ("spec.instanceUrl", "https://-contoso.crm.dynamics.com", URL),
    ("spec.instanceUrl", "https://contoso.crm.dynamics.com-/", URL),
    ("spec.instanceUrl", "https://contoso.crm.dynamics.com:0443", URL),
    ("spec.instanceUrl", "https://contoso.crm.dynamics.com:0", URL),
    ("spec.instanceUrl", "https://contoso.crm.dynamics.com:65536", URL),
    ("spec.instanceUrl", "''", URL),
    ("spec.instanceUrl", "'{{ .Values.instanceUrl }}'", URL),
    ("spec.probe.interval", "5 minutes", DURATION),
    ("spec.probe.interval", "'5'", DURATION),
    ("spec.probe.interval", "PT5M", DURATION),
    ("spec.probe.interval", "1d", DURATION),
    ("spec.probe.interval", "1.5h", DURATION),
    ("spec.probe.interval", "-5m", DURATION),
    ("spec.probe.interval", "+5m", DURATION),
    ("spec.probe.interval", "1h 30m", DURATION),
    ("spec.probe.interval", "30m1h", DURATION),
    ("spec.probe.interval", "500ms", DURATION),
    ("spec.probe.interval", "5M", DURATION),
    ("spec.probe.interval", "1000000h", DURATION),
    ("spec.probe.interval", "5", "spec.probe.interval in body must be of type string: \"integer\""),
    ("spec.refresh.interval", "1 day", DURATION),
    ("spec.recordTypes[0]", "Case", TABLE),
    ("spec.recordTypes[0]", "Lead", TABLE),
    ("spec.recordTypes[0]", "cases", TABLE),
    ("spec.recordTypes[0]", "incidents", TABLE),
    ("spec.recordTypes[0]", "''", TABLE),
    ("spec.credentials.secretRef.name", "Contoso", NAME),
    ("spec.credentials.secretRef.name", "other/contoso", NAME),
    ("spec.credentials.secretRef.name", "''", NAME),
    ("spec.enabled", "'yes'", "spec.enabled in body must be of type boolean: \"string\""),
    ("spec.linksPerSecond", "'5'", "spec.linksPerSecond in body must be of type integer: \"string\""),
];

pub const RULE: &[Mistake] = &[
    ("spec.connectionRef.name", "Contoso", NAME),
    ("spec.connectionRef.name", "other/contoso", NAME),
    ("spec.connectionRef.name", "''", NAME),
    ("spec.since", "2025-12-01", TIME),
    ("spec.since", "01.12.2025", TIME),
    ("spec.since", "12/01/2025", TIME),
    ("spec.since", "2025-12-01 00:00", TIME),
    ("spec.since", "2025-12-01 00:00:00Z", TIME),
    ("spec.since", "2025-12-01T00:00:00", TIME),
    ("spec.since", "2025-12-01T07:41Z", TIME),
    ("spec.since", "2025-12-01T07:41:00+0200", TIME),
    ("spec.since", "2025-12-01T00:00:00,5Z", TIME),
    ("spec.since", "2025-12-01T00:00:00.1234567890Z", TIME),
    ("spec.since", "2025-12-01T00:00:00+99:99", TIME),
    ("spec.since", "2025-12-01T24:00:00Z", TIME),
    ("spec.since", "2025-12-01T23:59:60Z", TIME),
    ("spec.since", "2025-02-30T00:00:00Z", TIME),
    ("spec.since", "1900-02-29T00:00:00Z", TIME),
    ("spec.since", "2025-12-01T00:00:00ZT", TIME),
    ("spec.since", "''", TIME),
    ("spec.since", "'{{ .Values.since }}'", TIME),
    ("spec.since", "9999-12-31T23:59:59Z", "must be before the year 9999"),
    ("spec.since", "20251201", "spec.since in body must be of type string: \"integer\""),
    ("spec.match.reach.min", "12500", REACH),
    ("spec.match.reach.max", "101", REACH),
    ("spec.match.reach.max", "-1", REACH),
    ("spec.match.reach.min", "'50'", "spec.match.reach.min in body must be of type integer: \"string\""),
    ("spec.match.languages[0]", "English", LANGUAGE),
    ("spec.match.languages[0]", "en-*", LANGUAGE),
    ("spec.match.languages[0]", "en, de", LANGUAGE),
    ("spec.match.languages[0]", "e n", LANGUAGE),
    ("spec.match.languages[0]", "e", LANGUAGE),
    ("spec.match.languages[0]", "''", LANGUAGE),
    ("spec.match.languages[0]", "'*'", LANGUAGE),
    ("spec.match.languages[0]", "en-", LANGUAGE),
    ("spec.match.languages[0]", "pt-toolongsubtag", LANGUAGE),
    ("spec.match.keywords", "[]", EMPTY),
    ("spec.match.excludeKeywords", "[]", EMPTY),
    ("spec.match.sources", "[]", EMPTY),
    ("spec.match.languages", "[]", EMPTY),
    ("spec.match.sentiments", "[]", EMPTY),
    ("spec.match.locations", "[]", EMPTY),
    ("spec.match.authors.include", "[]", EMPTY),
    ("spec.match.authors.exclude", "[]", EMPTY),
    ("spec.match.authorTags.include", "[]", EMPTY),
    ("spec.match.postTypes", "[]", EMPTY),
    ("spec.match.contributors", "[]", EMPTY),
    ("spec.match.intentions", "[]", EMPTY),
    ("spec.match.searchTopics", "[]", EMPTY),
    (
        "spec.match.keywords[0]",
        "re.*",
        "it stands for the rest of the word, and regular expressions are not supported",
    ),
    ("spec.link.recordType", "Case", TABLE),
    ("spec.link.recordType", "Incident", TABLE),
    ("spec.link.recordType", "case", TABLE),
    ("spec.link.recordType", "cases", TABLE),
    ("spec.link.recordType", "incidents", TABLE),
    ("spec.link.recordType", "leads", TABLE),
    ("spec.link.recordType", "'{{ .Values.recordType }}'", TABLE),
    ("spec.active", "'no'", "spec.active in body must be of type boolean: \"string\""),
];

pub const LINK: &[Mistake] = &[
    ("spec.post.url", "social.example/a", PAGE),
    ("spec.post.url", "https://social.example/a b", PAGE),
    ("spec.post.url", "''", PAGE),
    ("spec.post.author.profileUrl", "'@anna'", PAGE),
    ("spec.post.publishedAt", "2025-12-01", TIME),
    ("spec.post.publishedAt", "''", TIME),
    ("spec.post.publishedAt", "9999-12-31T23:59:59-23:59", "must be before the year 9999"),
    ("spec.post.reach", "12500", REACH),
    ("spec.post.reach", "-1", REACH),
    ("spec.post.reach", "12,500", "spec.post.reach in body must be of type integer: \"string\""),
    ("spec.post.language", "n", LANGUAGE),
    ("spec.post.language", "English", LANGUAGE),
    ("spec.post.id", "''", POST),
    ("spec.post.id", "'  '", POST),
    ("spec.post.id", "\"\\t\"", POST),
    ("spec.post.language", "false", "spec.post.language in body must be of type string: \"boolean\""),
    ("spec.post.id", "12345", "spec.post.id in body must be of type string: \"integer\""),
    ("spec.post.sentiment", "positive", "supported values: \"Positive\", \"Neutral\", \"Negative\""),
    ("spec.link.connectionRef.name", "other/contoso", NAME),
    ("spec.link.recordType", "Lead", TABLE),
    ("spec.link.recordType", "cases", TABLE),
    ("spec.link.recordId", "CAS-01234-X1Y2Z3", RECORD),
    ("spec.link.recordId", "'{0f8fad5b-d9cb-469f-a165-70867728950e}'", RECORD),
    ("spec.link.recordId", "0f8fad5b-d9cb469fa165-70867728950e", RECORD),
    (
        "spec.link.recordId",
        "https://contoso.crm.dynamics.com/main.aspx?etn=incident&id=0f8fad5b-d9cb-469f-a165-70867728950e",
        RECORD,
    ),
    ("spec.link.recordId", "''", RECORD),
];

/// Values that look unusual and are right.
pub const CONNECTION_RIGHT: &[Right] = &[
    ("spec.instanceUrl", "https://CONTOSO.crm.dynamics.com:443/"),
    ("spec.instanceUrl", "https://localhost:65535"),
    ("spec.displayName", "''"),
    ("spec.probe.interval", "''"),
    ("spec.probe.interval", "null"),
    ("spec.probe.interval", "90m"),
    ("spec.refresh.interval", "999999h999999m999999s"),
    ("spec.refresh.interval", "0900s"),
    ("spec.linksPerSecond", "5.0"),
    ("spec.recordTypes", "null"),
];

pub const RULE_RIGHT: &[Right] = &[
    ("spec.since", "2025-12-01t00:00:00.123456789z"),
    ("spec.since", "2024-02-29T23:59:59-00:00"),
    ("spec.since", "9998-12-31T23:59:59-23:59"),
    ("spec.since", "0000-01-01T00:00:00+23:59"),
    ("spec.since", "null"),
    ("spec.link", "null"),
    ("spec.link.recordType", "''"),
    ("spec.link.recordType", "new_case"),
    ("spec.match.languages[0]", "pt-BR"),
    ("spec.match.languages[0]", "en_GB"),
    ("spec.match.languages[0]", "' de '"),
    ("spec.match.languages[0]", "zh-Hant-TW"),
    ("spec.match.keywords", "null"),
    ("spec.match.keywords[0]", "C+*"),
];

pub const LINK_RIGHT: &[Right] = &[
    ("spec.link", "null"),
    ("spec.link.recordType", "''"),
    ("spec.link.recordId", "0F8FAD5BD9CB469FA16570867728950E"),
    ("spec.link.recordId", "null"),
    ("spec.post.language", "''"),
    ("spec.post.language", "sr-Latn_RS"),
    ("spec.post.id", "' a '"),
    ("spec.post.source", "''"),
    ("spec.post.location", "''"),
    ("spec.post.author.name", "''"),
    ("spec.post.author.handle", "''"),
    ("spec.post.author.profileUrl", "''"),
];

/// A value in a field, as YAML, that is admitted.
pub type Right = (&'static str, &'static str);

const KINDS: [(&str, &str, &[Mistake], &[Right]); 3] = [
    ("DynamicsConnection", "dynamicsconnections", CONNECTION, CONNECTION_RIGHT),
    ("AutomationRule", "automationrules", RULE, RULE_RIGHT),
    ("PostLink", "postlinks", LINK, LINK_RIGHT),
];

/// The smallest valid object of a kind.
pub fn smallest(kind: &str) -> Value {
    let spec = match kind {
        "DynamicsConnection" => {
            json!({"instanceUrl": "https://contoso.crm.dynamics.com", "credentials": {"secretRef": {"name": "contoso"}}})
        }
        "AutomationRule" => json!({"connectionRef": {"name": "contoso"}}),
        _ => json!({"post": {"url": "https://social.example/a", "id": "a"}}),
    };
    json!({"apiVersion": "postlink.dev/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": spec})
}

/// Sets a field; objects and lists on the way to it are made.
pub fn set(object: &mut Value, field: &str, value: Value) {
    let mut place = object;
    for name in field.split('.') {
        place = match name.strip_suffix("[0]") {
            Some(name) => {
                place[name] = json!([null]);
                &mut place[name][0]
            }
            None => &mut place[name],
        };
    }
    *place = value;
}

/// What a server says to a create that is not stored: each field with its message.
pub async fn answer(client: &Client, plural: &str, object: &Value) -> Vec<(String, String)> {
    let path = format!("/apis/postlink.dev/v1alpha1/namespaces/default/{plural}?dryRun=All");
    let request = Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(serde_json::to_vec(object).unwrap())
        .unwrap();
    let status = match client.request::<Value>(request).await {
        Ok(_) => return Vec::new(),
        Err(kube::Error::Api(status)) => status,
        Err(error) => panic!("{error}"),
    };
    let causes = status.details.as_ref().map(|details| details.causes.clone()).unwrap_or_default();
    assert!(!causes.is_empty(), "{}", status.message);
    causes
        .into_iter()
        .filter(|cause| !cause.message.contains("some validation rules were not checked"))
        .map(|cause| (cause.field, cause.message))
        .collect()
}

/// Asks a server about the whole table; returns what it answers differently.
pub async fn differences(client: &Client) -> Vec<String> {
    let mut found = Vec::new();
    for (kind, plural, wrong, right) in KINDS {
        let mut ask = async |field: &str, value: &str, expected: Option<&str>| {
            let mut object = smallest(kind);
            set(&mut object, field, serde_yaml::from_str(value).unwrap());
            let said = answer(client, plural, &object).await;
            let fine = match expected {
                None => said.is_empty(),
                Some(words) => {
                    matches!(&said[..], [(at, message)] if at == field && message.ends_with(words))
                }
            };
            if !fine {
                found.push(format!("{kind} {field}: {value}\n  expected {expected:?}\n  answered {said:?}"));
            }
        };
        for (field, value, words) in wrong {
            ask(field, value, Some(words)).await;
        }
        for (field, value) in right {
            ask(field, value, None).await;
        }
    }
    for (rule, words) in rules_by_size() {
        let said = answer(client, "automationrules", &rule).await;
        let expected: Vec<_> =
            words.iter().map(|words| ("spec.match".to_owned(), (*words).to_owned())).collect();
        let fine = said.len() == expected.len()
            && said
                .iter()
                .zip(&expected)
                .all(|(said, expected)| said.0 == expected.0 && said.1.ends_with(&expected.1));
        if !fine {
            found.push(format!("AutomationRule by its size: expected {expected:?}\n  answered {said:?}"));
        }
    }
    found
}

/// A rule with as many characters in its filters as are allowed, spread over all of them, and rules with one more.
fn rules_by_size() -> Vec<(Value, Option<&'static str>)> {
    const TOO_LARGE: &str = "the filters of a rule must not have more than 16,384 characters in total, because Postlink keeps them in memory; split the rule";
    // Characters of four bytes: it is characters that count.
    let values = |length: usize| json!(vec!["😀".repeat(length); 16]);
    let fields = [
        ("sources", 102),
        ("keywords", 102),
        ("excludeKeywords", 102),
        ("locations", 102),
        ("searchTopics", 102),
        ("authors.include", 102),
        ("authors.exclude", 102),
        ("authorTags.include", 102),
        ("authorTags.exclude", 102),
    ];
    let mut largest = smallest("AutomationRule");
    for (field, length) in fields {
        set(&mut largest, &format!("spec.match.{field}"), values(length));
    }
    // 14,688 so far.
    let languages =
        |length: usize| json!(vec!["a".repeat(3) + &"-abcdefgh".repeat(3) + &"-abcd"[..length]; 53]);
    set(&mut largest, "spec.match.languages", languages(2));
    let mut rules = vec![(largest.clone(), None)];
    for (field, length) in fields {
        let mut larger = largest.clone();
        set(&mut larger, &format!("spec.match.{field}"), values(length + 1));
        rules.push((larger, Some(TOO_LARGE)));
    }
    let mut larger = largest;
    set(&mut larger, "spec.match.languages", languages(3));
    rules.push((larger, Some(TOO_LARGE)));
    rules
}

/// The schemas of our kinds as they were before: without rules, patterns and bounds.
pub fn lenient() -> Vec<CustomResourceDefinition> {
    fn strip(schema: &mut Value) {
        if let Value::Object(fields) = schema {
            for keyword in ["x-kubernetes-validations", "pattern", "format", "maxLength", "minLength"] {
                if fields.get(keyword).is_some_and(|it| !it.is_object()) {
                    fields.remove(keyword);
                }
            }
            fields.values_mut().for_each(strip);
        }
    }
    let mut all: Vec<Value> = crds::all().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect();
    for crd in &mut all {
        strip(&mut crd["spec"]["versions"][0]["schema"]);
    }
    all.into_iter().map(|crd| serde_json::from_value(crd).unwrap()).collect()
}
