//! What the API server admits and in which words it refuses, and that the controller can decode all that is admitted.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use crate::bad_input::{POST, all_else_went_on, local, stderr_of, tree};
use crate::mistakes::{differences, lenient, set, smallest};
use http::Request;
use jiff::{SignedDuration, Timestamp, civil::DateTime};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Client, ResourceExt};
use kube_memory::schema::policies::Policies;
use kube_memory::{MemoryApi, Options, SchemaAdmission, UserInfo};
use postlink::api::{AutomationRule, DynamicsConnection, PostLink, crds};
use postlink::domain::connection::interval;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rstest::rstest;
use serde_json::{Value, json};
use std::sync::Arc;

fn options(crds: &[CustomResourceDefinition]) -> Options {
    let admission = SchemaAdmission::new(crds, Policies::from_values(&[]).unwrap()).unwrap();
    Options { admission: Arc::new(admission), ..Options::default() }
}

fn server() -> Client {
    MemoryApi::new(&crds::all(), options(&crds::all())).unwrap().client(UserInfo::admin())
}

#[tokio::test]
async fn mistakes_are_named() {
    let found = differences(&server()).await;
    assert!(found.is_empty(), "{}", found.join("\n"));
}

const TIME: &str = "2025-12-01T00:00:00Z";
const ID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

fn conditions() -> Value {
    json!([{"type": "Ready", "status": "True", "observedGeneration": 1, "lastTransitionTime": TIME, "reason": "Connected",
        "message": "m"}])
}

/// An object with all its fields.
fn full(kind: &str) -> Value {
    let link = json!({
        "connection": {"name": "a", "uid": "u"}, "organizationId": ID, "socialActivityId": ID,
        "record": {"type": "incident", "id": ID, "url": "https://x.example"}, "linkedAt": TIME, "linkedBy": "Rule",
        "rule": {"name": "r", "uid": "u"}, "restoredAt": TIME,
    });
    let mut removed = link.clone();
    for (name, value) in [
        ("removedAt", json!(TIME)),
        ("cause", json!("ConnectionDeleted")),
        ("connectionDeletedAt", json!(TIME)),
        ("relinkRequested", json!(true)),
    ] {
        removed[name] = value;
    }
    let (spec, status) = match kind {
        "DynamicsConnection" => (
            json!({
                "instanceUrl": "https://contoso.crm.dynamics.com", "displayName": "d", "enabled": true, "default": true,
                "recordTypes": ["lead"], "credentials": {"secretRef": {"name": "s"}}, "refresh": {"interval": "1h"},
                "probe": {"interval": "1m"}, "linksPerSecond": 5,
            }),
            json!({
                "observedGeneration": 1, "state": "Enabled", "conditions": conditions(), "displayName": "d",
                "organization": {"id": ID, "uniqueName": "o", "version": "9", "language": 1033}, "connectedOn": TIME,
                "metadata": {"refreshedAt": TIME, "recordTypes": ["lead"]},
                "activeRules": [{"name": "r", "uid": "u", "generation": 1}], "activeRuleCount": 1,
                "lastHandledReconcileAt": "1", "lastHandledRefreshAt": "1",
            }),
        ),
        "AutomationRule" => (
            json!({
                "connectionRef": {"name": "a"}, "active": true, "since": TIME,
                "link": {"recordType": "lead", "notes": "n"},
                "match": {
                    "sources": ["s"], "keywords": ["k"], "languages": ["en"], "sentiments": ["Positive"],
                    "reach": {"min": 1, "max": 2}, "locations": ["l"], "authors": {"include": ["a"], "exclude": ["b"]},
                    "authorTags": {"include": ["a"], "exclude": ["b"]}, "postTypes": ["Reply"],
                    "contributors": ["Audience"], "intentions": ["Purchase"], "searchTopics": ["t"],
                },
            }),
            json!({
                "observedGeneration": 1, "conditions": conditions(), "connectionUID": "u", "activeFrom": TIME,
                "lastHandledReconcileAt": "1",
            }),
        ),
        _ => (
            json!({
                "post": {
                    "url": "https://social.example/a", "id": "a", "source": "s", "type": "Reply",
                    "author": {"name": "n", "handle": "h", "profileUrl": "https://social.example/h", "tags": ["t"]},
                    "publishedAt": TIME, "language": "en", "title": "t", "content": "c", "sentiment": "Positive",
                    "reach": 1, "location": "l", "contributor": "Audience", "intentions": ["Purchase"],
                    "searchTopics": ["t"],
                },
                "link": {"connectionRef": {"name": "a"}, "recordType": "lead", "recordId": ID, "notes": "n"},
                "unlink": false,
            }),
            json!({
                "observedGeneration": 1, "conditions": conditions(), "link": link, "removedLink": removed,
                "intent": {"hash": "h", "connection": "c", "attempt": 1, "relinkRequestedAt": "1"},
                "lastHandledReconcileAt": "1",
            }),
        ),
    };
    let mut object = smallest(kind);
    object["spec"] = spec;
    object["status"] = status;
    object
}

