//! Routing: from a request line to a verb on a resource, as in `k8s.io/apiserver/pkg/endpoints/request`.

use std::collections::HashMap;

use http::Method;

use crate::resource::{Registry, Resource};

/// A verb on a resource.
#[derive(Clone, Debug)]
pub(crate) struct Route<'a> {
    pub resource: &'a Resource,
    pub namespace: String,
    pub name: String,
    pub subresource: String,
    pub verb: &'static str,
}

/// The target of a path.
#[derive(Clone, Debug)]
pub(crate) enum Target<'a> {
    Resource(Route<'a>),
    /// Discovery, version or health, by path segments.
    Document(Vec<String>),
    /// Nothing is served there.
    Unknown,
}

/// Parses the query. The last value of a name wins.
pub(crate) fn query(text: Option<&str>) -> HashMap<String, String> {
    url::form_urlencoded::parse(text.unwrap_or_default().as_bytes()).into_owned().collect()
}

pub(crate) fn find<'a>(
    registry: &'a Registry,
    method: &Method,
    path: &str,
    query: &HashMap<String, String>,
) -> Target<'a> {
    let segments: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(unescape).collect();
    let (group, version, rest) = match segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", (*version).to_owned(), rest.len()),
        ["apis", _, version, rest @ ..] if !rest.is_empty() => ("group", (*version).to_owned(), rest.len()),
        _ => return Target::Document(segments),
    };
    let rest = &segments[segments.len() - rest..];
    let group = if group.is_empty() { "" } else { segments[1].as_str() };
    route(registry, method, group, &version, rest, query).map_or(Target::Unknown, Target::Resource)
}

fn route<'a>(
    registry: &'a Registry,
    method: &Method,
    group: &str,
    version: &str,
    rest: &[String],
    query: &HashMap<String, String>,
) -> Option<Route<'a>> {
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let (namespace, rest) = match rest.as_slice() {
        ["namespaces", namespace, rest @ ..]
            if !rest.is_empty() && !matches!(rest, ["status" | "finalize"]) =>
        {
            (*namespace, rest)
        }
        all => ("", all),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, "", ""),
        [plural, name] => (*plural, *name, ""),
        [plural, name, subresource] => (*plural, *name, *subresource),
        _ => return None,
    };
    let resource = registry.find(group, version, plural)?;
    let watch = query.get("watch").is_some_and(|w| !matches!(w.as_str(), "false" | "0"));
    let verb = match (method.as_str(), name.is_empty()) {
        ("GET" | "HEAD", false) => "get",
        ("GET" | "HEAD", true) if watch => "watch",
        ("GET" | "HEAD", true) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", false) => "delete",
        ("DELETE", true) => "deletecollection",
        _ => return None,
    };
    let across = ["list", "watch"].contains(&verb);
    if resource.namespaced == namespace.is_empty() && !(resource.namespaced && across) {
        return None;
    }
    Some(Route {
        resource,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
        verb,
    })
}

/// Decodes `%2F` and the like in a path segment.
fn unescape(segment: &str) -> String {
    if !segment.contains('%') {
        return segment.to_owned();
    }
    // The same as a form value, except for `+`, which is literal in a path.
    let escaped = segment.replace('+', "%2B");
    url::form_urlencoded::parse(escaped.as_bytes())
        .next()
        .map_or_else(String::new, |(key, _)| key.into_owned())
}
