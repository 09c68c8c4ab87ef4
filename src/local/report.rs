//! What `postlink local` prints: per commit the changes, a table per kind and the events; or JSON.

use super::{
    apply::{Did, Report},
    session::Session,
    tree::KINDS,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write;

/// Every object of the three kinds as one `List`, as `kubectl get -o json` prints it.
pub fn list(session: &Session, commit: Option<&str>) -> Value {
    let items: Vec<Value> = KINDS
        .iter()
        .flat_map(|(kind, _)| session.api.objects(kind))
        .map(|object| {
            let mut object = (*object).clone();
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("managedFields");
            }
            object
        })
        .collect();
    let metadata = match commit {
        Some(commit) => json!({
            "resourceVersion": "",
            "annotations": {"local.postlink.dev/commit": commit},
        }),
        None => json!({"resourceVersion": ""}),
    };
    json!({"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": items})
}

/// What was created, configured and deleted.
pub fn changes(report: &Report) -> String {
    let mut text = String::new();
    for (did, id) in &report.done {
        let (sign, word) = match did {
            Did::Created => ('+', "created"),
            Did::Configured => ('~', "configured"),
            Did::Deleted => ('-', "deleted"),
            Did::DeletionRequested => ('-', "deletion requested"),
        };
        let _ = writeln!(text, "{sign} {id} {word}");
    }
    if report.unchanged > 0 {
        let _ = writeln!(text, "= {} unchanged", report.unchanged);
    }
    text
}

/// One table per kind, with the printer columns of its CRD; those of `kubectl get -o wide` only if `wide` is set.
pub fn tables(session: &Session, now: Timestamp, wide: bool) -> String {
    let mut text = String::new();
    for (kind, plural) in KINDS {
        let objects = session.api.objects(kind);
        let Some(schema) = session.schemas.schema(plural) else { continue };
        if objects.is_empty() {
            continue;
        }
        let namespaces: std::collections::BTreeSet<&str> =
            objects.iter().filter_map(|o| o.pointer("/metadata/namespace").and_then(Value::as_str)).collect();
        let several = namespaces.len() > 1;
        let mut rows: Vec<Vec<String>> = Vec::new();
        let shown = |row: Vec<String>| -> Vec<String> {
            let columns = row.into_iter().zip(schema.columns());
            columns.filter(|(_, column)| wide || column.priority == 0).map(|(cell, _)| cell).collect()
        };
        let mut head = shown(schema.columns().iter().map(|c| c.name.to_uppercase()).collect());
        if several {
            head.insert(0, "NAMESPACE".to_owned());
        }
        rows.push(head);
        for object in &objects {
            let mut row = shown(schema.row(object, now));
            if several {
                let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
                row.insert(0, namespace.unwrap_or_default().to_owned());
            }
            rows.push(row);
        }
        let _ = writeln!(text, "\n{plural}");
        text.push_str(&aligned(&rows));
    }
    text
}

fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|i| rows.iter().filter_map(|r| r.get(i)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", line.join("   ").trim_end());
    }
    text
}

/// The events since a revision, by object, then in the order they were written. The order of the events of two objects is
/// not reproducible.
pub fn events(session: &Session, since: u64) -> String {
    let mut rows = Vec::new();
    for revision in session.api.history_since(since) {
        if !revision.key.resource.starts_with("events") {
            continue;
        }
        let Some(event) = revision.after() else { continue };
        let text =
            |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let object = format!("{}/{}", text("/regarding/kind").to_lowercase(), text("/regarding/name"));
        let at = (text("/regarding/namespace"), object.clone());
        rows.push((at, vec![text("/type"), text("/reason"), object, text("/note")]));
    }
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(_, row)| row).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\nevents\n{}", aligned(&rows))
}
