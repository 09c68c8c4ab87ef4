//! Reading: single objects, lists with pages, and what `resourceVersion` means for each.
//!
//! Follows `k8s.io/apiserver/pkg/storage` (`ValidateListOptions`, `continue.go`) and `…/etcd3/errors.go`.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::{Value, json};

use crate::field_error::FieldError;
use crate::resource::{self, Resource};
use crate::selector::Selection;
use crate::server::Server;
use crate::status::{ApiResult, StatusError};
use crate::store::{HistoryError, KeyedObject, to_bytes};

/// The form in which objects are returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Full,
    /// `PartialObjectMetadata`.
    Metadata,
}

impl Shape {
    /// An object in this form.
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
        to_bytes(&object)
    }

    /// An item of a list. Lists of built-in kinds leave `kind` and `apiVersion` out.
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
        to_bytes(&object)
    }
}

/// `ListOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListOptions {
    pub selection: Selection,
    pub limit: usize,
    pub continue_token: String,
    pub resource_version: String,
    /// Whether the list shows exactly `resource_version`, not a state at least as new.
    pub exact: bool,
    pub watch: bool,
    pub bookmarks: bool,
    pub initial_events: Option<bool>,
    pub timeout_seconds: u64,
}

impl ListOptions {
    /// # Errors
    /// 400 for values that cannot be parsed, 422 for combinations that are not allowed.
    pub fn read(resource: &Resource, query: &HashMap<String, String>) -> ApiResult<Self> {
        let text = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let flag = |name: &str| match text(name) {
            "" | "0" | "false" => false,
            // A server reads any other value as true, also the empty one of `?watch`.
            _ => true,
        };
        let number = |name: &str| match text(name) {
            "" => Ok(0),
            // A negative limit means no limit.
            n => n.parse::<i64>().map(|n| u64::try_from(n).unwrap_or(0)).map_err(|_| {
                StatusError::bad_request(format!("strconv.ParseInt: parsing \"{n}\": invalid syntax"))
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
        let errors = options.errors(matching);
        if !errors.is_empty() {
            return Err(StatusError::invalid_options("ListOptions", &errors));
        }
        let legacy = options.resource_version.is_empty() || options.resource_version == "0";
        if options.watch && options.initial_events.is_none() && matching.is_empty() && legacy {
            options.initial_events = Some(true);
        }
        Ok(options)
    }

    fn errors(&self, matching: &str) -> Vec<FieldError> {
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

fn decode(prefix: &str, token: &str) -> ApiResult<(String, i64)> {
    let invalid = |why: &str| StatusError::bad_request(format!("invalid continue token: {why}"));
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
    items: Vec<KeyedObject>,
    revision: u64,
    more: Option<String>,
    /// Objects after this page. `None` when a selector filters.
    remaining: Option<usize>,
}

fn page(server: &Server, resource: &Resource, namespace: &str, options: &ListOptions) -> ApiResult<Page> {
    let namespace = match namespace {
        "" => options.selection.single_namespace().unwrap_or_default(),
        namespace => namespace,
    };
    let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
    let state = server.state();
    let store = &state.store;
    let (start, at) = position(&prefix, options, store.revision())?;
    let limit = if options.resource_version == "0" { 0 } else { options.limit };
    let single = options.selection.single_name().filter(|_| !resource.namespaced || !prefix.is_empty());
    let candidates: Box<dyn Iterator<Item = KeyedObject>> = match (at, single) {
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
                Err(HistoryError::Future) => {
                    return Err(StatusError::too_large_resource_version(revision, store.revision()));
                }
                Err(HistoryError::Compacted) if !options.continue_token.is_empty() => {
                    return expired_token(&prefix, &start);
                }
                Err(HistoryError::Compacted) => {
                    return Err(StatusError::expired(
                        "The resourceVersion for the provided list is too old.",
                    ));
                }
            };
            Box::new(past.into_iter())
        }
    };
    let revision = at.unwrap_or_else(|| store.revision());
    let (mut items, mut more, mut remaining) = (Vec::new(), None, 0);
    for (key, stored) in candidates {
        let full = limit > 0 && items.len() == limit;
        // A server ends the page as soon as it is full, without checking whether any later object is selected.
        if !full && !options.selection.matches(&key, &stored) {
            continue;
        }
        if full {
            if more.is_none() {
                let last: &KeyedObject = &items[items.len() - 1];
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
fn position(prefix: &str, options: &ListOptions, current: u64) -> ApiResult<(String, Option<u64>)> {
    if !options.continue_token.is_empty() {
        let (start, revision) = decode(prefix, &options.continue_token)?;
        if !options.resource_version.is_empty() && options.resource_version != "0" {
            return Err(StatusError::bad_request(
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
            format!("strconv.ParseUint: parsing \"{}\": invalid syntax", options.resource_version),
        );
        StatusError::bad_request(format!("invalid resource version: resourceVersion: {}", error.body()))
    })?;
    if asked > current {
        return Err(StatusError::too_large_resource_version(asked, current));
    }
    Ok((String::new(), options.exact.then_some(asked).filter(|r| *r != current)))
}

fn expired_token<T>(prefix: &str, start: &str) -> ApiResult<T> {
    let mut error = StatusError::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    error.continue_token = Some(encode(prefix, start.trim_end_matches('\0'), -1));
    Err(error)
}

/// LIST: the body of the answer.
pub(crate) fn list(
    server: &Server,
    resource: &Resource,
    namespace: &str,
    options: &ListOptions,
    shape: Shape,
) -> ApiResult<Bytes> {
    let page = page(server, resource, namespace, options)?;
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    // A server prints the empty token of custom resources and omits it for built-in kinds.
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

/// A list of objects that are JSON already.
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

/// Parses the resource version of a watch or a GET.
///
/// # Errors
/// 500 without a reason when it is not a number.
pub(crate) fn parse_version(version: &str) -> ApiResult<u64> {
    version.parse().map_err(|_| {
        let why = format!("strconv.ParseUint: parsing \"{version}\": invalid syntax");
        let error = FieldError::invalid("resourceVersion", version, &why);
        StatusError::unknown(error.to_string())
    })
}

/// GET of one object.
pub(crate) fn get(
    server: &Server,
    resource: &Resource,
    key: &str,
    name: &str,
    resource_version: &str,
) -> ApiResult<Bytes> {
    let state = server.state();
    let asked = if resource_version.is_empty() { 0 } else { parse_version(resource_version)? };
    if asked > state.store.revision() {
        return Err(StatusError::too_large_resource_version(asked, state.store.revision()));
    }
    let stored = state.store.get(resource.store, key);
    stored.map(|stored| stored.raw.clone()).ok_or_else(|| StatusError::not_found(resource, name))
}
