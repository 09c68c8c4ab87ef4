//! Checks a JSON body against the columns of a table: names, types, limits, lookups.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::data::{Row, RowReference, web_time};
use crate::response::ODataError;
use crate::tables::{Column, ColumnType, Lookup, Table, Writable};
use crate::web_api::request::Context;

/// A row after a body was applied to it, not stored yet.
pub(crate) struct WrittenRow {
    /// The primary key in the body, if any.
    pub id: Option<Uuid>,
    pub row: Row,
}

/// Applies a body to a row, or says why Dataverse refuses it.
pub(crate) fn write_columns(
    context: &Context<'_>,
    table: &Table,
    body: &Map<String, Value>,
    mut row: Row,
    creating: bool,
) -> Result<WrittenRow, ODataError> {
    let mut id = None;
    for (name, value) in body {
        if let Some((property, annotation)) = name.split_once('@') {
            match (property.is_empty(), annotation) {
                (false, "odata.bind") => bind(context, table, &mut row, property, value)?,
                // Control information about the whole object, e.g. `@odata.type`.
                (true, _) => {}
                (false, _) if body.contains_key(property) => {}
                (false, _) => {
                    return Err(ODataError::bad_payload(
                        &table.set,
                        format!(
                            "An undeclared property '{property}' which only has property annotations in the payload but no property value was found in the payload."
                        ),
                    ));
                }
            }
            continue;
        }
        let Some(column) = table.column(name) else {
            return Err(ODataError::bad_payload(
                &table.set,
                format!(
                    "Invalid property '{name}' was found in entity 'Microsoft.Dynamics.CRM.{}'.",
                    table.logical_name
                ),
            ));
        };
        let may_write = match column.writable {
            Writable::Always => true,
            Writable::OnCreate => creating || *name == table.primary_id,
            Writable::OnUpdate => !creating,
            Writable::Never => false,
        };
        if !may_write {
            let moment = if creating { "created" } else { "updated" };
            return Err(ODataError::bad_payload(
                &table.set,
                format!("The property '{name}' cannot be set when a row is {moment}."),
            ));
        }
        let value = checked(table, column, value)?;
        if *name == table.primary_id {
            id = value.as_str().and_then(|text| Uuid::parse_str(text).ok());
        } else if value.is_null() {
            row.values.remove(name);
        } else {
            row.values.insert(name.clone(), value);
        }
    }
    if table.is_activity() {
        check_status(body, &mut row, creating)?;
    }
    Ok(WrittenRow { id, row })
}

/// Checks a value, and returns it as it is stored.
fn checked(table: &Table, column: &Column, value: &Value) -> Result<Value, ODataError> {
    let wrong_type = || {
        ODataError::bad_payload(
            &table.set,
            format!("Cannot convert the value of '{}' to the target type of this property.", column.name),
        )
    };
    if value.is_null() {
        return Ok(Value::Null);
    }
    match column.kind {
        ColumnType::Guid => {
            let text = value.as_str().filter(|text| text.len() == 36).ok_or_else(wrong_type)?;
            Ok(json!(Uuid::parse_str(text).map_err(|_| wrong_type())?))
        }
        ColumnType::Text(limit) => checked_text(table, column, value.as_str().ok_or_else(wrong_type)?, limit),
        ColumnType::Choice(allowed) => {
            let number = value.as_i64().ok_or_else(wrong_type)?;
            if allowed.contains(&number) {
                return Ok(json!(number));
            }
            Err(ODataError::new(
                StatusCode::BAD_REQUEST,
                "0x8004431A",
                format!(
                    "A validation error occurred. The value {number} of '{}' on record of type '{}' is outside the valid range. Accepted Values: {}",
                    column.name,
                    table.logical_name,
                    allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
                ),
            ))
        }
        ColumnType::Integer => value.as_i64().map(|number| json!(number)).ok_or_else(wrong_type),
        ColumnType::Number => value.as_f64().map(|number| json!(number)).ok_or_else(wrong_type),
        ColumnType::Flag => value.as_bool().map(|flag| json!(flag)).ok_or_else(wrong_type),
        ColumnType::Time => {
            let time: Timestamp = value.as_str().and_then(|text| text.parse().ok()).ok_or_else(wrong_type)?;
            Ok(json!(web_time(time)))
        }
    }
}

