//! Makes two servers' answers comparable: server-chosen values (uids, resource versions, times, random names) are
//! replaced by placeholders, the same value always by the same one.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::{Map, Value, json};

/// The values one server has chosen so far in a case.
#[derive(Debug, Default)]
pub struct Names {
    uids: Vec<String>,
    versions: Vec<String>,
    generated: Vec<String>,
    times: Vec<String>,
}

impl Names {
    /// An answer with all server-chosen values replaced.
    pub fn normal(&mut self, mut answer: Value) -> Value {
        self.learn(&answer);
        self.structure(&mut answer);
        self.texts(&mut answer);
        order_causes(&mut answer["body"]);
        answer
    }

    /// Uids and generated names are collected first, because they also appear in messages.
    fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(map) => {
                let text = |field: &str| map.get(field).and_then(Value::as_str).unwrap_or_default();
                if map.contains_key("creationTimestamp") && !text("uid").is_empty() {
                    remember(&mut self.uids, text("uid"));
                }
                for field in ["creationTimestamp", "deletionTimestamp", "time"] {
                    if !text(field).is_empty() {
                        remember(&mut self.times, text(field));
                    }
                }
                let (prefix, name) = (text("generateName"), text("name"));
                let kept = &prefix[..prefix.len().min(58)];
                if !kept.is_empty() && name.starts_with(kept) && name.len() == kept.len() + 5 {
                    remember(&mut self.generated, name);
                }
                map.values().for_each(|inner| self.learn(inner));
            }
            Value::Array(list) => list.iter().for_each(|inner| self.learn(inner)),
            _ => {}
        }
    }

    fn structure(&mut self, value: &mut Value) {
        let Value::Object(map) = value else {
            if let Value::Array(list) = value {
                for inner in list {
                    self.structure(inner);
                }
            }
            return;
        };
        // Only objects have a creation time; the version of anything else (a list, a bookmark) is the current one,
        // which on a shared server includes writes of other tests.
        let is_object = map.contains_key("creationTimestamp");
        for (name, inner) in map.iter_mut() {
            match (name.as_str(), &inner) {
                ("resourceVersion", Value::String(version)) if !version.is_empty() => {
                    *inner = json!(if is_object { self.version(version) } else { "<now>".to_owned() });
                }
                ("creationTimestamp" | "deletionTimestamp" | "time", Value::String(_)) => {
                    *inner = json!("<time>");
                }
                ("expirationTimestamp", Value::String(_)) => *inner = json!("<time>"),
                ("continue", Value::String(token)) if !token.is_empty() => *inner = json!("<token>"),
                ("token", Value::String(_)) => *inner = json!("<token>"),
                ("managedFields", Value::Array(_)) => by_writer(inner),
                _ => self.structure(inner),
            }
        }
    }

    fn version(&mut self, version: &str) -> String {
        format!("<version {}>", remember(&mut self.versions, version) + 1)
    }

    fn texts(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(list) => list.iter_mut().for_each(|inner| self.texts(inner)),
            Value::Object(map) => map.values_mut().for_each(|inner| self.texts(inner)),
            _ => {}
        }
    }

    fn text(&self, text: &str) -> String {
        static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[-.:]?\b\d{3,}\b").unwrap());
        let mut text = text.to_owned();
        for time in &self.times {
            text = text.replace(time, "<time>");
        }
        for (what, known) in [("uid", &self.uids), ("name", &self.generated)] {
            for (number, known) in known.iter().enumerate() {
                text = text.replace(known, &format!("<{what} {}>", number + 1));
            }
        }
        let lower = text.to_lowercase();
        if let Some((head, _)) =
            text.split_once(" (").filter(|_| text.starts_with("too old resource version"))
        {
            // How much history a server keeps may differ.
            return head.to_owned();
        }
        if !lower.contains("resourceversion") && !lower.contains("resource version") {
            return text;
        }
        let named = |found: &Captures<'_>| match self.versions.iter().position(|known| known == &found[0]) {
            Some(at) => format!("<version {}>", at + 1),
            // Part of a name or a time.
            None if found[0].starts_with(['-', '.', ':']) => found[0].to_owned(),
            None => "<version>".to_owned(),
        };
        NUMBER.replace_all(&text, named).into_owned()
    }
}

