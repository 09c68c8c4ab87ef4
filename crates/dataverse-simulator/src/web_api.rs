//! The Web API of one instance: the gate every request passes, then the way to whoever answers it.

use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::json;
use uuid::Uuid;

use super::answer::{Answer, Refusal, json_answer, text_answer};
use super::data::OrganisationData;
use super::document::InstanceState;
use super::query::{Preferences, Query};
use super::world::Instance;
use super::{batch, change_feed, metadata, organization, rows, writes};

/// URLs longer than this are cut off by the web server before Dataverse sees them.
const MAX_URL: usize = 32_768;
const SERVICE: &str = "/api/data/v9.";

/// What a request works on.
pub(super) struct Context<'a> {
    pub instance: &'a Instance,
    pub data: &'a mut OrganisationData,
    pub now: Timestamp,
    /// `https://host`.
    pub origin: String,
    /// Minor version of the service the client asked for.
    pub minor: String,
}

impl Context<'_> {
    /// Service root with a trailing slash.
    pub fn root(&self) -> String {
        format!("{}{SERVICE}{}/", self.origin, self.minor)
    }
}

/// One operation: a request, or a part of a batch.
pub(super) struct Call<'a> {
    pub method: &'a Method,
    /// Path below the service root, decoded.
    pub path: String,
    /// Query string as it came.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// The refusal every request meets in this state of the instance, if any.
pub(super) fn refused_by_state(instance: &Instance) -> Option<Refusal> {
    let spec = &instance.spec;
    match spec.state {
        InstanceState::Disabled | InstanceState::Expired => Some(Refusal::new(
            StatusCode::FORBIDDEN,
            "0x8004A104",
            "The organization is currently disabled. Please contact your system administrator.",
        )),
        InstanceState::Maintenance => Some(Refusal::new(
            StatusCode::FORBIDDEN,
            "",
            "User does not have required privileges (or role membership) to access the org when it is in Admin Only mode.",
        )),
        InstanceState::Enabled | InstanceState::Unreachable if !spec.has_application_user => {
            Some(Refusal::new(
                StatusCode::FORBIDDEN,
                "0x80072560",
                "The user is not a member of the organization.",
            ))
        }
        InstanceState::Enabled | InstanceState::Unreachable => None,
    }
}

/// Headers without which an `OData` 4.0 service must not guess.
pub(super) fn check_headers(headers: &HeaderMap, is_batch: bool) -> Result<(), Refusal> {
    for name in ["odata-version", "odata-maxversion"] {
        if headers.get(name).is_none_or(|value| value != "4.0") {
            return Err(Refusal::bad_query(format!("The header {name} must be 4.0.")));
        }
    }
    let accepts = |media_type: &str| {
        headers
            .get_all("accept")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(','))
            .filter_map(|item| item.split(';').next())
            .any(|item| item.trim().eq_ignore_ascii_case(media_type))
    };
    if accepts("application/json") || (is_batch && accepts("multipart/mixed")) {
        return Ok(());
    }
    Err(Refusal::bad_query("The header Accept must name application/json."))
}

