//! Creating, updating, upserting and deleting rows, with everything Dataverse refuses.

use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::{Answer, Refusal, empty_answer, json_answer, set_header};
use super::conversion;
use super::data::Row;
use super::query::{Preferences, Query};
use super::rows::{Selection, applied, etag, render};
use super::tables::{ACTIVITY, Table};
use super::values::{Written, write_columns};
use super::web_api::{Call, Context};

/// `POST set`.
pub(super) fn create(
    context: &mut Context<'_>,
    table: &Table,
    call: &Call<'_>,
    query: &Query,
    preferences: &Preferences,
) -> Result<Answer, Refusal> {
    query.allow_only(&["$select", "$expand"])?;
    let body = body_of(call, table)?;
    let written = write_columns(context, table, &body, Row::default(), true)?;
    let id = written.id.unwrap_or_else(|| {
        Uuid::new_v5(&context.data.id, format!("row/{}", context.data.version()).as_bytes())
    });
    if context.data.get(&table.logical_name, id).is_some() {
        return Err(Refusal::new(
            StatusCode::PRECONDITION_FAILED,
            "0x80040237",
            "A record with matching key values already exists.",
        ));
    }
    insert(context, table, id, written)?;
    written_answer(context, table, id, query, preferences, true)
}

/// `PATCH set(key)`: an upsert, unless the headers say otherwise.
pub(super) fn upsert(
    context: &mut Context<'_>,
    table: &Table,
    id: Uuid,
    call: &Call<'_>,
    query: &Query,
    preferences: &Preferences,
) -> Result<Answer, Refusal> {
    query.allow_only(&["$select", "$expand"])?;
    let body = body_of(call, table)?;
    let existing = context.data.get(&table.logical_name, id).cloned();
    match Precondition::of(call.headers)? {
        Precondition::MustNotExist if existing.is_some() => {
            return Err(Refusal::new(
                StatusCode::PRECONDITION_FAILED,
                "",
                "A record with matching key values already exists.",
            ));
        }
        Precondition::MustExist if existing.is_none() => {
            return Err(Refusal::no_row(&table.logical_name, id));
        }
        Precondition::Version(version) => check_version(existing.as_ref(), &version, table, id)?,
        _ => {}
    }
    let Some(old) = existing else {
        let written = write_columns(context, table, &body, Row::default(), true)?;
        // On create the key in the body wins over the one in the URL, even if they differ.
        let id = written.id.unwrap_or(id);
        if context.data.get(&table.logical_name, id).is_some() {
            return Err(Refusal::new(
                StatusCode::PRECONDITION_FAILED,
                "0x80040237",
                "A record with matching key values already exists.",
            ));
        }
        insert(context, table, id, written)?;
        return written_answer(context, table, id, query, preferences, true);
    };
    let written = write_columns(context, table, &body, old, false)?;
    if written.id.is_some_and(|written| written != id) {
        return Err(Refusal::bad_payload(
            &table.set,
            format!("{} is the primary key and cannot be updated.", table.primary_id),
        ));
    }
    refuse_social_data(context, table)?;
    context.data.put(&table.logical_name, id, written.row, context.now);
    written_answer(context, table, id, query, preferences, false)
}

/// `DELETE set(key)`, with the cascade real Dataverse has.
pub(super) fn delete(
    context: &mut Context<'_>,
    table: &Table,
    id: Uuid,
    call: &Call<'_>,
    query: &Query,
) -> Result<Answer, Refusal> {
    query.allow_only(&[])?;
    let row = context.data.get(&table.logical_name, id);
    match Precondition::of(call.headers)? {
        Precondition::MustNotExist => {
            return Err(Refusal::bad_query("If-None-Match is not supported for DELETE."));
        }
        Precondition::Version(version) => check_version(row, &version, table, id)?,
        Precondition::None | Precondition::MustExist => {}
    }
    let cascade = context.instance.spec.cascade_delete && table.has_activities;
    if context.data.delete(&table.logical_name, id, cascade) {
        Ok(empty_answer(StatusCode::NO_CONTENT))
    } else {
        Err(Refusal::no_row(&table.logical_name, id))
    }
}

