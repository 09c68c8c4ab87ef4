//! How often the controller writes: once per object that changes, never for what stays as it is (§6).

use postlink::{
    commands::local::{
        apply::Applier,
        session::{APART, Applicant, Session, Wiring},
        settle::settle,
        tree::Tree,
    },
    manifests::parse,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::Path,
};

const LINKS: usize = 200;

const INSTANCE: &str = r"
apiVersion: local.postlink.dev/v1alpha1
kind: SimulatedInstance
metadata: {name: contoso}
spec:
  host: contoso.crm.dynamics.com
  organization: {id: 5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11, name: Contoso Ltd, uniqueName: contoso}
---
apiVersion: v1
kind: Secret
metadata: {name: contoso}
stringData: {tenantId: 3b7d0c52-1f6e-4a98-bd14-60c2e9a7f813, clientId: d1f4a6b0-7c25-4e39-9a8b-5e03c7d2b614, clientSecret: s}
";

/// A connection and its links.
fn tree(enabled: bool) -> Tree {
    let mut text = INSTANCE.to_owned();
    let _ = write!(
        text,
        "---\napiVersion: postlink.dev/v1alpha1\nkind: DynamicsConnection\nmetadata: {{name: contoso}}\n\
         spec: {{instanceUrl: 'https://contoso.crm.dynamics.com', enabled: {enabled}, credentials: {{secretRef: {{name: contoso}}}}}}\n"
    );
    for number in 0..LINKS {
        let _ = write!(
            text,
            "---\napiVersion: postlink.dev/v1alpha1\nkind: PostLink\nmetadata: {{name: post-{number}}}\n\
             spec: {{post: {{url: 'https://social.example/{number}', id: 'post-{number}'}}, link: {{connectionRef: {{name: contoso}}}}}}\n"
        );
    }
    let loaded = parse(Path::new("generated.yaml"), &text);
    assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
    Tree::of(loaded.documents, &loaded.errors)
}

/// How many times each PostLink was written after a revision.
fn writes(session: &Session, since: u64) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for revision in session.api.history_since(since) {
        if revision.key.resource == "postlinks.postlink.dev" {
            *counts.entry(revision.key.name).or_default() += 1;
        }
    }
    counts
}

fn availability(session: &Session) -> BTreeSet<String> {
    let conditions =
        |o: &serde_json::Value| o["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let links = session.api.objects("PostLink");
    let all = links.iter().flat_map(|link| conditions(link));
    all.filter(|c| c["type"] == "RecordAvailable")
        .filter_map(|c| c["reason"].as_str().map(str::to_owned))
        .collect()
}

/// R5, R16, R19: a flip of the connection writes each of its links once, and back once more.
#[tokio::test(start_paused = true)]
async fn a_flip_writes_each_link_once() {
    let hosts = BTreeSet::from(["contoso.crm.dynamics.com".to_owned()]);
    let wiring = Wiring { in_memory: true, ..Wiring::default() };
    let session = Session::wired(Applicant::Tool, &hosts, &wiring).await.unwrap();
    let mut applier = Applier::default();
    let first = applier.commit(&session, &tree(true)).await.unwrap();
    assert_eq!(first.problems, Vec::<String>::new());
    assert_eq!(availability(&session), BTreeSet::from(["RecordAvailable".to_owned()]));

    for (enabled, reason) in [(false, "ConnectionDisabled"), (true, "RecordAvailable")].repeat(2) {
        session.clock.move_to(session.clock.now() + APART);
        settle(&session).await.unwrap();
        let before = session.api.revision();
        applier.commit(&session, &tree(enabled)).await.unwrap();
        assert_eq!(availability(&session), BTreeSet::from([reason.to_owned()]));
        let counts = writes(&session, before);
        assert_eq!(counts.len(), LINKS, "each link says that enabled is {enabled}");
        let often: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
        assert!(often.is_empty(), "enabled: {enabled} wrote some links more than once: {often:?}");
    }
}
