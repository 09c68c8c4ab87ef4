//! The formats of strings: a few hundred values of each, right and wrong, are judged by both servers.

use http::Request;
use kube::Client;
use kube_memory::schema::policies::Policies;
use kube_memory::{MemoryApi, Options, SchemaAdmission, UserInfo};
use postlink::api::crds;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;

use super::sides::server_client;
use crate::cluster::SOON;
use crate::harness::users::User;
use crate::harness::waiting::{block_on, eventually};
use crate::harness::{ControlPlane, shared};

/// How many values are derived from those of a format.
const MUTANTS: usize = 400;

const TIMES: &[&str] = &[
    "2025-12-01T00:00:00Z",
    "2025-12-01T07:41Z",
    "2025-12-01T07:41:00+0200",
    "2025-12-01T07:41:00+02",
    "2025-12-01T07:41:00",
    "2025-12-01",
    "01.12.2025",
    "2025-12-01 00:00",
    "2025-12-01 00:00:00Z",
    "2025-12-01t00:00:00z",
    "2025-12-01T00:00:00.1234567890Z",
    "2025-12-01T00:00:00,5Z",
    "2025-12-01T00:00:00.Z",
    "2025-12-01T24:00:00Z",
    "2025-12-01T23:59:60Z",
    "2025-12-01T23:60:00Z",
    "2025-12-01T00:00:00-00:00",
    "2025-12-01T00:00:00+99:99",
    "2025-12-01T00:00:00\u{2212}02:00",
    "9999-12-31T23:59:59Z",
    "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "-001-01-01T00:00:00Z",
    "2025-02-30T00:00:00Z",
    "2024-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z",
    "2000-02-29T00:00:00Z",
    "2025-13-01T00:00:00Z",
    "2025-12-01T00:00:00ZT",
    "2025-12-01T00:00:00Z\n",
    "2025-12-01T00:00:00\n5Z",
    "",
];

const DURATIONS: &[&str] = &[
    "1h30m",
    "1d",
    "-1s",
    "+1h",
    "1.5h",
    ".5h",
    "1.h",
    ".h",
    "1 h",
    "5 minutes",
    "5 Minutes",
    "3 hrs",
    "2 hours and 1 week",
    "PT5M",
    "P1D",
    "0",
    "-0",
    "00",
    "5",
    "",
    "1µs",
    "1μs",
    "2 µs",
    "1ns2us3ms4s5m6h",
    "2562047h47m16.854775807s",
    "2562047h47m16.854775808s",
    "-2562047h47m16.854775808s",
    "9223372036854775808ns",
    "99999999999999999999h",
    "99999999999999999999 days",
    "1.00000000000000000000000000000001h",
    "1h-1m",
    "h",
];

const UUIDS: &[&str] = &[
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "0F8FAD5B-D9CB-469F-A165-70867728950E",
    "0f8fad5bd9cb469fa16570867728950e",
    "0f8fad5b-d9cb469fa165-70867728950e",
    "0f8fad5b-d9cb-369f-a165-70867728950e",
    "0f8fad5b-d9cb-569f-a165-70867728950e",
    "0f8fad5b-d9cb-569f-2165-70867728950e",
    "{0f8fad5b-d9cb-469f-a165-70867728950e}",
    "urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e",
    "0f8fad5b-d9cb-469f-a165-70867728950e\n",
    "CAS-01234-X1Y2Z3",
    "",
];

const URIS: &[&str] = &[
    "https://a.example/x?y#z",
    "https://a.example:443/%41",
    "HTTPS://u:p@a.example:/",
    "https://[::1]:80/",
    "https://[fe80::1%25en0]/",
    "https://a:1:2/",
    "pg://a:1,b:2/",
    "https://a b",
    "https://a/b c",
    "/path",
    "//path",
    "mailto:a@b.example",
    "a.example",
    "*",
    "",
];

/// A format, the field for it, and values to begin with.
const FORMATS: &[(&str, &[&str])] = &[
    ("date-time", TIMES),
    (
        "date",
        &["2025-12-01", "2025-02-30", "2024-02-29", "0000-01-01", "2025-W49-1", "20251201", "2025-12-1", ""],
    ),
    ("duration", DURATIONS),
    ("uuid", UUIDS),
    ("uuid3", UUIDS),
    ("uuid4", UUIDS),
    ("uuid5", UUIDS),
    ("uri", URIS),
    ("byte", &["aGVsbG8=", "aGVsbG9=", "aGVsbA==", "aGVs", "aGVsb", "aGVsbG8", "a-_=", "aGVs\n", ""]),
    (
        "hostname",
        &[
            "a",
            "a-",
            "-a",
            "a-b",
            "a-b-c",
            "a.example",
            "a-b.example",
            "1.example",
            "a.example.",
            "ä.example",
            "a.b",
            "a_b.example",
            "",
        ],
    ),
    ("ipv4", &["10.0.0.1", "010.0.0.1", "::ffff:1.2.3.4", "::1", "256.0.0.1", "1.2.3", ""]),
    (
        "ipv6",
        &["::1", "::", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4", "::ffff:01.2.3.4", "fe80::1%en0", "1.2.3.4", ""],
    ),
    (
        "cidr",
        &[
            "10.0.0.0/8",
            "010.0.0.1/08",
            "::/128",
            "::ffff:01.2.3.4/1",
            "10.0.0.0/33",
            "10.0.0.0/+1",
            "1.2.3/8",
            "",
        ],
    ),
    (
        "mac",
        &[
            "aa:bb:cc:dd:ee:ff",
            "AA-bb-cc-dd-ee-ff-00-11",
            "0123.4567.89ab",
            "0123456789ab",
            "aa:bb-cc:dd:ee:ff",
            "",
        ],
    ),
    ("hexcolor", &["#ffAA00", "ffa", "#ffff", ""]),
    ("password", &["anything", ""]),
    ("k8s-short-name", &["a-b", "a.b", "A", "-a", "a-", ""]),
    ("k8s-long-name", &["a.b", "a-b", "a..b", "A.b", ".a", ""]),
];

fn field(format: &str) -> String {
    format.replace('-', "_")
}

/// A kind with a list of strings for each format.
fn kind() -> Value {
    let fields: serde_json::Map<String, Value> = FORMATS
        .iter()
        .map(|(format, _)| {
            (field(format), json!({"type": "array", "items": {"type": "string", "format": format}}))
        })
        .collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "texts.formats.example"},
        "spec": {
            "group": "formats.example",
            "scope": "Cluster",
            "names": {"kind": "Text", "listKind": "TextList", "plural": "texts", "singular": "text"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {"spec": {"type": "object", "properties": fields}},
                }},
            }],
        },
    })
}