/// The JSON pointers of everything below a schema, and whether a text there must have a form.
fn places(schema: &Value, at: &str, found: &mut Vec<(String, bool)>) {
    let mut place = |at: String, schema: &Value| {
        let formed = ["format", "pattern", "x-kubernetes-validations"].iter().any(|it| !schema[it].is_null());
        found.push((at.clone(), schema["type"] == "string" && formed));
        places(schema, &at, found);
    };
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        place(format!("{at}/{name}"), property);
        if property["items"].is_object() {
            place(format!("{at}/{name}/0"), &property["items"]);
        }
    }
}

/// Times, UUIDs and durations, right and nearly right.
const TEXTS: &[&str] = &[
    TIME,
    "2025-12-01T00:00:00.123456789+02:00",
    "2025-12-01t00:00:00z",
    "2025-12-01T00:00:00.1234567890Z",
    "2025-12-01T00:00:00,5Z",
    "2025-12-01T00:00:00ZT",
    "2025-12-01T00:00:00+99:99",
    "2024-02-29T00:00:00-23:59",
    "1900-02-29T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "9998-12-31T23:59:59-23:59",
    "0000-01-01T00:00:00+23:59",
    ID,
    "0F8FAD5BD9CB469FA16570867728950E",
    "0f8fad5b-d9cb469fa165-70867728950e",
    "{0f8fad5b-d9cb-469f-a165-70867728950e}",
    "1h30m",
    "90m",
    "999999h999999m999999s",
    "1000000h",
    "1d",
    "+1h",
    "0h0m900s",
];

/// Values of every type.
fn values() -> Vec<Value> {
    serde_json::from_str(
        r#"[null, true, false, 0, 1, -1, 1.0, 1e2, 1.5, 2147483647, 2147483648, -2147483648,
            -2147483649, 4294967297, 9007199254740993, 9223372036854775807, 9223372036854775808,
            18446744073709551615, 1e18, 9.2e18, 1e19, 1e30, "", " ", "a", "0", "1", "true", "null", "Positive",
            "positive", "Enabled", "True", [], [null], [1], [1.0], [""], ["a"], [[]], [{}], {}, {"a": null},
            {"a": 1}, {"name": null}, {"interval": null}, {"type": "Ready"}]"#,
    )
    .unwrap()
}

/// The texts, and others that differ from them in one character.
fn texts() -> Vec<Value> {
    let mut all = Vec::new();
    let mut random = StdRng::seed_from_u64(1);
    let alphabet: Vec<char> = "0123456789abfhmstzTZ+-:. {}".chars().collect();
    for text in TEXTS {
        all.push(json!(text));
        for _ in 0..6 {
            let mut text: Vec<char> = text.chars().collect();
            let place = random.random_range(0..text.len());
            match random.random_range(0..3) {
                0 => text.insert(place, *alphabet.choose(&mut random).unwrap()),
                1 => drop(text.remove(place)),
                _ => text[place] = *alphabet.choose(&mut random).unwrap(),
            }
            all.push(json!(text.into_iter().collect::<String>()));
        }
    }
    all
}

async fn send(client: &Client, method: &str, path: &str, object: &Value) -> Option<Value> {
    let path = format!("/apis/postlink.dev/v1alpha1/namespaces/default/{path}");
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(serde_json::to_vec(object).unwrap())
        .unwrap();
    client.request(request).await.ok()
}

/// Whether the controller can decode an object, and what is wrong otherwise.
fn decode(object: &Value) -> Result<(), String> {
    let decoded = match object["kind"].as_str() {
        Some("DynamicsConnection") => {
            serde_json::from_value::<DynamicsConnection>(object.clone()).map(|object| means(&object))
        }
        Some("AutomationRule") => serde_json::from_value::<AutomationRule>(object.clone())
            .map(|rule| is_time(&object["spec"]["since"], rule.spec.since.map(|time| time.0))),
        _ => serde_json::from_value::<PostLink>(object.clone()).map(|post| {
            is_time(&object["spec"]["post"]["publishedAt"], post.spec.post.published_at.map(|time| time.0))
        }),
    };
    decoded.map_err(|error| error.to_string())?
}

