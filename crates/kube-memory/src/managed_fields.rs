//! `metadata.managedFields`, and server-side apply.
//!
//! Follows `k8s.io/apimachinery/pkg/util/managedfields`. Not implemented: the migration from the last-applied annotation
//! of `kubectl apply`, and merging more than ten updaters into `ancient-changes`.

use serde_json::{Value, json};

use crate::field_set::{Comparison, FieldSet, fields_of, merged, prune};
use crate::metadata;
use crate::resource::Resource;
use crate::status::{ApiResult, StatusError};

/// The writer of a request, as `managedFields` identifies it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer<'a> {
    pub manager: &'a str,
    /// `status`, or empty for the main endpoint.
    pub subresource: &'a str,
    /// The time of the entry.
    pub now: &'a str,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    manager: String,
    operation: &'static str,
    api_version: String,
    subresource: String,
    time: Option<String>,
    set: FieldSet,
}

impl Entry {
    fn is(&self, writer: Writer<'_>, operation: &str) -> bool {
        self.manager == writer.manager
            && self.operation == operation
            && self.subresource == writer.subresource
    }

    fn read(value: &Value) -> Self {
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        Self {
            manager: text("manager"),
            operation: if value["operation"] == "Apply" { "Apply" } else { "Update" },
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: value["time"].as_str().map(str::to_owned),
            set: FieldSet::from_json(&value["fieldsV1"]),
        }
    }

    fn write(&self) -> Value {
        let mut value = json!({
            "operation": self.operation, "apiVersion": self.api_version,
            "fieldsType": "FieldsV1", "fieldsV1": self.set.to_json(),
        });
        for (field, text) in [("manager", &self.manager), ("subresource", &self.subresource)] {
            if !text.is_empty() {
                value[field] = json!(text);
            }
        }
        if let Some(time) = &self.time {
            value["time"] = json!(time);
        }
        value
    }

    /// The name in conflict messages.
    fn shown(&self) -> String {
        let mut shown = format!("\"{}\"", self.manager);
        if !self.subresource.is_empty() {
            shown = format!("{shown} with subresource \"{}\"", self.subresource);
        }
        if self.operation == "Update" { format!("{shown} using {}", self.api_version) } else { shown }
    }
}

fn read(object: &Value) -> Vec<Entry> {
    object["metadata"]["managedFields"].as_array().into_iter().flatten().map(Entry::read).collect()
}

fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|e| !e.set.is_empty());
    entries.sort_by(|a, b| {
        let key = |e: &Entry| {
            (e.operation, e.time.clone(), e.manager.clone(), e.api_version.clone(), e.subresource.clone())
        };
        key(a).cmp(&key(b))
    });
    let list = (!entries.is_empty()).then(|| entries.iter().map(Entry::write).collect());
    metadata::set(object, "managedFields", list);
}

/// The fields that an endpoint ignores: no writer owns them through it.
fn ignored(resource: &Resource, writer: Writer<'_>) -> &'static [&'static str] {
    match (resource.has_status, writer.subresource) {
        (true, "status") => &["metadata", "spec"],
        (true, _) => &["status"],
        _ => &[],
    }
}

/// Without the fields that no writer owns: type and identity of the object.
fn stripped(set: FieldSet) -> FieldSet {
    let mut identity = FieldSet::default();
    let path = |elements: &[&str]| elements.iter().map(|e| format!("f:{e}")).collect::<Vec<_>>();
    for field in ["apiVersion", "kind", "metadata"] {
        identity.insert(&path(&[field]));
    }
    for field in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ] {
        identity.insert(&path(&["metadata", field]));
    }
    set.difference(&identity)
}

fn without_managed_fields(object: &Value) -> Value {
    let mut object = object.clone();
    metadata::set(&mut object, "managedFields", None);
    object
}