/// `DELETE set(key)/navigation/$ref`: dissociates.
pub(super) fn dissociate(
    context: &mut Context<'_>,
    table: &Table,
    id: Uuid,
    navigation: &str,
) -> Result<Answer, Refusal> {
    let (lookup, target) = table.navigation(navigation).ok_or_else(|| Refusal::no_segment(navigation))?;
    let Some(mut row) = context.data.get(&table.logical_name, id).cloned() else {
        return Err(Refusal::no_row(&table.logical_name, id));
    };
    refuse_social_data(context, table)?;
    if row.lookups.get(lookup.name).is_some_and(|reference| reference.table == target) {
        row.lookups.remove(lookup.name);
        context.data.put(&table.logical_name, id, row, context.now);
    }
    Ok(empty_answer(StatusCode::NO_CONTENT))
}

/// "Disable Social Engagement = Yes": creating, updating, converting social data all fail.
fn refuse_social_data(context: &Context<'_>, table: &Table) -> Result<(), Refusal> {
    let social = table.is_activity() || table.logical_name == "socialprofile";
    if social && !context.instance.spec.accepts_social_data {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "0x80060621",
            "This organization is either unavailable or it's not set up to receive social data. Try again later or contact your system administrator.",
        ));
    }
    Ok(())
}

fn insert(context: &mut Context<'_>, table: &Table, id: Uuid, written: Written) -> Result<(), Refusal> {
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
        conversion::activity_created(context.instance, context.data, id, context.now);
    }
    Ok(())
}

/// 204 with the row's URL, or the representation: 201 when created, 200 when updated.
fn written_answer(
    context: &Context<'_>,
    table: &Table,
    id: Uuid,
    query: &Query,
    preferences: &Preferences,
    created: bool,
) -> Result<Answer, Refusal> {
    let url = format!("{}{}({id})", context.root(), table.set);
    let row = context.data.get(&table.logical_name, id);
    let Some(row) = row.filter(|_| preferences.representation) else {
        let mut answer = empty_answer(StatusCode::NO_CONTENT);
        set_header(&mut answer, "odata-entityid", &url);
        set_header(&mut answer, "location", &url);
        return Ok(answer);
    };
    let selection = Selection::of(context, table, query)?;
    let mut object = render(context, table, id, row, &selection, preferences);
    object.insert(
        "@odata.context".to_owned(),
        json!(format!("{}$metadata#{}/$entity", context.root(), selection.context(table))),
    );
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let mut answer = json_answer(status, &Value::Object(object));
    set_header(&mut answer, "etag", &etag(row));
    applied(&mut answer, preferences);
    Ok(answer)
}

fn check_version(row: Option<&Row>, version: &str, table: &Table, id: Uuid) -> Result<(), Refusal> {
    let row = row.ok_or_else(|| Refusal::no_row(&table.logical_name, id))?;
    if etag(row) == version {
        return Ok(());
    }
    Err(Refusal::new(
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
    /// `If-None-Match: null`, the documented way to bypass browser caches, means nothing.
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match (text("if-match"), text("if-none-match").filter(|text| *text != "null")) {
            (None, None) => Ok(Self::None),
            (Some("*"), None) => Ok(Self::MustExist),
            (Some(version), None) if version.starts_with("W/\"") => Ok(Self::Version(version.to_owned())),
            (None, Some("*")) => Ok(Self::MustNotExist),
            _ => Err(Refusal::bad_query(
                "If-Match takes * or an etag, If-None-Match takes * here, and not both at once.",
            )),
        }
    }
}

/// The JSON object in the body.
fn body_of(call: &Call<'_>, table: &Table) -> Result<Map<String, Value>, Refusal> {
    let content_type = call.headers.get("content-type").and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|text| text.split(';').next()).map(str::trim);
    if !media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json")) {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "0x80060888",
            "A request with a body must have the header Content-Type: application/json.",
        ));
    }
    serde_json::from_slice(call.body).map_err(|error| Refusal::bad_payload(&table.set, error))
}