/// Intervals are what they say, but not less than the shortest.
fn means(connection: &DynamicsConnection) -> Result<(), String> {
    let floor = SignedDuration::from_secs(1);
    let default = SignedDuration::from_hours(7);
    for part in [&connection.spec.probe, &connection.spec.refresh].into_iter().flatten() {
        let text = part.interval.as_deref();
        let mut seconds = 0;
        let mut digits = String::new();
        for character in text.unwrap_or_default().chars() {
            let unit = match character {
                'h' => 3_600,
                'm' => 60,
                's' => 1,
                digit => {
                    digits.push(digit);
                    continue;
                }
            };
            seconds += unit * digits.parse::<i64>().unwrap();
            digits.clear();
        }
        let expected = if text.is_none() { default } else { SignedDuration::from_secs(seconds) };
        let found = interval(text, default, floor);
        if found != expected {
            return Err(format!("the interval {text:?} is used as {found:?}"));
        }
    }
    Ok(())
}

/// A time is that of its digits and its zone.
fn is_time(text: &Value, found: Option<Timestamp>) -> Result<(), String> {
    let Some(text) = text.as_str() else { return Ok(()) };
    let upper = text.to_uppercase();
    let (local, offset) = match upper.strip_suffix('Z') {
        Some(local) => (local, 0),
        None => {
            let (local, zone) = upper.split_at(upper.len() - 6);
            let number = |range: std::ops::Range<usize>| zone[range].parse::<i64>().unwrap();
            let minutes = number(1..3) * 60 + number(4..6);
            (local, if zone.starts_with('-') { -minutes } else { minutes })
        }
    };
    let local: DateTime = local.parse().map_err(|error| format!("{text}: {error}"))?;
    let local = local.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
    let expected = local - SignedDuration::from_mins(offset);
    if found == Some(expected) { Ok(()) } else { Err(format!("{text} is used as {found:?}")) }
}