/// Updates `managedFields` of `new` after a create, a PUT, a merge patch or a JSON patch.
pub(crate) fn update(resource: &Resource, old: Option<&Value>, new: &mut Value, writer: Writer<'_>) {
    let empty = skeleton(resource);
    let live = old.unwrap_or(&empty);
    let sent = &new["metadata"]["managedFields"];
    // A client resets the managed fields with one empty entry, for built-in kinds also with an empty list.
    let reset = sent.as_array().is_some_and(|list| match list.as_slice() {
        [] => !resource.custom,
        [one] => one.as_object().is_some_and(serde_json::Map::is_empty),
        _ => false,
    });
    let mut entries = if !writer.subresource.is_empty() {
        read(live)
    } else if reset {
        Vec::new()
    } else {
        let sent = read(new);
        if sent.is_empty() { read(live) } else { sent }
    };
    if entries.is_empty() && old.is_some() {
        // Once reset, managed fields stay empty until the next apply.
        metadata::set(new, "managedFields", None);
        return;
    }
    let comparison =
        Comparison::of(&resource.schema, &without_managed_fields(live), &without_managed_fields(new));
    let skip = ignored(resource, writer);
    let taken = comparison.modified.union(&comparison.added);
    let visible = taken.clone().without_fields(skip);
    let removed = comparison.removed.without_fields(skip);
    for entry in &mut entries {
        entry.set = std::mem::take(&mut entry.set).difference(&visible).difference(&removed);
    }
    let mine = stripped(taken.without_fields(skip));
    if !mine.is_empty() {
        let api_version = resource.api_version();
        match entries.iter_mut().find(|e| e.is(writer, "Update") && e.api_version == api_version) {
            Some(entry) => {
                entry.set = std::mem::take(&mut entry.set).union(&mine);
                entry.time = Some(writer.now.to_owned());
            }
            None => entries.push(Entry {
                manager: writer.manager.to_owned(),
                operation: "Update",
                api_version,
                subresource: writer.subresource.to_owned(),
                time: Some(writer.now.to_owned()),
                set: mine,
            }),
        }
    }
    write(new, entries);
}

/// Checks the type of an applied configuration.
///
/// # Errors
/// 400 for another kind.
pub(crate) fn check_type(resource: &Resource, config: &Value) -> ApiResult<()> {
    let stated = config["apiVersion"].as_str().unwrap_or_default();
    let kind = config["kind"].as_str().unwrap_or_default();
    if stated == resource.api_version() && kind == resource.kind {
        return Ok(());
    }
    Err(StatusError::bad_request(format!("invalid object type: {stated}, Kind={kind}")))
}

/// Server-side apply of `config` to `old`. The new object is not validated yet.
///
/// # Errors
/// 400 for a configuration that cannot be applied, 409 when other managers own changed fields and `force` is off.
pub(crate) fn apply(
    resource: &Resource,
    old: Option<&Value>,
    config: &Value,
    writer: Writer<'_>,
    force: bool,
) -> ApiResult<Value> {
    let api_version = resource.api_version();
    if !config["metadata"]["managedFields"].is_null() {
        return Err(StatusError::bad_request("metadata.managedFields must be nil"));
    }
    let empty = skeleton(resource);
    let live = without_managed_fields(old.unwrap_or(&empty));
    let mut entries = old.map(read).unwrap_or_default();
    let skip = ignored(resource, writer);
    if entries.is_empty() && old.is_some() {
        let set = Comparison::of(&resource.schema, &empty, &live).added;
        entries.push(Entry {
            manager: "before-first-apply".to_owned(),
            operation: "Update",
            api_version: api_version.clone(),
            subresource: String::new(),
            time: Some(writer.now.to_owned()),
            set: stripped(set.without_fields(skip)),
        });
    }
    let previous = entries.iter().position(|e| e.is(writer, "Apply")).map(|at| entries.remove(at));
    let applied = fields_of(&resource.schema, config).without_fields(skip);
    let mut new = merged(&resource.schema, &live, config);
    if let Some(last) = &previous {
        let owned = entries.iter().fold(applied.clone(), |all, e| all.union(&e.set));
        prune(&resource.schema, &mut new, &last.set, &owned);
    }
    let comparison = Comparison::of(&resource.schema, &live, &new);
    let taken = comparison.modified.union(&comparison.added).without_fields(skip);
    let removed = comparison.removed.without_fields(skip);
    let conflicts: Vec<(String, Vec<String>)> = entries
        .iter()
        .filter_map(|e| {
            let paths = e.set.intersection(&taken).paths();
            (!paths.is_empty()).then(|| (e.shown(), paths))
        })
        .collect();
    if !force && !conflicts.is_empty() {
        return conflict(conflicts);
    }
    for entry in &mut entries {
        entry.set = std::mem::take(&mut entry.set).difference(&taken).difference(&removed);
    }
    // An apply that changes nothing keeps the time; otherwise every resync would be a write.
    let unchanged = new == live;
    let time = if unchanged { previous.and_then(|p| p.time) } else { Some(writer.now.to_owned()) };
    entries.push(Entry {
        manager: writer.manager.to_owned(),
        operation: "Apply",
        api_version,
        subresource: writer.subresource.to_owned(),
        time,
        set: stripped(applied),
    });
    write(&mut new, entries);
    Ok(new)
}

