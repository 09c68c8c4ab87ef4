//! Reading rows: one by key, many by `$filter`, with `$select`, `$expand` and annotations.

use http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::{Answer, Refusal, empty_answer, json_answer, set_header};
use super::data::Row;
use super::filter::{Filter, Type};
use super::query::{Expand, Preferences, Query, parse_expand};
use super::tables::{Kind, Table};
use super::web_api::{Call, Context};

/// The largest page Dataverse gives.
pub(super) const MAX_PAGE: usize = 5000;

/// The columns and expansions of a request, checked against the table.
pub(super) struct Selection {
    names: Option<Vec<String>>,
    expands: Vec<Expand>,
}

impl Selection {
    pub fn of(context: &Context<'_>, table: &Table, query: &Query) -> Result<Self, Refusal> {
        let names = query.select()?;
        for name in names.iter().flatten() {
            if type_of(table, name).is_none() {
                return Err(no_property(table, name));
            }
        }
        let expands = query.get("$expand").map(parse_expand).transpose()?.unwrap_or_default();
        for expand in &expands {
            let target = table
                .navigation(&expand.name)
                .and_then(|(_, target)| context.instance.catalogue.table(target))
                .ok_or_else(|| no_property(table, &expand.name))?;
            for name in expand.select.iter().flatten() {
                if type_of(target, name).is_none() {
                    return Err(no_property(target, name));
                }
            }
            if expand.filter.is_some() {
                return Err(Refusal::bad_query(
                    "$filter is not supported when a single-valued property is expanded.",
                ));
            }
        }
        Ok(Self { names, expands })
    }

    /// The list in `@odata.context`.
    pub fn context(&self, table: &Table) -> String {
        match &self.names {
            None => table.set.clone(),
            Some(names) => format!("{}({})", table.set, names.join(",")),
        }
    }
}

fn no_property(table: &Table, name: &str) -> Refusal {
    Refusal::bad_query(format!(
        "Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{}'.",
        table.logical_name
    ))
}

/// Type of a readable property: a column, or `_lookup_value`.
pub(super) fn type_of(table: &Table, name: &str) -> Option<Type> {
    if table.lookup_of_value(name).is_some() {
        return Some(Type::Guid);
    }
    Some(match table.column(name)?.kind {
        Kind::Guid => Type::Guid,
        Kind::Text(_) => Type::Text,
        Kind::Choice(_) | Kind::Integer | Kind::Number => Type::Number,
        Kind::Flag => Type::Flag,
        Kind::Time => Type::Time,
    })
}

/// Value of a readable property.
pub(super) fn value_of(table: &Table, id: Uuid, row: &Row, name: &str) -> Value {
    if name == table.primary_id {
        return json!(id);
    }
    if name == "versionnumber" {
        return json!(row.version);
    }
    match table.lookup_of_value(name) {
        Some(lookup) => row.lookups.get(lookup.name).map_or(Value::Null, |target| json!(target.id)),
        None => row.values.get(name).cloned().unwrap_or(Value::Null),
    }
}

pub(super) fn etag(row: &Row) -> String {
    format!("W/\"{}\"", row.version)
}

/// One row as JSON. The key and the etag always come along; nulls are written out.
pub(super) fn render(
    context: &Context<'_>,
    table: &Table,
    id: Uuid,
    row: &Row,
    selection: &Selection,
    preferences: &Preferences,
) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("@odata.etag".to_owned(), json!(etag(row)));
    let all: Vec<String>;
    let names = if let Some(names) = &selection.names {
        names
    } else {
        let columns = table.columns.iter().map(|column| column.name.to_string());
        all = columns.chain(table.lookups.iter().map(|l| format!("_{}_value", l.name))).collect();
        &all
    };
    for name in names {
        if let Some(lookup) = table.lookup_of_value(name)
            && let Some(target) = row.lookups.get(lookup.name)
        {
            let navigation = lookup.targets.iter().find(|(_, table)| *table == target.table);
            for (annotation, value) in [
                ("Microsoft.Dynamics.CRM.lookuplogicalname", Some(target.table.as_str())),
                (
                    "Microsoft.Dynamics.CRM.associatednavigationproperty",
                    navigation.map(|(name, _)| name.as_str()),
                ),
            ] {
                if let Some(value) = value.filter(|_| preferences.wants(annotation)) {
                    object.insert(format!("{name}@{annotation}"), json!(value));
                }
            }
        }
        object.insert(name.clone(), value_of(table, id, row, name));
    }
    object.insert(table.primary_id.clone(), json!(id));
    for expand in &selection.expands {
        object.insert(expand.name.clone(), expanded(context, table, row, expand, preferences));
    }
    object
}

fn expanded(
    context: &Context<'_>,
    table: &Table,
    row: &Row,
    expand: &Expand,
    preferences: &Preferences,
) -> Value {
    let found = table.navigation(&expand.name).and_then(|(lookup, target)| {
        let reference = row.lookups.get(lookup.name).filter(|reference| reference.table == target)?;
        let target = context.instance.catalogue.table(target)?;
        let row = context.data.get(&reference.table, reference.id)?;
        let selection = Selection { names: expand.select.clone(), expands: Vec::new() };
        Some(Value::Object(render(context, target, reference.id, row, &selection, preferences)))
    });
    found.unwrap_or(Value::Null)
}

