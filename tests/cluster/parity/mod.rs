//! The in-memory API answers like a real kube-apiserver: the same requests go to both and the answers are compared. The
//! real server is right; accepted differences are in `known`, with the reason.

mod cases;
mod discovery;
mod formats;
mod known;
mod normal;
mod ratcheting;
mod sides;
mod steps;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use http::Request;
use kube::client::Body;
use postlink::local::policies::{Mode, Principals, render};
use serde_json::{Value, json};

use self::known::KNOWN;
use self::normal::{Differences, Names, differences};
use self::sides::{Sides, server_client};
use self::steps::parse;
use crate::cluster::{SOON, repository};
use crate::harness::users::User;
use crate::harness::waiting::{block_on, eventually};
use crate::harness::{ControlPlane, Shared, shared};
use crate::mistakes;

/// A case: its name and its steps.
pub type Case = (&'static str, &'static str);

/// Installs the CRDs and policies and waits until they are in force.
fn install(plane: &ControlPlane, mode: Mode) {
    plane.kubectl_apply(User::Admin, repository("crds"));
    for manifest in render(mode, &Principals::default()) {
        plane.kubectl_apply_text(User::Admin, &manifest.to_string()).ok();
    }
    let definitions = ["dynamicsconnections", "automationrules", "postlinks"];
    let definitions = definitions.map(|plural| format!("crd/{plural}.postlink.dev"));
    let mut args = vec!["wait", "--for=condition=Established", "--timeout=60s"];
    args.extend(definitions.iter().map(String::as_str));
    plane.kubectl(User::Admin, args).ok();
    block_on(in_force(plane));
}

/// Waits until each of the three policies has taken effect, which is not signaled.
async fn in_force(plane: &ControlPlane) {
    let sides = Sides::new(plane, Mode::Off).await;
    let namespace = new_namespace(&sides).await;
    let steps = parse(
        "POST connections connection a + {metadata: {finalizers: [postlink.dev/active-rules]}}
         MERGE connections/a/status {status: {activeRules: [{name: r, uid: u, generation: 1}]}}
         alice: DELETE connections/a?dryRun=All
         flux: DELETE connections/a?dryRun=All
         MERGE connections/a?dryRun=All {metadata: {finalizers: []}}",
    );
    for step in &steps {
        eventually(&step.line, SOON, async || {
            let [_, answer] = sides.take(step, &namespace, [&[], &[]]).await;
            let spoken = answer["code"] == 403 || answer["warnings"] != json!([]);
            let made = answer["code"].as_u64().is_some_and(|code| code < 300);
            let expected = if step.line.contains("dryRun") { spoken } else { made };
            expected.then_some(())
        })
        .await;
    }
}

/// The control plane of all comparisons in mode Deny.
fn denying() -> Shared {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    let plane = shared();
    INSTALLED.get_or_init(|| install(&plane, Mode::Deny));
    plane
}

/// Creates a namespace of the same name on both servers.
async fn new_namespace(sides: &Sides<'_>) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let name = format!("parity-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let steps = parse(&format!("POST namespaces namespace {name}"));
    for answer in sides.take(&steps[0], &name, [&[], &[]]).await {
        assert_eq!(answer["code"], 201, "{answer}");
    }
    name
}

/// Runs every case on both servers. Fails on unknown differences, and on known ones that no longer exist.
fn compare(plane: &ControlPlane, mode: Mode, tables: &[&[Case]]) {
    let cases: Vec<Case> = tables.iter().flat_map(|table| table.iter().copied()).collect();
    let report = block_on(async {
        let sides = Sides::new(plane, mode).await;
        let mut report = String::new();
        for (name, text) in cases {
            play(&sides, name, text, &mut report).await;
        }
        report
    });
    assert!(report.is_empty(), "the in-memory API and kube-apiserver differ:\n{report}");
}

