//! Reading: single objects, lists with pages, and what `resourceVersion` means for each.
//!
//! Follows `k8s.io/apiserver/pkg/storage` (`ValidateListOptions`, `continue.go`) and `…/etcd3/errors.go`.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::{Value, json};

use super::answer::{FieldError, Outcome, Refusal};
use super::core::Core;
use super::resource::{self, Resource};
use super::selector::Selection;
use super::store::{Found, Unreadable};

/// How objects are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Full,
    /// `PartialObjectMetadata`.
    Metadata,
}

impl Shape {
    /// An object in this shape.
    pub fn object(self, resource: &Resource, raw: &Bytes) -> Bytes {
        if self == Self::Full && !resource.core_event {
            return raw.clone();
        }
        let Ok(mut object) = serde_json::from_slice::<Value>(raw) else { return raw.clone() };
        if object["kind"] == "Status" {
            return raw.clone();
        }
        if resource.core_event {
            resource::event_to_core(&mut object);
        }
        if self == Self::Metadata {
            object = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]});
        }
        super::write::bytes(&object)
    }

    /// An item of a list: built-in kinds leave the type out there.
    fn item(self, resource: &Resource, raw: &Bytes) -> Bytes {
        let shown = self.object(resource, raw);
        if resource.custom {
            return shown;
        }
        let Ok(mut object) = serde_json::from_slice::<Value>(&shown) else { return shown };
        if let Some(map) = object.as_object_mut()
            && self == Self::Full
        {
            map.remove("kind");
            map.remove("apiVersion");
        }
        super::write::bytes(&object)
    }
}

/// `ListOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListOptions {
    pub selection: Selection,
    pub limit: usize,
    pub continue_token: String,
    pub resource_version: String,
    /// The list shows exactly `resource_version`, not something at least as new.
    pub exact: bool,
    pub watch: bool,
    pub bookmarks: bool,
    pub initial_events: Option<bool>,
    pub timeout_seconds: u64,
}

impl ListOptions {
    /// # Errors
    /// 400 for what cannot be parsed, 422 for combinations that are not allowed.
    pub fn read(resource: &Resource, query: &HashMap<String, String>) -> Outcome<Self> {
        let text = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let flag = |name: &str| match text(name) {
            "" | "0" | "false" => false,
            // A server reads any other value, also `?watch`, as true.
            _ => true,
        };
        let number = |name: &str| match text(name) {
            "" => Ok(0),
            // A negative limit is none.
            n => n.parse::<i64>().map(|n| u64::try_from(n).unwrap_or(0)).map_err(|_| {
                Refusal::bad_request(format!("strconv.ParseInt: parsing \"{n}\": invalid syntax"))
            }),
        };
        let matching = text("resourceVersionMatch");
        let mut options = Self {
            selection: Selection::parse(resource, text("labelSelector"), text("fieldSelector"))?,
            limit: usize::try_from(number("limit")?).unwrap_or(usize::MAX),
            continue_token: text("continue").to_owned(),
            resource_version: text("resourceVersion").to_owned(),
            // Before resourceVersionMatch existed, a limit made the version exact; it still does.
            exact: matching == "Exact"
                || (matching.is_empty()
                    && number("limit")? > 0
                    && !["", "0"].contains(&text("resourceVersion"))),
            watch: flag("watch"),
            bookmarks: flag("allowWatchBookmarks"),
            initial_events: query.contains_key("sendInitialEvents").then(|| flag("sendInitialEvents")),
            timeout_seconds: number("timeoutSeconds")?,
        };
        let errors = options.faults(matching);
        if !errors.is_empty() {
            return Err(Refusal::invalid_options("ListOptions", &errors));
        }
        let legacy = options.resource_version.is_empty() || options.resource_version == "0";
        if options.watch && options.initial_events.is_none() && matching.is_empty() && legacy {
            options.initial_events = Some(true);
        }
        Ok(options)
    }