/// Answers a request that has passed authorisation and throttling.
pub(super) fn answer(
    instance: &Instance,
    data: &mut OrganisationData,
    now: Timestamp,
    method: &Method,
    uri: &http::Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Answer {
    let mut respond = || -> Result<Answer, Refusal> {
        if uri.path_and_query().is_some_and(|path| path.as_str().len() > MAX_URL) {
            return Ok(text_answer(StatusCode::URI_TOO_LONG, "text/html", "Request URL Too Long"));
        }
        let Some((minor, path)) = below_service_root(uri.path()) else {
            return Ok(text_answer(StatusCode::NOT_FOUND, "text/html", "<h1>404 Not Found</h1>"));
        };
        let origin = format!("https://{}", instance.spec.host);
        let is_batch = path == "$batch";
        check_headers(headers, is_batch)?;
        let mut context = Context { instance, data, now, origin, minor };
        if is_batch {
            return batch::answer(&mut context, method, headers, body);
        }
        let call = Call { method, path, query: uri.query().unwrap_or_default(), headers, body };
        Ok(operation(&mut context, &call))
    };
    respond().unwrap_or_else(Answer::from)
}

/// Splits `/api/data/v9.2/rest` into `2` and the decoded rest.
pub(super) fn below_service_root(path: &str) -> Option<(String, String)> {
    let (minor, rest) = path.strip_prefix(SERVICE)?.split_once('/')?;
    if !matches!(minor, "0" | "1" | "2") {
        return None;
    }
    let rest = percent_decode_str(rest).decode_utf8().ok()?;
    Some((minor.to_owned(), rest.into_owned()))
}

/// Answers one operation.
pub(super) fn operation(context: &mut Context<'_>, call: &Call<'_>) -> Answer {
    route(context, call).unwrap_or_else(Answer::from)
}

fn route(context: &mut Context<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let query = Query::parse(call.query)?;
    let preferences = Preferences::of(call.headers)?;
    let segments = segments(&call.path)?;
    let (first, rest) = segments.split_first().ok_or_else(|| Refusal::no_segment(""))?;
    match (first.name, first.key) {
        ("", None) if rest.is_empty() => Ok(service_document(context)),
        ("$batch", _) => Err(Refusal::bad_query("A batch cannot contain another batch.")),
        ("WhoAmI", None | Some("")) if rest.is_empty() => organization::who_am_i(context, call.method),
        ("RetrieveCurrentOrganization", Some(arguments)) if rest.is_empty() => {
            organization::retrieve_current_organization(context, call.method, arguments, &query)
        }
        ("EntityDefinitions", key) if rest.len() <= 1 => {
            let rest = rest.first().map(|segment| segment.name);
            metadata::entity_definitions(context, call.method, key, rest, &query)
        }
        _ => rows_of_table(context, call, &query, &preferences, first, rest),
    }
}

fn rows_of_table(
    context: &mut Context<'_>,
    call: &Call<'_>,
    query: &Query,
    preferences: &Preferences,
    first: &Segment<'_>,
    rest: &[Segment<'_>],
) -> Result<Answer, Refusal> {
    let instance = context.instance;
    let table = instance.catalogue.by_set(first.name).ok_or_else(|| Refusal::no_segment(first.name))?;
    let id = first.key.map(|key| row_key(key, &table.primary_id)).transpose()?;
    if table.logical_name == "organization" {
        return organization::organizations(context, table, call.method, id, query, preferences);
    }
    let rest: Vec<&str> = rest.iter().map(|segment| segment.name).collect();
    match (id, rest.as_slice(), call.method) {
        (None, [], &Method::GET) if change_feed::is_asked_for(query, preferences) => {
            change_feed::read(context, table, call, query, preferences)
        }
        (None, [], &Method::GET) => rows::list(context, table, call, query, preferences),
        (None, [], &Method::POST) => writes::create(context, table, call, query, preferences),
        (None, [], _) => Err(Refusal::method_not_allowed("GET, POST")),
        (Some(id), [], &Method::GET) => rows::read_one(context, table, id, call, query, preferences),
        (Some(id), [], &Method::PATCH) => writes::upsert(context, table, id, call, query, preferences),
        (Some(id), [], &Method::DELETE) => writes::delete(context, table, id, call, query),
        (Some(_), [], _) => Err(Refusal::method_not_allowed("GET, PATCH, DELETE")),
        (Some(id), [navigation, "$ref"], &Method::DELETE) => {
            writes::dissociate(context, table, id, navigation)
        }
        (Some(id), [navigation], &Method::GET) => {
            let (lookup, target) =
                table.navigation(navigation).ok_or_else(|| Refusal::no_segment(navigation))?;
            let row = context.data.get(&table.logical_name, id);
            let row = row.ok_or_else(|| Refusal::no_row(&table.logical_name, id))?;
            let reference = row.lookups.get(lookup.name).filter(|reference| reference.table == target);
            let (reference, target) = reference
                .cloned()
                .zip(instance.catalogue.table(target))
                .ok_or_else(|| Refusal::no_row(target, "the one asked for"))?;
            rows::read_one(context, target, reference.id, call, query, preferences)
        }
        (_, [other, ..], _) => Err(Refusal::no_segment(other)),
    }
}

/// A key: the GUID itself, or `primarykey=GUID`. There are no alternate keys out of the box.
fn row_key(key: &str, primary_id: &str) -> Result<Uuid, Refusal> {
    let text = key.strip_prefix(primary_id).and_then(|rest| rest.strip_prefix('=')).unwrap_or(key);
    (text.len() == 36).then(|| Uuid::parse_str(text).ok()).flatten().ok_or_else(|| {
        Refusal::bad_query(format!(
            "The key '{key}' is neither a GUID nor the value of an alternate key of this table."
        ))
    })
}

fn service_document(context: &Context<'_>) -> Answer {
    let sets: Vec<_> = context
        .instance
        .catalogue
        .iter()
        .map(|table| json!({"name": table.set, "kind": "EntitySet", "url": table.set}))
        .collect();
    let body = json!({"@odata.context": format!("{}$metadata", context.root()), "value": sets});
    json_answer(StatusCode::OK, &body)
}

/// `name(key)`.
#[derive(Debug, PartialEq)]
struct Segment<'a> {
    name: &'a str,
    key: Option<&'a str>,
}

/// Splits a path at slashes outside parentheses.
fn segments(path: &str) -> Result<Vec<Segment<'_>>, Refusal> {
    let (mut depth, mut start, mut parts) = (0_usize, 0, Vec::new());
    for (at, c) in path.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '/' if depth == 0 => {
                parts.push(&path[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&path[start..]);
    parts
        .into_iter()
        .map(|part| match part.split_once('(') {
            None => Ok(Segment { name: part, key: None }),
            Some((name, key)) => match key.strip_suffix(')') {
                Some(key) => Ok(Segment { name, key: Some(key) }),
                None => Err(Refusal::bad_query(format!("Bad Request - Error in query syntax at '{part}'."))),
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_inside_a_key_does_not_split_the_path() {
        let path = "EntityDefinitions(LogicalName='a/b')/Attributes";
        assert_eq!(
            segments(path).unwrap(),
            [
                Segment { name: "EntityDefinitions", key: Some("LogicalName='a/b'") },
                Segment { name: "Attributes", key: None }
            ]
        );
        assert!(segments("x(1").is_err());
    }

    #[test]
    fn only_the_versions_that_exist_are_served() {
        assert_eq!(below_service_root("/api/data/v9.2/WhoAmI()"), Some(("2".into(), "WhoAmI()".into())));
        assert_eq!(below_service_root("/api/data/v9.2/a%28b%29"), Some(("2".into(), "a(b)".into())));
        assert_eq!(below_service_root("/api/data/v10.0/WhoAmI"), None);
        assert_eq!(below_service_root("/"), None);
    }
}
