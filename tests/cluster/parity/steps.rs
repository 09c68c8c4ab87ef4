//! The language of the tables: one step a line, `[who:] VERB path [type=…] [accept=…] [body]`.
//!
//! - A line without a verb continues the previous step; `#` begins a comment.
//! - Verbs are HTTP's, plus MERGE, JSON, STRATEGIC and APPLY for patches, `WATCH n` (reads n events) and COMPACT.
//! - Paths: `connections/a` is a connection of the case's own namespace, `@other/links` is a collection of another
//!   one, and what begins with `/` is taken as it is, but for `{ns}`.
//! - Bodies: an object by kind and name (`connection a`), the answer to an earlier step (`$1`), YAML; several of them
//!   joined by ` + ` are laid over each other as merge patches are. `raw …` is sent as it stands.
//! - `${1/metadata/uid}` is a part of an earlier answer; `<ab*3>` is ababab.

use std::sync::LazyLock;

use http::{Method, Request};
use regex::{Captures, Regex};
use serde_json::{Value, json};

use crate::harness::users::User;

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// One request, one answer.
    Ask,
    /// A watch, read until this many events arrived or it ends.
    Watch(usize),
    /// Compacts both servers.
    Compact,
}

/// One line of a table.
#[derive(Debug, Clone)]
pub struct Step {
    pub who: User,
    pub act: Act,
    /// The line itself, for messages.
    pub line: String,
    method: Method,
    path: String,
    media_type: Option<String>,
    accept: String,
    body: String,
}

const VERBS: [(&str, Method, Option<&str>); 9] = [
    ("GET", Method::GET, None),
    ("POST", Method::POST, Some("application/json")),
    ("PUT", Method::PUT, Some("application/json")),
    ("DELETE", Method::DELETE, Some("application/json")),
    ("MERGE", Method::PATCH, Some("application/merge-patch+json")),
    ("JSON", Method::PATCH, Some("application/json-patch+json")),
    ("STRATEGIC", Method::PATCH, Some("application/strategic-merge-patch+json")),
    ("APPLY", Method::PATCH, Some("application/apply-patch+yaml")),
    ("WATCH", Method::GET, None),
];

const COLLECTIONS: [(&str, &str); 9] = [
    ("connections", "/apis/postlink.dev/v1alpha1/namespaces/{ns}/dynamicsconnections"),
    ("rules", "/apis/postlink.dev/v1alpha1/namespaces/{ns}/automationrules"),
    ("links", "/apis/postlink.dev/v1alpha1/namespaces/{ns}/postlinks"),
    ("secrets", "/api/v1/namespaces/{ns}/secrets"),
    ("accounts", "/api/v1/namespaces/{ns}/serviceaccounts"),
    ("coreevents", "/api/v1/namespaces/{ns}/events"),
    ("events", "/apis/events.k8s.io/v1/namespaces/{ns}/events"),
    ("leases", "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases"),
    ("namespaces", "/api/v1/namespaces"),
];