/// The values to begin with, and others that differ from them in one to three characters.
fn values(known: &[&str], random: &mut StdRng) -> Vec<String> {
    let mut all: Vec<String> = known.iter().map(|&text| text.to_owned()).collect();
    let alphabet: Vec<char> =
        known.iter().flat_map(|text| text.chars()).chain("0159afgtzTZ+-.:,% /[]@#µ😀\u{0}".chars()).collect();
    for _ in 0..MUTANTS {
        let mut text: Vec<char> = known.choose(random).unwrap().chars().collect();
        for _ in 0..random.random_range(1..=3) {
            let place = random.random_range(0..=text.len());
            let character = *alphabet.choose(random).unwrap();
            match random.random_range(0..4) {
                0 => text.insert(place, character),
                1 if place < text.len() => drop(text.remove(place)),
                2 if place < text.len() => text[place] = character,
                _ => {
                    let end = random.random_range(place..=text.len());
                    let piece: Vec<char> = text[place..end].to_vec();
                    text.splice(place..place, piece);
                }
            }
        }
        all.push(text.into_iter().collect());
    }
    all
}

/// What a server says about the values: a message for each that it refuses.
async fn judge(client: &Client, format: &str, values: &[String]) -> Vec<(String, String)> {
    let object = json!({
        "apiVersion": "formats.example/v1", "kind": "Text", "metadata": {"name": "a"},
        "spec": {field(format): values},
    });
    let request = Request::post("/apis/formats.example/v1/texts?dryRun=All")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(serde_json::to_vec(&object).unwrap())
        .unwrap();
    match client.request::<Value>(request).await {
        Ok(_) => Vec::new(),
        Err(kube::Error::Api(status)) if status.code == 422 => {
            let causes = status.details.as_ref().map(|details| details.causes.clone()).unwrap_or_default();
            causes.into_iter().map(|cause| (cause.field, cause.message)).collect()
        }
        Err(error) => panic!("{format}: {error}"),
    }
}

async fn clients(plane: &ControlPlane) -> [Client; 2] {
    let crd = serde_json::from_value(kind()).unwrap();
    let mut definitions = crds::all();
    definitions.push(crd);
    let policies = Policies::from_values(&[]).unwrap();
    let admission = Arc::new(SchemaAdmission::new(&definitions, policies).unwrap());
    let memory = MemoryApi::new(&definitions, Options { admission, ..Options::default() }).unwrap();
    [memory.client(UserInfo::admin()), server_client(plane, User::Admin).await]
}

#[test]
fn formats_accept_the_same_values() {
    let plane = shared();
    plane.kubectl_apply_text(User::Admin, &kind().to_string()).ok();
    plane
        .kubectl(
            User::Admin,
            ["wait", "--for=condition=Established", "--timeout=60s", "crd/texts.formats.example"],
        )
        .ok();
    let report = block_on(async {
        let [memory, server] = clients(&plane).await;
        eventually("the kind to be served", SOON, async || {
            let request = Request::get("/apis/formats.example/v1/texts").body(Vec::new()).unwrap();
            server.request_text(request).await.ok()
        })
        .await;
        let mut random = StdRng::seed_from_u64(1);
        let mut report = String::new();
        for (format, known) in FORMATS {
            let values = values(known, &mut random);
            let [ours, theirs] =
                [judge(&memory, format, &values).await, judge(&server, format, &values).await];
            let (wrong, right) = (theirs.len(), values.len() - theirs.len());
            assert!(
                *format == "password" || (wrong > 2 && right > 2),
                "{format}: {right} right, {wrong} wrong"
            );
            for (number, text) in values.iter().enumerate() {
                let at = format!("spec.{}[{number}]", field(format));
                let said = |all: &[(String, String)]| {
                    all.iter().find(|(field, _)| *field == at).map(|(_, message)| message.clone())
                };
                let (ours, theirs) = (said(&ours), said(&theirs));
                if ours != theirs {
                    // Writing into a String cannot fail.
                    let _ = writeln!(report, "{format} {text:?}\n  memory: {ours:?}\n  server: {theirs:?}");
                }
            }
        }
        report
    });
    assert!(report.is_empty(), "the in-memory API and kube-apiserver judge these differently:\n{report}");
}