/// Every field gets every value; what is refused is fine, what is admitted must be decoded.
#[tokio::test]
async fn all_that_is_admitted_can_be_decoded() {
    let client = server();
    let (values, texts) = (values(), texts());
    let (mut admitted, mut refused, mut failed) = (0, 0, Vec::new());
    for crd in crds::all() {
        let (kind, plural) = (&crd.spec.names.kind, &crd.spec.names.plural);
        let schema =
            serde_json::to_value(&crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema).unwrap();
        let whole = full(kind);
        let stored = send(&client, "POST", plural, &whole).await.expect("the whole object is valid");
        let mut with_status = stored.clone();
        with_status["status"] = whole["status"].clone();
        let path = format!("{plural}/a/status?dryRun=All");
        let accepted = send(&client, "PUT", &path, &with_status).await.expect("the whole status is valid");
        assert_eq!(accepted["status"], whole["status"], "nothing is missing in the schema");
        let mut found = Vec::new();
        places(&schema["properties"]["spec"], "/spec", &mut found);
        places(&schema["properties"]["status"], "/status", &mut found);
        for place in ["labels", "annotations", "finalizers", "ownerReferences", "generateName", "generation"]
        {
            found.push((format!("/metadata/{place}"), false));
        }
        for (place, formed) in found {
            for value in values.iter().chain(texts.iter().filter(|_| formed)) {
                let status = place.starts_with("/status");
                let mut object = if status { with_status.clone() } else { whole.clone() };
                put(&mut object, &place, value.clone());
                let answer = if status {
                    send(&client, "PUT", &path, &object).await
                } else {
                    object["metadata"]["name"] = json!("b");
                    send(&client, "POST", &format!("{plural}?dryRun=All"), &object).await
                };
                let Some(answer) = answer else {
                    refused += 1;
                    continue;
                };
                admitted += 1;
                if let Err(error) = decode(&answer) {
                    failed.push(format!("{kind} {place}: {value}: {error}"));
                }
            }
        }
    }
    assert!(admitted > 1_000 && refused > 1_000, "{admitted} admitted, {refused} refused");
    assert!(
        failed.is_empty(),
        "{} values are admitted and cannot be used:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

/// Sets a place that may be missing.
fn put(object: &mut Value, place: &str, value: Value) {
    match object.pointer_mut(place) {
        Some(slot) => *slot = value,
        None => {
            let field = place.trim_start_matches('/').replace("/0", "[0]").replace('/', ".");
            set(object, &field, value);
        }
    }
}

/// Objects from before a rule can be labeled, get a status and be repaired.
#[tokio::test]
async fn stored_objects_may_stay_as_they_are() {
    let old = MemoryApi::new(&lenient(), options(&lenient())).unwrap();
    let client = old.client(UserInfo::admin());
    let cases = [
        ("DynamicsConnection", "dynamicsconnections", "spec.instanceUrl", "contoso.crm.dynamics.com"),
        ("AutomationRule", "automationrules", "spec.since", "2025-12-01T00:00:00.1234567890Z"),
        ("PostLink", "postlinks", "spec.link.recordType", "cases"),
    ];
    for (kind, plural, field, value) in cases {
        let mut object = smallest(kind);
        set(&mut object, field, json!(value));
        send(&client, "POST", plural, &object).await.expect("it was valid");
    }
    let new = MemoryApi::restore(&crds::all(), options(&crds::all()), &old.save()).unwrap();
    let client = new.client(UserInfo::admin());
    for (kind, plural, field, value) in cases {
        let mut object = send(&client, "GET", &format!("{plural}/a"), &json!({})).await.expect("it is there");
        object["metadata"]["labels"] = json!({"a": "b"});
        object = send(&client, "PUT", &format!("{plural}/a"), &object)
            .await
            .expect("a label is no change of the field");
        object["status"] = full(kind)["status"].clone();
        object =
            send(&client, "PUT", &format!("{plural}/a/status"), &object).await.expect("it gets a status");
        set(&mut object, field, json!(format!("{value}!")));
        let changed = send(&client, "PUT", &format!("{plural}/a"), &object).await;
        assert!(changed.is_none(), "{kind}: a changed value must be right");
    }
}

#[test]
fn an_instance_url_has_one_spelling() {
    for url in [
        "https://contoso.crm.dynamics.com",
        "https://contoso.crm.dynamics.com/",
        "https://CONTOSO.crm.Dynamics.com",
        "https://contoso.crm.dynamics.com:443",
        "https://Contoso.crm.dynamics.com:443/",
    ] {
        let mut object = smallest("DynamicsConnection");
        set(&mut object, "spec.instanceUrl", json!(url));
        let connection: DynamicsConnection = serde_json::from_value(object).unwrap();
        assert_eq!(
            connection.spec.instance_url,
            "https://contoso.crm.dynamics.com",
            "{}",
            connection.name_any()
        );
    }
    let mut object = smallest("DynamicsConnection");
    set(&mut object, "spec.instanceUrl", json!("https://contoso.crm.dynamics.com:4430"));
    let connection: DynamicsConnection = serde_json::from_value(object).unwrap();
    assert_eq!(connection.spec.instance_url, "https://contoso.crm.dynamics.com:4430");
}

/// A value of the wrong type anywhere in a post: the error names the field and no text of the post, and nothing of the
/// machinery that found it.
#[rstest]
#[case("content: {text: canary-7f3a9}")]
#[case("content: [canary-7f3a9]")]
#[case("title: [{a: canary-7f3a9}]")]
#[case("author: canary-7f3a9")]
#[case("author: [canary-7f3a9]")]
#[case("author: {tags: canary-7f3a9}")]
#[case("author: {tags: {a: canary-7f3a9}}")]
#[case("author: {name: {a: canary-7f3a9}}")]
#[case("searchTopics: canary-7f3a9")]
#[case("searchTopics: [{a: canary-7f3a9}]")]
#[case("reach: canary-7f3a9, content: canary-7f3a9")]
#[case("publishedAt: 5, content: canary-7f3a9")]
#[case("reach: 12500, title: canary-7f3a9, content: canary-7f3a9")]
#[case("nope: canary-7f3a9, content: canary-7f3a9")]
#[case("id: [], content: canary-7f3a9")]
fn no_text_of_a_post_is_printed(#[case] fields: &str) {
    let id = if fields.starts_with("id:") { "" } else { "id: b, " };
    let bad = format!("{POST}spec:\n  post: {{url: 'https://a.example/b', {id}{fields}}}\n");
    let dir = tree(&[("tree/not-good.yaml", &bad)]);
    let output = local(dir.path());
    let stderr = stderr_of(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("postlink/bad: spec.post."), "{stderr}");
    for word in ["protobuf", "map[", "interface", "&{", "struct ", "i32", "serde", "Option<", "untagged"] {
        assert!(!stderr.contains(word), "{word} in {stderr}");
    }
    all_else_went_on(&output);
}