/// The smallest valid object of a kind.
fn base(kind: &str, name: &str) -> Value {
    let ours = |kind: &str, spec: Value| json!({"apiVersion": "postlink.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let plain = |api_version: &str, kind: &str| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    match kind {
        "connection" => ours(
            "DynamicsConnection",
            json!({"instanceUrl": format!("https://{name}.crm.example"), "credentials": {"secretRef": {"name": name}}}),
        ),
        "rule" => ours("AutomationRule", json!({"connectionRef": {"name": "a"}})),
        "link" => {
            ours("PostLink", json!({"post": {"id": name, "url": format!("https://social.example/{name}")}}))
        }
        "secret" => plain("v1", "Secret"),
        "namespace" => plain("v1", "Namespace"),
        "account" => plain("v1", "ServiceAccount"),
        "lease" => plain("coordination.k8s.io/v1", "Lease"),
        "event" => plain("events.k8s.io/v1", "Event"),
        "coreevent" => plain("v1", "Event"),
        _ => panic!("no base object is called {kind:?}"),
    }
}

/// The steps of a case.
pub fn parse(text: &str) -> Vec<Step> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match lines.last_mut() {
            Some(last) if !begins_step(line) => {
                last.push(' ');
                last.push_str(line);
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.iter().map(|line| parse_step(line)).collect()
}

fn user(name: &str) -> Option<User> {
    Some(match name {
        "admin" => User::Admin,
        "alice" => User::Alice,
        "flux" => User::FluxKustomize,
        "helm" => User::FluxHelm,
        "argo" => User::Argo,
        "deployer" => User::TeamDeployer,
        _ => return None,
    })
}

fn who(line: &str) -> (User, &str) {
    let named = line.split_once(": ").and_then(|(name, rest)| Some((user(name)?, rest)));
    named.unwrap_or((User::Admin, line))
}

fn begins_step(line: &str) -> bool {
    let first = who(line).1.split(' ').next().unwrap_or_default();
    first == "COMPACT" || VERBS.iter().any(|(verb, ..)| *verb == first)
}

fn parse_step(line: &str) -> Step {
    let (who, rest) = who(line);
    let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let mut step = Step {
        who,
        act: Act::Ask,
        line: line.to_owned(),
        method: Method::GET,
        path: String::new(),
        media_type: None,
        accept: "application/json".to_owned(),
        body: String::new(),
    };
    if verb == "COMPACT" {
        step.act = Act::Compact;
        return step;
    }
    let (_, method, media_type) =
        VERBS.iter().find(|(known, ..)| *known == verb).unwrap_or_else(|| panic!("no verb in {line:?}"));
    step.method = method.clone();
    let mut rest = rest;
    if verb == "WATCH" {
        let (count, after) = rest.split_once(' ').unwrap_or_else(|| panic!("no path in {line:?}"));
        step.act = Act::Watch(count.parse().unwrap_or_else(|_| panic!("no number of events in {line:?}")));
        rest = after;
    }
    let (path, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
    path.clone_into(&mut step.path);
    let mut given_type = None;
    loop {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        if let Some(value) = word.strip_prefix("type=") {
            given_type = Some(value.to_owned());
        } else if let Some(value) = word.strip_prefix("accept=") {
            value.clone_into(&mut step.accept);
        } else {
            break;
        }
        rest = after;
    }
    rest.clone_into(&mut step.body);
    step.media_type = given_type.or_else(|| media_type.filter(|_| !rest.is_empty()).map(str::to_owned));
    step
}

impl Step {
    /// The request for one of the servers; `answers` are that server's own.
    pub fn request(&self, namespace: &str, answers: &[Value]) -> Request<Vec<u8>> {
        let path = self.full_path().replace("{ns}", namespace);
        let path = filled(&path, answers);
        let path = if matches!(self.act, Act::Watch(_)) {
            format!("{path}{}watch=true", if path.contains('?') { '&' } else { '?' })
        } else {
            path
        };
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(path)
            // The default field manager is derived from it.
            .header(http::header::USER_AGENT, "parity/1.0")
            .header(http::header::ACCEPT, &self.accept);
        if let Some(media_type) = &self.media_type {
            request = request.header(http::header::CONTENT_TYPE, media_type);
        }
        let body = filled(&self.body.replace("{ns}", namespace), answers);
        let body = body_of(&body, answers, &self.line);
        request.body(body).unwrap_or_else(|error| panic!("{}: {error}", self.line))
    }

    fn full_path(&self) -> String {
        if self.path.starts_with('/') {
            return self.path.clone();
        }
        let (namespace, path) = match self.path.strip_prefix('@').and_then(|rest| rest.split_once('/')) {
            Some((namespace, path)) => (Some(namespace), path),
            None => (None, self.path.as_str()),
        };
        let end = path.find(['/', '?']).unwrap_or(path.len());
        let (_, collection) = COLLECTIONS
            .iter()
            .find(|(name, _)| *name == &path[..end])
            .unwrap_or_else(|| panic!("no collection is called {:?}", &path[..end]));
        let collection =
            namespace.map_or_else(|| (*collection).to_owned(), |ns| collection.replace("{ns}", ns));
        format!("{collection}{}", &path[end..])
    }
}

/// Fills in parts of earlier answers and repetitions.
fn filled(text: &str, answers: &[Value]) -> String {
    static EARLIER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$\{(\d+)(/[^}]*)\}").unwrap());
    static REPEATED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"<([^<>]+?)\*(\d+)>").unwrap());
    let text = EARLIER.replace_all(text, |found: &Captures<'_>| {
        let number: usize = found[1].parse().unwrap();
        let value = answers[number - 1].pointer(&found[2]).cloned().unwrap_or(Value::Null);
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    });
    let repeated = |found: &Captures<'_>| found[1].repeat(found[2].parse().unwrap());
    REPEATED.replace_all(&text, repeated).into_owned()
}

fn body_of(body: &str, answers: &[Value], line: &str) -> Vec<u8> {
    if body.is_empty() {
        return Vec::new();
    }
    if let Some(raw) = body.strip_prefix("raw ") {
        return raw.as_bytes().to_vec();
    }
    let mut terms = body.split(" + ").map(|term| term_of(term, answers, line));
    let first = terms.next().unwrap_or_default();
    let whole = terms.fold(first, |mut whole, term| {
        json_patch::merge(&mut whole, &term);
        whole
    });
    whole.to_string().into_bytes()
}

fn term_of(term: &str, answers: &[Value], line: &str) -> Value {
    if let Some(number) = term.strip_prefix('$').and_then(|number| number.parse::<usize>().ok()) {
        return answers[number - 1].clone();
    }
    if term.starts_with(['{', '[', '"']) {
        return serde_yaml::from_str(term).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    let (kind, name) = term.split_once(' ').unwrap_or_else(|| panic!("no body in {line:?}"));
    base(kind, name)
}