fn conflict(mut conflicts: Vec<(String, Vec<String>)>) -> ApiResult<Value> {
    conflicts.sort();
    let causes: Vec<Value> = conflicts
        .iter()
        .flat_map(|(who, paths)| {
            paths.iter().map(move |path| {
                json!({"reason": "FieldManagerConflict", "message": format!("conflict with {who}"), "field": path})
            })
        })
        .collect();
    let message = match (causes.len(), conflicts.first()) {
        (1, Some((who, paths))) => {
            format!("Apply failed with 1 conflict: conflict with {who}: {}", paths.concat())
        }
        (count, _) => {
            let mut lines = Vec::new();
            for (who, paths) in &conflicts {
                lines.push(format!("conflicts with {who}:"));
                lines.extend(paths.iter().map(|p| format!("- {p}")));
            }
            format!("Apply failed with {count} conflicts: {}", lines.join("\n"))
        }
    };
    Err(StatusError::apply_conflict(message, &causes))
}

/// An empty object of the kind as Go prints it, with the structs that are never omitted.
fn skeleton(resource: &Resource) -> Value {
    let mut empty = json!({"apiVersion": resource.api_version(), "kind": resource.kind});
    match resource.kind.as_str() {
        "Namespace" if !resource.custom => {
            empty["metadata"] = json!({});
            empty["spec"] = json!({});
            empty["status"] = json!({});
        }
        "Lease" if !resource.custom => {
            empty["metadata"] = json!({});
            empty["spec"] = json!({});
        }
        "Event" if !resource.custom => {
            empty["metadata"] = json!({});
            for (field, nothing) in [
                ("eventTime", Value::Null),
                ("deprecatedFirstTimestamp", Value::Null),
                ("deprecatedLastTimestamp", Value::Null),
                ("deprecatedSource", json!({})),
            ] {
                empty[field] = nothing;
            }
        }
        "Secret" | "ServiceAccount" if !resource.custom => empty["metadata"] = json!({}),
        _ => {}
    }
    empty
}

/// Keeps the old entries when only their times would change, so that such a write is a no-op.
pub(crate) fn ignore_times(old: &Value, new: &mut Value) {
    let timeless = |object: &Value| {
        let mut entries = read(object);
        for entry in &mut entries {
            entry.time = None;
        }
        // Entries are sorted by time, so a new time may have moved one.
        entries
            .sort_by_key(|e| (e.operation, e.manager.clone(), e.api_version.clone(), e.subresource.clone()));
        entries
    };
    if timeless(old) == timeless(new) && without_managed_fields(old) == without_managed_fields(new) {
        let kept = old["metadata"].get("managedFields").cloned();
        metadata::set(new, "managedFields", kept);
    }
}