/// `GET set(key)`.
pub(super) fn read_one(
    context: &Context<'_>,
    table: &Table,
    id: Uuid,
    call: &Call<'_>,
    query: &Query,
    preferences: &Preferences,
) -> Result<Answer, Refusal> {
    query.allow_only(&["$select", "$expand"])?;
    let selection = Selection::of(context, table, query)?;
    let row =
        context.data.get(&table.logical_name, id).ok_or_else(|| Refusal::no_row(&table.logical_name, id))?;
    let known = call.headers.get("if-none-match").and_then(|value| value.to_str().ok());
    if known == Some(etag(row).as_str()) && selection.expands.is_empty() && preferences.annotations.is_empty()
    {
        return Ok(empty_answer(StatusCode::NOT_MODIFIED));
    }
    let mut object = render(context, table, id, row, &selection, preferences);
    let description = format!("{}$metadata#{}/$entity", context.root(), selection.context(table));
    object.insert("@odata.context".to_owned(), json!(description));
    let mut answer = json_answer(StatusCode::OK, &Value::Object(object));
    set_header(&mut answer, "etag", &etag(row));
    applied(&mut answer, preferences);
    Ok(answer)
}

/// Echoes the preferences that were honoured.
pub(super) fn applied(answer: &mut Answer, preferences: &Preferences) {
    if let Some(applied) = preferences.applied() {
        set_header(answer, "preference-applied", &applied);
    }
}

/// `GET set` without change tracking.
pub(super) fn list(
    context: &Context<'_>,
    table: &Table,
    call: &Call<'_>,
    query: &Query,
    preferences: &Preferences,
) -> Result<Answer, Refusal> {
    query.allow_only(&["$select", "$expand", "$filter", "$top", "$orderby", "$count", "$skiptoken"])?;
    let selection = Selection::of(context, table, query)?;
    let mut rows = filtered(context, table, query)?;
    order(table, query, &mut rows)?;
    let total = rows.len();
    let start = query
        .get("$skiptoken")
        .map(|token| token.parse::<usize>().map_err(|_| Refusal::bad_query("The $skiptoken is not valid.")))
        .transpose()?
        .unwrap_or(0);
    let top = query.number("$top")?;
    if top == Some(0) {
        return Err(Refusal::bad_query("$top must be greater than zero."));
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
    match query.get("$count") {
        None | Some("false") => {}
        Some("true") => {
            body.insert("@odata.count".to_owned(), json!(total.min(MAX_PAGE)));
        }
        Some(other) => return Err(Refusal::bad_query(format!("$count={other} is neither true nor false."))),
    }
    if start + values.len() < end {
        let next = (start + values.len()).to_string();
        body.insert("@odata.nextLink".to_owned(), json!(next_link(context, call, "$skiptoken", &next)));
    }
    body.insert("value".to_owned(), Value::Array(values));
    let mut answer = json_answer(StatusCode::OK, &Value::Object(body));
    applied(&mut answer, preferences);
    Ok(answer)
}

fn filtered<'a>(
    context: &'a Context<'_>,
    table: &Table,
    query: &Query,
) -> Result<Vec<(Uuid, &'a Row)>, Refusal> {
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

fn order(table: &Table, query: &Query, rows: &mut [(Uuid, &Row)]) -> Result<(), Refusal> {
    let Some(text) = query.get("$orderby") else { return Ok(()) };
    // Sorting is stable, so the last criterion goes first.
    for criterion in text.split(',').rev() {
        let (name, descending) = match criterion.trim().split_once(' ') {
            None => (criterion.trim(), false),
            Some((name, "asc")) => (name, false),
            Some((name, "desc")) => (name, true),
            Some(_) => return Err(Refusal::bad_query(format!("Syntax error in $orderby at '{criterion}'."))),
        };
        let kind = type_of(table, name).ok_or_else(|| no_property(table, name))?;
        rows.sort_by(|(a, left), (b, right)| {
            let (left, right) = (value_of(table, *a, left, name), value_of(table, *b, right, name));
            let ordering = if kind == Type::Number {
                left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(std::cmp::Ordering::Equal)
            } else if kind == Type::Flag {
                left.as_bool().cmp(&right.as_bool())
            } else {
                left.as_str().cmp(&right.as_str())
            };
            if descending { ordering.reverse() } else { ordering }
        });
    }
    Ok(())
}

/// The request's own URL with one option replaced; links are opaque to clients, so encoding is free.
pub(super) fn next_link(context: &Context<'_>, call: &Call<'_>, option: &str, value: &str) -> String {
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    for (name, old) in url::form_urlencoded::parse(call.query.as_bytes()) {
        if !matches!(name.as_ref(), "$skiptoken" | "$deltatoken") {
            pairs.append_pair(&name, &old);
        }
    }
    pairs.append_pair(option, value);
    format!("{}{}?{}", context.root(), call.path, pairs.finish())
}
