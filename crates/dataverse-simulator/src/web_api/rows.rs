//! Reading rows: one by key, or many by `$filter`.

use http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::data::Row;
use crate::odata::filter::{Filter, PropertyType};
use crate::odata::preferences::Preferences;
use crate::odata::query::Query;
use crate::response::{HttpResponse, ODataError, empty_response, json_response, set_header};
use crate::tables::Table;
use crate::web_api::representation::{
    MAX_PAGE, Selection, etag, next_link, no_property, render, set_applied, type_of, value_of,
};
use crate::web_api::request::{Context, Operation};

/// `GET set(key)`.
pub(crate) fn read_one(
    context: &Context<'_>,
    table: &Table,
    id: Uuid,
    operation: &Operation<'_>,
    query: &Query,
    preferences: &Preferences,
) -> Result<HttpResponse, ODataError> {
    query.allow_only(&["$select", "$expand"])?;
    let selection = Selection::of(context, table, query)?;
    let row = context
        .data
        .get(&table.logical_name, id)
        .ok_or_else(|| ODataError::no_row(&table.logical_name, id))?;
    let known = operation.headers.get("if-none-match").and_then(|value| value.to_str().ok());
    if known == Some(etag(row).as_str()) && selection.is_flat() && preferences.annotations.is_empty() {
        return Ok(empty_response(StatusCode::NOT_MODIFIED));
    }
    let mut object = render(context, table, id, row, &selection, preferences);
    let description = format!("{}$metadata#{}/$entity", context.root(), selection.context(table));
    object.insert("@odata.context".to_owned(), json!(description));
    let mut response = json_response(StatusCode::OK, &Value::Object(object));
    set_header(&mut response, "etag", &etag(row));
    set_applied(&mut response, preferences);
    Ok(response)
}

/// `GET set` without change tracking.
pub(crate) fn list(
    context: &Context<'_>,
    table: &Table,
    operation: &Operation<'_>,
    query: &Query,
    preferences: &Preferences,
) -> Result<HttpResponse, ODataError> {
    query.allow_only(&["$select", "$expand", "$filter", "$top", "$orderby", "$skiptoken"])?;
    let selection = Selection::of(context, table, query)?;
    let mut rows = filtered(context, table, query)?;
    order(table, query, &mut rows)?;
    let total = rows.len();
    let start = query
        .get("$skiptoken")
        .map(|token| {
            token.parse::<usize>().map_err(|_| ODataError::bad_query("The $skiptoken is not valid."))
        })
        .transpose()?
        .unwrap_or(0);
    let top = query.number("$top")?;
    if top == Some(0) {
        return Err(ODataError::bad_query("$top must be greater than zero."));
    }
    let page = preferences.page_size.unwrap_or(MAX_PAGE).min(MAX_PAGE);
    let end = top.map_or(total, |top| top.min(total));
    let shown = rows.iter().take(end).skip(start).take(page);
    let values: Vec<Value> = shown
        .map(|(id, row)| Value::Object(render(context, table, *id, row, &selection, preferences)))
        .collect();
    let mut body = Map::new();
    body.insert(
        "@odata.context".to_owned(),
        json!(format!("{}$metadata#{}", context.root(), selection.context(table))),
    );
    if start + values.len() < end {
        let next = (start + values.len()).to_string();
        body.insert("@odata.nextLink".to_owned(), json!(next_link(context, operation, "$skiptoken", &next)));
    }
    body.insert("value".to_owned(), Value::Array(values));
    let mut response = json_response(StatusCode::OK, &Value::Object(body));
    set_applied(&mut response, preferences);
    Ok(response)
}

fn filtered<'a>(
    context: &'a Context<'_>,
    table: &Table,
    query: &Query,
) -> Result<Vec<(Uuid, &'a Row)>, ODataError> {
    let name = &table.logical_name;
    let Some(text) = query.get("$filter") else { return Ok(context.data.rows(name).collect()) };
    let filter = Filter::parse(text, &|property| type_of(table, property), true)?;
    if let Some(keys) = filter.keys(&table.primary_id) {
        return Ok(keys.into_iter().filter_map(|id| Some((id, context.data.get(name, id)?))).collect());
    }
    Ok(context
        .data
        .rows(name)
        .filter(|(id, row)| filter.matches(&|property| value_of(table, *id, row, property)))
        .collect())
}

fn order(table: &Table, query: &Query, rows: &mut [(Uuid, &Row)]) -> Result<(), ODataError> {
    let Some(text) = query.get("$orderby") else { return Ok(()) };
    // Sorting is stable, so the rows are sorted by the last criterion first.
    for criterion in text.split(',').rev() {
        let (name, descending) = match criterion.trim().split_once(' ') {
            None => (criterion.trim(), false),
            Some((name, "asc")) => (name, false),
            Some((name, "desc")) => (name, true),
            Some(_) => {
                return Err(ODataError::bad_query(format!("Syntax error in $orderby at '{criterion}'.")));
            }
        };
        let kind = type_of(table, name).ok_or_else(|| no_property(table, name))?;
        rows.sort_by(|(a, left), (b, right)| {
            let (left, right) = (value_of(table, *a, left, name), value_of(table, *b, right, name));
            let ordering = if kind == PropertyType::Number {
                left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(std::cmp::Ordering::Equal)
            } else if kind == PropertyType::Flag {
                left.as_bool().cmp(&right.as_bool())
            } else {
                left.as_str().cmp(&right.as_str())
            };
            if descending { ordering.reverse() } else { ordering }
        });
    }
    Ok(())
}
