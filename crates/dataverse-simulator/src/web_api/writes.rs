//! Creating, updating and deleting rows.

use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::data::Row;
use crate::odata::preferences::Preferences;
use crate::odata::query::Query;
use crate::record_creation_rules;
use crate::response::{HttpResponse, ODataError, empty_response, json_response, set_header};
use crate::tables::{ACTIVITY, Table};
use crate::web_api::payload::{WrittenRow, write_columns};
use crate::web_api::representation::{Selection, etag, render, set_applied};
use crate::web_api::request::{Context, Operation};

/// `POST set`.
pub(crate) fn create(
    context: &mut Context<'_>,
    table: &Table,
    operation: &Operation<'_>,
    query: &Query,
    preferences: &Preferences,
) -> Result<HttpResponse, ODataError> {
    query.allow_only(&["$select", "$expand"])?;
    let body = body_of(operation, table)?;
    let written = write_columns(context, table, &body, Row::default(), true)?;
    let id = written.id.unwrap_or_else(|| {
        Uuid::new_v5(&context.data.id, format!("row/{}", context.data.version()).as_bytes())
    });
    if context.data.get(&table.logical_name, id).is_some() {
        return Err(ODataError::new(
            StatusCode::PRECONDITION_FAILED,
            "0x80040237",
            "A record with matching key values already exists.",
        ));
    }
    insert(context, table, id, written)?;
    written_response(context, table, id, query, preferences, true)
}

/// `PATCH set(key)`: an upsert, unless `If-Match` or `If-None-Match` restricts it.
pub(crate) fn upsert(
    context: &mut Context<'_>,
    table: &Table,
    id: Uuid,
    operation: &Operation<'_>,
    query: &Query,
    preferences: &Preferences,
) -> Result<HttpResponse, ODataError> {
    query.allow_only(&["$select", "$expand"])?;
    let body = body_of(operation, table)?;
    let existing = context.data.get(&table.logical_name, id).cloned();
    match Precondition::of(operation.headers)? {
        Precondition::MustNotExist if existing.is_some() => {
            return Err(ODataError::new(
                StatusCode::PRECONDITION_FAILED,
                "",
                "A record with matching key values already exists.",
            ));
        }
        Precondition::MustExist if existing.is_none() => {
            return Err(ODataError::no_row(&table.logical_name, id));
        }
        Precondition::Version(version) => check_version(existing.as_ref(), &version, table, id)?,
        _ => {}
    }
    let Some(old) = existing else {
        let written = write_columns(context, table, &body, Row::default(), true)?;
        // On create, a key in the body takes precedence over the key in the URL.
        let id = written.id.unwrap_or(id);
        if context.data.get(&table.logical_name, id).is_some() {
            return Err(ODataError::new(
                StatusCode::PRECONDITION_FAILED,
                "0x80040237",
                "A record with matching key values already exists.",
            ));
        }
        insert(context, table, id, written)?;
        return written_response(context, table, id, query, preferences, true);
    };
    let written = write_columns(context, table, &body, old, false)?;
    if written.id.is_some_and(|written| written != id) {
        return Err(ODataError::bad_payload(
            &table.set,
            format!("{} is the primary key and cannot be updated.", table.primary_id),
        ));
    }
    refuse_social_data(context, table)?;
    context.data.put(&table.logical_name, id, written.row, context.now);
    written_response(context, table, id, query, preferences, false)
}

/// `DELETE set(key)`. Deleting a record also deletes the activities that regard it, if the instance cascades.
pub(crate) fn delete(
    context: &mut Context<'_>,
    table: &Table,
    id: Uuid,
    operation: &Operation<'_>,
    query: &Query,
) -> Result<HttpResponse, ODataError> {
    query.allow_only(&[])?;
    let row = context.data.get(&table.logical_name, id);
    match Precondition::of(operation.headers)? {
        Precondition::MustNotExist => {
            return Err(ODataError::bad_query("If-None-Match is not supported for DELETE."));
        }
        Precondition::Version(version) => check_version(row, &version, table, id)?,
        Precondition::None | Precondition::MustExist => {}
    }
    let cascade = context.instance.spec.cascade_delete && table.has_activities;
    if context.data.delete(&table.logical_name, id, cascade) {
        Ok(empty_response(StatusCode::NO_CONTENT))
    } else {
        Err(ODataError::no_row(&table.logical_name, id))
    }
}