async fn play(sides: &Sides<'_>, name: &str, text: &str, report: &mut String) {
    let namespace = new_namespace(sides).await;
    let mut bodies: [Vec<Value>; 2] = Default::default();
    let mut names: [Names; 2] = Default::default();
    let mut gone: BTreeSet<(usize, &str)> =
        KNOWN.iter().filter(|known| known.case == name).map(|known| (known.step, known.at)).collect();
    for (number, step) in parse(text).iter().enumerate() {
        let number = number + 1;
        let answers = sides.take(step, &namespace, [&bodies[0], &bodies[1]]).await;
        for (bodies, answer) in bodies.iter_mut().zip(&answers) {
            bodies.push(answer["body"].clone());
        }
        let [memory, server] = answers;
        let [memory, server] = [names[0].normal(memory), names[1].normal(server)];
        let mut found = differences(&memory, &server);
        for known in KNOWN.iter().filter(|known| known.case == name && known.step == number) {
            let before = found.len();
            found.retain(|place, _| !place.starts_with(known.at));
            if found.len() < before {
                gone.remove(&(number, known.at));
            }
        }
        tell(name, number, &step.line, &found, report);
    }
    for (step, at) in gone {
        let _ = writeln!(report, "\n{name}, step {step}: {at} no longer differs; strike it from the known");
    }
}

fn tell(name: &str, number: usize, line: &str, found: &Differences, report: &mut String) {
    if found.is_empty() {
        return;
    }
    // Writing into a String cannot fail.
    let _ = writeln!(report, "\n{name}, step {number}: {}", line.chars().take(160).collect::<String>());
    for (place, [memory, server]) in found {
        let _ = writeln!(report, "  {place}\n    memory: {memory}\n    server: {server}");
    }
}

/// One GET, for documents.
async fn document(client: &kube::Client, path: &str) -> Value {
    let request =
        Request::get(path).header(http::header::ACCEPT, "application/json").body(Body::empty()).unwrap();
    let text = client.request_text(request.map(|_| Vec::new())).await.unwrap();
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

#[test]
fn reads_and_lists_are_answered_alike() {
    compare(&denying(), Mode::Deny, &[cases::reading::CASES]);
}

#[test]
fn creates_and_replaces_are_answered_alike() {
    compare(&denying(), Mode::Deny, &[cases::writing::CASES, cases::bodies::CASES]);
}

#[test]
fn names_and_metadata_are_validated_alike() {
    compare(&denying(), Mode::Deny, &[cases::metadata::CASES]);
}

#[test]
fn patches_are_answered_alike() {
    compare(&denying(), Mode::Deny, &[cases::patching::CASES]);
}

#[test]
fn server_side_apply_is_answered_alike() {
    compare(&denying(), Mode::Deny, &[cases::applying::CASES]);
}

#[test]
fn status_writes_are_answered_alike() {
    compare(&denying(), Mode::Deny, &[cases::status::CASES]);
}

#[test]
fn deletions_are_answered_alike() {
    compare(&denying(), Mode::Deny, &[cases::deleting::CASES]);
}

#[test]
fn unknown_fields_and_defaults_are_treated_alike() {
    compare(&denying(), Mode::Deny, &[cases::fields::CASES]);
}

#[test]
fn schemas_and_rules_refuse_in_the_same_words() {
    compare(&denying(), Mode::Deny, &[cases::validation::CASES]);
}

#[test]
fn mistakes_are_named_by_the_server() {
    let plane = denying();
    let found = block_on(async { mistakes::differences(&server_client(&plane, User::Admin).await).await });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn built_in_kinds_are_answered_alike() {
    compare(&denying(), Mode::Deny, &[cases::built_in::CASES]);
}

#[test]
fn denying_policies_answer_alike() {
    compare(&denying(), Mode::Deny, &[cases::policies::CASES]);
}

#[test]
fn watches_deliver_the_same_events() {
    compare(&denying(), Mode::Deny, &[cases::watching::CASES]);
}

#[test]
fn warnings_and_compacted_watches_are_answered_alike() {
    // A private one: the shared one denies, and other tests read its history.
    let plane = ControlPlane::start();
    install(&plane, Mode::Warn);
    compare(&plane, Mode::Warn, &[cases::policies::WARNING, cases::watching::FORGOTTEN]);
}

#[test]
fn every_known_difference_has_a_case() {
    let all: Vec<&Case> = cases::ALL.iter().copied().flatten().collect();
    let names: BTreeSet<&str> = all.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), all.len(), "two cases have one name");
    for known in KNOWN {
        assert!(names.contains(known.case), "no case is called {:?}", known.case);
        assert!(!known.because.is_empty(), "{:?} needs its reason", known.case);
    }
    let steps: usize = all.iter().map(|(_, text)| parse(text).len()).sum();
    println!("{} cases, {steps} steps, {} known differences", all.len(), KNOWN.len());
}
