//! From the path of an operation to the module that answers it.

use http::Method;
use uuid::Uuid;

use crate::odata::preferences::Preferences;
use crate::odata::query::Query;
use crate::response::{HttpResponse, ODataError};
use crate::web_api::request::{Context, Operation};
use crate::web_api::{change_feed, metadata, organization, rows, writes};

/// Answers one operation.
pub(crate) fn answer(context: &mut Context<'_>, operation: &Operation<'_>) -> HttpResponse {
    route(context, operation).unwrap_or_else(HttpResponse::from)
}

fn route(context: &mut Context<'_>, operation: &Operation<'_>) -> Result<HttpResponse, ODataError> {
    let query = Query::parse(operation.query)?;
    let preferences = Preferences::of(operation.headers)?;
    let segments = segments(&operation.path)?;
    let (first, rest) = segments.split_first().ok_or_else(|| ODataError::no_segment(""))?;
    match (first.name, first.key) {
        ("$batch", _) => Err(ODataError::bad_query("A batch cannot contain another batch.")),
        ("WhoAmI", None | Some("")) if rest.is_empty() => organization::who_am_i(context, operation.method),
        ("RetrieveCurrentOrganization", Some(arguments)) if rest.is_empty() => {
            organization::retrieve_current_organization(context, operation.method, arguments, &query)
        }
        ("EntityDefinitions", key) if rest.len() <= 1 => {
            let rest = rest.first().map(|segment| segment.name);
            metadata::entity_definitions(context, operation.method, key, rest, &query)
        }
        _ => rows_of_table(context, operation, &query, &preferences, first, rest),
    }
}

fn rows_of_table(
    context: &mut Context<'_>,
    operation: &Operation<'_>,
    query: &Query,
    preferences: &Preferences,
    first: &Segment<'_>,
    rest: &[Segment<'_>],
) -> Result<HttpResponse, ODataError> {
    let instance = context.instance;
    let table = instance.catalog.by_set(first.name).ok_or_else(|| ODataError::no_segment(first.name))?;
    let id = first.key.map(|key| row_key(key, &table.primary_id)).transpose()?;
    if table.logical_name == "organization" {
        return organization::organizations(context, table, operation.method, id, query, preferences);
    }
    let rest: Vec<&str> = rest.iter().map(|segment| segment.name).collect();
    match (id, rest.as_slice(), operation.method) {
        (None, [], &Method::GET) if change_feed::is_requested(query, preferences) => {
            change_feed::read(context, table, operation, query, preferences)
        }
        (None, [], &Method::GET) => rows::list(context, table, operation, query, preferences),
        (None, [], &Method::POST) => writes::create(context, table, operation, query, preferences),
        (None, [], _) => Err(ODataError::method_not_allowed("GET, POST")),
        (Some(id), [], &Method::GET) => rows::read_one(context, table, id, operation, query, preferences),
        (Some(id), [], &Method::PATCH) => writes::upsert(context, table, id, operation, query, preferences),
        (Some(id), [], &Method::DELETE) => writes::delete(context, table, id, operation, query),
        (Some(_), [], _) => Err(ODataError::method_not_allowed("GET, PATCH, DELETE")),
        (Some(id), [navigation, "$ref"], &Method::DELETE) => {
            writes::dissociate(context, table, id, navigation)
        }
        (Some(id), [navigation], &Method::GET) => {
            let (lookup, target) =
                table.navigation(navigation).ok_or_else(|| ODataError::no_segment(navigation))?;
            let row = context.data.get(&table.logical_name, id);
            let row = row.ok_or_else(|| ODataError::no_row(&table.logical_name, id))?;
            let reference = row.lookups.get(lookup.name).filter(|reference| reference.table == target);
            let (reference, target) = reference
                .cloned()
                .zip(instance.catalog.table(target))
                .ok_or_else(|| ODataError::no_row(target, "the one asked for"))?;
            rows::read_one(context, target, reference.id, operation, query, preferences)
        }
        (_, [other, ..], _) => Err(ODataError::no_segment(other)),
    }
}

/// Parses a key: a GUID, or `primarykey=GUID`. The tables have no alternate keys.
fn row_key(key: &str, primary_id: &str) -> Result<Uuid, ODataError> {
    let text = key.strip_prefix(primary_id).and_then(|rest| rest.strip_prefix('=')).unwrap_or(key);
    (text.len() == 36).then(|| Uuid::parse_str(text).ok()).flatten().ok_or_else(|| {
        ODataError::bad_query(format!(
            "The key '{key}' is neither a GUID nor the value of an alternate key of this table."
        ))
    })
}

/// A path segment: `name` or `name(key)`.
#[derive(Debug, PartialEq)]
struct Segment<'a> {
    name: &'a str,
    key: Option<&'a str>,
}

/// Splits a path at the slashes outside parentheses.
fn segments(path: &str) -> Result<Vec<Segment<'_>>, ODataError> {
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
                None => {
                    Err(ODataError::bad_query(format!("Bad Request - Error in query syntax at '{part}'.")))
                }
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_in_a_key_do_not_split_paths() {
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
}