fn checked_text(table: &Table, column: &Column, text: &str, limit: usize) -> Result<Value, ODataError> {
    if text.chars().any(|c| c.is_control() && (c < ' ' && !matches!(c, '\t' | '\n' | '\r'))) {
        return Err(ODataError::new(
            StatusCode::BAD_REQUEST,
            "0x80040278",
            format!("The field '{}' contains one or more invalid characters.", column.name),
        ));
    }
    if text.encode_utf16().count() > limit {
        return Err(ODataError::new(
            StatusCode::BAD_REQUEST,
            "0x80044331",
            format!(
                "A validation error occurred.  The length of the '{}' attribute of the '{}' entity exceeded the maximum allowed length of '{limit}'.",
                column.name, table.logical_name
            ),
        ));
    }
    // Dataverse stores an empty string as null.
    Ok(if text.is_empty() { Value::Null } else { json!(text) })
}

/// `navigation@odata.bind`: the target must exist, in the right table.
fn bind(
    context: &Context<'_>,
    table: &Table,
    row: &mut Row,
    navigation: &str,
    value: &Value,
) -> Result<(), ODataError> {
    let found: Option<(&Lookup, &str)> = table.navigation(navigation);
    let Some((lookup, target)) = found.filter(|(lookup, _)| lookup.writable) else {
        return Err(ODataError::bad_payload(
            &table.set,
            format!(
                "An undeclared property '{navigation}' which only has property annotations in the payload but no property value was found in the payload."
            ),
        ));
    };
    let text = match value {
        Value::Null => {
            if row.lookups.get(lookup.name).is_some_and(|reference| reference.table == target) {
                row.lookups.remove(lookup.name);
            }
            return Ok(());
        }
        Value::String(text) => text,
        _ => {
            return Err(ODataError::bad_payload(
                &table.set,
                format!("{navigation}@odata.bind must be a URL."),
            ));
        }
    };
    let wrong = || {
        ODataError::bad_payload(
            &table.set,
            format!("The value of {navigation}@odata.bind is not the URL of a row of table '{target}'."),
        )
    };
    let root = context.root();
    let path = text.strip_prefix(root.as_str()).or_else(|| text.strip_prefix('/')).unwrap_or(text);
    let path = path.strip_prefix("api/data/v9.2/").unwrap_or(path);
    let (set, key) = path.split_once('(').ok_or_else(wrong)?;
    let id = key.strip_suffix(')').filter(|id| id.len() == 36).and_then(|id| Uuid::parse_str(id).ok());
    let id = id.ok_or_else(wrong)?;
    if context.instance.catalog.table(target).is_none_or(|table| table.set != set) {
        return Err(wrong());
    }
    if context.data.get(target, id).is_none() {
        return Err(ODataError::no_row(target, id));
    }
    row.lookups.insert(lookup.name.to_owned(), RowReference { table: target.to_owned(), id });
    Ok(())
}

/// The status must belong to the state: Open 4; Completed 1, 2, 3; Canceled 5.
fn check_status(body: &Map<String, Value>, row: &mut Row, creating: bool) -> Result<(), ODataError> {
    if !body.contains_key("statecode") && !body.contains_key("statuscode") {
        return Ok(());
    }
    let number = |row: &Row, name: &str| row.values.get(name).and_then(Value::as_i64);
    let state = if creating { 0 } else { number(row, "statecode").unwrap_or(0) };
    if !body.contains_key("statuscode") {
        let default = [4, 1, 5][usize::try_from(state).unwrap_or(0).min(2)];
        row.values.insert("statuscode".to_owned(), json!(default));
    }
    let status = number(row, "statuscode").unwrap_or(4);
    if matches!((state, status), (0, 4) | (1, 1..=3) | (2, 5)) {
        return Ok(());
    }
    Err(ODataError::new(
        StatusCode::BAD_REQUEST,
        "0x80048408",
        format!("{status} is not a valid status code for state code {state} on socialactivity."),
    ))
}