/// `DELETE set(key)/navigation/$ref`: dissociates.
pub(crate) fn dissociate(
    context: &mut Context<'_>,
    table: &Table,
    id: Uuid,
    navigation: &str,
) -> Result<HttpResponse, ODataError> {
    let (lookup, target) = table.navigation(navigation).ok_or_else(|| ODataError::no_segment(navigation))?;
    let Some(mut row) = context.data.get(&table.logical_name, id).cloned() else {
        return Err(ODataError::no_row(&table.logical_name, id));
    };
    refuse_social_data(context, table)?;
    if row.lookups.get(lookup.name).is_some_and(|reference| reference.table == target) {
        row.lookups.remove(lookup.name);
        context.data.put(&table.logical_name, id, row, context.now);
    }
    Ok(empty_response(StatusCode::NO_CONTENT))
}

/// With "Disable Social Engagement: Yes", social data can be neither created nor updated.
fn refuse_social_data(context: &Context<'_>, table: &Table) -> Result<(), ODataError> {
    let social = table.is_activity() || table.logical_name == "socialprofile";
    if social && !context.instance.spec.accepts_social_data {
        return Err(ODataError::new(
            StatusCode::BAD_REQUEST,
            "0x80060621",
            "This organization is either unavailable or it's not set up to receive social data. Try again later or contact your system administrator.",
        ));
    }
    Ok(())
}

fn insert(context: &mut Context<'_>, table: &Table, id: Uuid, written: WrittenRow) -> Result<(), ODataError> {
    refuse_social_data(context, table)?;
    let mut row = written.row;
    if table.is_activity() {
        for (name, value) in [
            ("statecode", json!(0)),
            ("statuscode", json!(4)),
            ("prioritycode", json!(1)),
            ("directioncode", json!(false)),
            ("activitytypecode", json!(ACTIVITY)),
        ] {
            row.values.entry(name).or_insert(value);
        }
    } else if table.column("statecode").is_some() {
        row.values.entry("statecode").or_insert(json!(0));
    }
    context.data.put(&table.logical_name, id, row, context.now);
    if table.is_activity() {
        record_creation_rules::activity_created(context.instance, context.data, id, context.now);
    }
    Ok(())
}

/// 204 with the URL of the row; or, if preferred, its representation with 201 (created) or 200 (updated).
fn written_response(
    context: &Context<'_>,
    table: &Table,
    id: Uuid,
    query: &Query,
    preferences: &Preferences,
    created: bool,
) -> Result<HttpResponse, ODataError> {
    let url = format!("{}{}({id})", context.root(), table.set);
    let row = context.data.get(&table.logical_name, id);
    let Some(row) = row.filter(|_| preferences.representation) else {
        let mut response = empty_response(StatusCode::NO_CONTENT);
        set_header(&mut response, "odata-entityid", &url);
        set_header(&mut response, "location", &url);
        return Ok(response);
    };
    let selection = Selection::of(context, table, query)?;
    let mut object = render(context, table, id, row, &selection, preferences);
    object.insert(
        "@odata.context".to_owned(),
        json!(format!("{}$metadata#{}/$entity", context.root(), selection.context(table))),
    );
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = json_response(status, &Value::Object(object));
    set_header(&mut response, "etag", &etag(row));
    set_applied(&mut response, preferences);
    Ok(response)
}

fn check_version(row: Option<&Row>, version: &str, table: &Table, id: Uuid) -> Result<(), ODataError> {
    let row = row.ok_or_else(|| ODataError::no_row(&table.logical_name, id))?;
    if etag(row) == version {
        return Ok(());
    }
    Err(ODataError::new(
        StatusCode::PRECONDITION_FAILED,
        "0x80060882",
        "The version of the existing record doesn't match the RowVersion property provided.",
    ))
}

enum Precondition {
    None,
    MustExist,
    MustNotExist,
    Version(String),
}

impl Precondition {
    /// `If-None-Match: null`, which clients send to bypass caches, is ignored.
    fn of(headers: &HeaderMap) -> Result<Self, ODataError> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match (text("if-match"), text("if-none-match").filter(|text| *text != "null")) {
            (None, None) => Ok(Self::None),
            (Some("*"), None) => Ok(Self::MustExist),
            (Some(version), None) if version.starts_with("W/\"") => Ok(Self::Version(version.to_owned())),
            (None, Some("*")) => Ok(Self::MustNotExist),
            _ => Err(ODataError::bad_query(
                "If-Match takes * or an etag, If-None-Match takes * here, and not both at once.",
            )),
        }
    }
}

/// Parses the body as a JSON object.
fn body_of(operation: &Operation<'_>, table: &Table) -> Result<Map<String, Value>, ODataError> {
    let content_type = operation.headers.get("content-type").and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|text| text.split(';').next()).map(str::trim);
    if !media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json")) {
        return Err(ODataError::new(
            StatusCode::BAD_REQUEST,
            "0x80060888",
            "A request with a body must have the header Content-Type: application/json.",
        ));
    }
    serde_json::from_slice(operation.body).map_err(|error| ODataError::bad_payload(&table.set, error))
}