    fn faults(&self, matching: &str) -> Vec<FieldError> {
        const MATCH: &str = "resourceVersionMatch";
        let mut errors = Vec::new();
        if self.watch {
            if self.initial_events.is_some() && matching != "NotOlderThan" {
                errors.push(FieldError::forbidden(
                    MATCH,
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                ));
            }
            if !matching.is_empty() {
                if self.initial_events.is_none() {
                    errors.push(FieldError::forbidden(
                        MATCH,
                        "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                    ));
                }
                if matching != "NotOlderThan" {
                    errors.push(FieldError::not_supported(MATCH, matching, &["NotOlderThan"]));
                }
            }
            return errors;
        }
        if !matching.is_empty() {
            if self.resource_version.is_empty() {
                errors.push(FieldError::forbidden(
                    MATCH,
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            if !self.continue_token.is_empty() {
                errors.push(FieldError::forbidden(
                    MATCH,
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
            if !["Exact", "NotOlderThan"].contains(&matching) {
                errors.push(FieldError::not_supported(MATCH, matching, &["Exact", "NotOlderThan", ""]));
            } else if matching == "Exact" && self.resource_version == "0" {
                errors.push(FieldError::forbidden(
                    MATCH,
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
        }
        if self.initial_events.is_some() {
            errors
                .push(FieldError::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        }
        errors
    }
}

fn encode(prefix: &str, last_key: &str, revision: i64) -> String {
    let start = format!("{}\0", last_key.strip_prefix(prefix).unwrap_or(last_key));
    let token = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": start});
    URL_SAFE_NO_PAD.encode(token.to_string())
}

fn decode(prefix: &str, token: &str) -> Outcome<(String, i64)> {
    let invalid = |why: &str| Refusal::bad_request(format!("invalid continue token: {why}"));
    let token: Value = URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| invalid("continue key is not valid"))?;
    if token["v"] != "meta.k8s.io/v1" {
        return Err(invalid("continue key is not valid: server does not recognize this encoded version "));
    }
    let revision = token["rv"].as_i64().unwrap_or(0);
    if revision == 0 {
        return Err(invalid(
            "continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
        ));
    }
    match token["start"].as_str().unwrap_or_default() {
        "" => Err(invalid("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)")),
        start => Ok((format!("{prefix}{start}"), revision)),
    }
}

/// One page, before it is written out.
struct Page {
    items: Vec<Found>,
    revision: u64,
    more: Option<String>,
    /// Objects after this page; told only when nothing was filtered.
    remaining: Option<usize>,
}

fn page(core: &Core, resource: &Resource, namespace: &str, options: &ListOptions) -> Outcome<Page> {
    let namespace = match namespace {
        "" => options.selection.single_namespace().unwrap_or_default(),
        namespace => namespace,
    };
    let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
    let state = core.state();
    let store = &state.store;
    let (start, at) = position(&prefix, options, store.revision())?;
    let limit = if options.resource_version == "0" { 0 } else { options.limit };
    let single = options.selection.single_name().filter(|_| !resource.namespaced || !prefix.is_empty());
    let candidates: Box<dyn Iterator<Item = Found>> = match (at, single) {
        (None, Some(name)) => {
            let key = format!("{prefix}{name}");
            let found = store.get(resource.store, &key).map(|stored| (Arc::from(key), stored.clone()));
            Box::new(found.into_iter())
        }
        (None, None) => Box::new(
            store.range(resource.store, &prefix, &start).map(|(key, stored)| (key.clone(), stored.clone())),
        ),
        (Some(revision), _) => {
            let past = match store.range_at(resource.store, &prefix, &start, revision) {
                Ok(past) => past,
                Err(Unreadable::Future) => {
                    return Err(Refusal::too_large_resource_version(revision, store.revision()));
                }
                Err(Unreadable::Compacted) if !options.continue_token.is_empty() => {
                    return expired_token(&prefix, &start);
                }
                Err(Unreadable::Compacted) => {
                    return Err(Refusal::expired("The resourceVersion for the provided list is too old."));
                }
            };
            Box::new(past.into_iter())
        }
    };
    let revision = at.unwrap_or_else(|| store.revision());
    let (mut items, mut more, mut remaining) = (Vec::new(), None, 0);
    for (key, stored) in candidates {
        let full = limit > 0 && items.len() == limit;
        // A server ends a full page where it stands: it does not look whether anything that follows is selected.
        if !full && !options.selection.matches(&key, &stored) {
            continue;
        }
        if full {
            if more.is_none() {
                let last: &Found = &items[items.len() - 1];
                more = Some(encode(&prefix, &last.0, i64::try_from(revision).unwrap_or(i64::MAX)));
            }
            remaining += 1;
            if !options.selection.is_empty() {
                break;
            }
            continue;
        }
        items.push((key, stored));
    }
    let remaining = (more.is_some() && options.selection.is_empty()).then_some(remaining);
    Ok(Page { items, revision, more, remaining })
}

/// Where a list starts and at which revision; `None` is the present.
fn position(prefix: &str, options: &ListOptions, current: u64) -> Outcome<(String, Option<u64>)> {
    if !options.continue_token.is_empty() {
        let (start, revision) = decode(prefix, &options.continue_token)?;
        if !options.resource_version.is_empty() && options.resource_version != "0" {
            return Err(Refusal::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        return Ok((start, u64::try_from(revision).ok().filter(|r| *r != current)));
    }
    if options.resource_version.is_empty() {
        return Ok((String::new(), None));
    }
    let asked: u64 = options.resource_version.parse().map_err(|_| {
        let error = FieldError::invalid(
            "resourceVersion",
            options.resource_version.as_str(),
            &format!("strconv.ParseUint: parsing \"{}\": invalid syntax", options.resource_version),
        );
        Refusal::bad_request(format!("invalid resource version: resourceVersion: {}", error.body))
    })?;
    if asked > current {
        return Err(Refusal::too_large_resource_version(asked, current));
    }
    Ok((String::new(), options.exact.then_some(asked).filter(|r| *r != current)))
}

fn expired_token<T>(prefix: &str, start: &str) -> Outcome<T> {
    let mut refusal = Refusal::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    refusal.continue_token = Some(encode(prefix, start.trim_end_matches('\0'), -1));
    Err(refusal)
}

/// LIST: the body of the answer.
pub(crate) fn list(
    core: &Core,
    resource: &Resource,
    namespace: &str,
    options: &ListOptions,
    shape: Shape,
) -> Outcome<Bytes> {
    let page = page(core, resource, namespace, options)?;
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    // A server prints the empty token of custom resources, and leaves it out for its own types.
    if resource.custom && shape == Shape::Full {
        metadata["continue"] = json!("");
    }
    if let Some(token) = &page.more {
        metadata["continue"] = json!(token);
    }
    if let Some(count) = page.remaining {
        metadata["remainingItemCount"] = json!(count);
    }
    Ok(write_list(resource, shape, &metadata, page.items.iter().map(|(_, stored)| &stored.raw)))
}

/// A list object around objects that are JSON already.
pub(crate) fn write_list<'a>(
    resource: &Resource,
    shape: Shape,
    metadata: &Value,
    items: impl Iterator<Item = &'a Bytes>,
) -> Bytes {
    let (api_version, kind) = match shape {
        Shape::Full => (resource.api_version(), resource.list_kind.clone()),
        Shape::Metadata => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadataList".to_owned()),
    };
    let mut out = BytesMut::new();
    out.put_slice(format!("{{\"apiVersion\":\"{api_version}\",\"items\":[").as_bytes());
    for (n, raw) in items.enumerate() {
        if n > 0 {
            out.put_u8(b',');
        }
        out.put_slice(&shape.item(resource, raw));
    }
    out.put_slice(format!("],\"kind\":\"{kind}\",\"metadata\":{metadata}}}").as_bytes());
    out.freeze()
}

/// GET of one object.
pub(crate) fn get(
    core: &Core,
    resource: &Resource,
    key: &str,
    name: &str,
    resource_version: &str,
) -> Outcome<Bytes> {
    let state = core.state();
    let asked = if resource_version.is_empty() { 0 } else { super::watching::version(resource_version)? };
    if asked > state.store.revision() {
        return Err(Refusal::too_large_resource_version(asked, state.store.revision()));
    }
    let stored = state.store.get(resource.store, key);
    stored.map(|stored| stored.raw.clone()).ok_or_else(|| Refusal::not_found(resource, name))
}