fn remember(known: &mut Vec<String>, text: &str) -> usize {
    known.iter().position(|old| old == text).unwrap_or_else(|| {
        known.push(text.to_owned());
        known.len() - 1
    })
}

/// Go iterates over the fields of an object in random order, so a server lists several causes in any order. The message
/// must have each cause once, in the same order as the causes.
fn order_causes(status: &mut Value) {
    let causes = status["details"]["causes"].as_array().cloned().unwrap_or_default();
    let mut sentences: Vec<String> = Vec::new();
    for cause in &causes {
        let text = |field: &str| cause[field].as_str().unwrap_or_default();
        remember(&mut sentences, &format!("{}: {}", text("field"), text("message")));
    }
    let list = match sentences.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    let message = status["message"].as_str().unwrap_or_default();
    if let Some(head) = message.strip_suffix(&list).filter(|_| causes.len() > 1) {
        status["message"] = json!(format!("{head}<the causes>"));
        let mut causes = causes;
        causes.sort_by_key(Value::to_string);
        status["details"]["causes"] = json!(causes);
    }
}

/// Entries are sorted by their times, so their order depends on when a second ends.
fn by_writer(entries: &mut Value) {
    let list = entries.as_array_mut().expect("the caller saw a list");
    for entry in list.iter_mut().filter(|entry| entry["time"].is_string()) {
        entry["time"] = json!("<time>");
    }
    list.sort_by_key(|entry| {
        ["operation", "manager", "apiVersion", "subresource"].map(|field| entry[field].to_string())
    });
}

/// The differences of two answers: the path, the in-memory API's value, the real one.
pub type Differences = BTreeMap<String, [Value; 2]>;

pub fn differences(memory: &Value, server: &Value) -> Differences {
    let mut found = BTreeMap::new();
    if memory["code"] != server["code"] {
        // Everything differs then, and only the full answers help.
        let said = |answer: &Value| match &answer["body"]["message"] {
            Value::Null => json!(format!("{}: {}", answer["code"], answer["body"])),
            message => json!(format!("{}: {}", answer["code"], message)),
        };
        found.insert("code".to_owned(), [said(memory), said(server)]);
        return found;
    }
    compare("", memory, server, &mut found);
    found
}

fn compare(at: &str, memory: &Value, server: &Value, found: &mut Differences) {
    match (memory, server) {
        (Value::Object(a), Value::Object(b)) => {
            let place = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let field =
                |map: &Map<String, Value>, name: &str| map.get(name).cloned().unwrap_or(json!("<absent>"));
            for name in names {
                compare(&place(name), &field(a, name), &field(b, name), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{at}[{index}]"), a, b, found);
            }
        }
        _ if memory == server => {}
        _ => {
            found.insert(at.to_owned(), [memory.clone(), server.clone()]);
        }
    }
}

#[test]
fn only_server_chosen_values_are_normalized() {
    let object = |uid: &str, version: &str| {
        json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z", "uid": uid, "resourceVersion": version},
            "spec": {"uid": "stays", "reach": 100}})
    };
    let mut names = Names::default();
    let (first, second) = (names.normal(object("a-b", "100")), names.normal(object("a-b", "101")));
    assert_eq!(first["metadata"]["resourceVersion"], "<version 1>");
    assert_eq!(second["metadata"]["resourceVersion"], "<version 2>");
    assert_eq!((&first["metadata"]["uid"], &first["spec"]["uid"]), (&json!("<uid 1>"), &json!("stays")));
    let message =
        names.normal(json!({"message": "uid a-b at resource version 101, not 7000, of parity-7000"}));
    let expected = "uid <uid 1> at resource version <version 2>, not <version>, of parity-7000";
    assert_eq!(message["message"], expected);
    assert_eq!(differences(&first, &second).len(), 1);
}
