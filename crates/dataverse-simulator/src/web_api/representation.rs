//! Rows as JSON: `$select`, `$expand`, annotations, links.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::data::Row;
use crate::odata::filter::PropertyType;
use crate::odata::preferences::Preferences;
use crate::odata::query::{Expand, Query, parse_expand};
use crate::response::{HttpResponse, ODataError, set_header};
use crate::tables::{ColumnType, Table};
use crate::web_api::request::{Context, Operation};

/// The largest page of Dataverse.
pub(crate) const MAX_PAGE: usize = 5000;

/// `$select` and `$expand` of a request, checked against the table.
pub(crate) struct Selection {
    names: Option<Vec<String>>,
    expands: Vec<Expand>,
}

impl Selection {
    pub fn of(context: &Context<'_>, table: &Table, query: &Query) -> Result<Self, ODataError> {
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
                .and_then(|(_, target)| context.instance.catalog.table(target))
                .ok_or_else(|| no_property(table, &expand.name))?;
            for name in expand.select.iter().flatten() {
                if type_of(target, name).is_none() {
                    return Err(no_property(target, name));
                }
            }
            if expand.filter.is_some() {
                return Err(ODataError::bad_query(
                    "$filter is not supported when a single-valued property is expanded.",
                ));
            }
        }
        Ok(Self { names, expands })
    }

    /// Whether nothing is expanded.
    pub fn is_flat(&self) -> bool {
        self.expands.is_empty()
    }

    /// The entity set and columns for `@odata.context`.
    pub fn context(&self, table: &Table) -> String {
        match &self.names {
            None => table.set.clone(),
            Some(names) => format!("{}({})", table.set, names.join(",")),
        }
    }
}

pub(crate) fn no_property(table: &Table, name: &str) -> ODataError {
    ODataError::bad_query(format!(
        "Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{}'.",
        table.logical_name
    ))
}

/// The type of a readable property: a column or `_lookup_value`.
pub(crate) fn type_of(table: &Table, name: &str) -> Option<PropertyType> {
    if table.lookup_of_value(name).is_some() {
        return Some(PropertyType::Guid);
    }
    Some(match table.column(name)?.kind {
        ColumnType::Guid => PropertyType::Guid,
        ColumnType::Text(_) => PropertyType::Text,
        ColumnType::Choice(_) | ColumnType::Integer | ColumnType::Number => PropertyType::Number,
        ColumnType::Flag => PropertyType::Flag,
        ColumnType::Time => PropertyType::Time,
    })
}

/// The value of a readable property.
pub(crate) fn value_of(table: &Table, id: Uuid, row: &Row, name: &str) -> Value {
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

/// The ETag of a row.
pub(crate) fn etag(row: &Row) -> String {
    format!("W/\"{}\"", row.version)
}

/// One row as JSON. The key and the ETag are always included, and nulls are written.
pub(crate) fn render(
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
        let target = context.instance.catalog.table(target)?;
        let row = context.data.get(&reference.table, reference.id)?;
        let selection = Selection { names: expand.select.clone(), expands: Vec::new() };
        Some(Value::Object(render(context, target, reference.id, row, &selection, preferences)))
    });
    found.unwrap_or(Value::Null)
}

/// Sets `Preference-Applied`.
pub(crate) fn set_applied(response: &mut HttpResponse, preferences: &Preferences) {
    if let Some(applied) = preferences.applied() {
        set_header(response, "preference-applied", &applied);
    }
}

/// The URL of the request with another token. Links are opaque to clients, so its encoding may differ.
pub(crate) fn next_link(
    context: &Context<'_>,
    operation: &Operation<'_>,
    option: &str,
    value: &str,
) -> String {
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    for (name, old) in url::form_urlencoded::parse(operation.query.as_bytes()) {
        if !matches!(name.as_ref(), "$skiptoken" | "$deltatoken") {
            pairs.append_pair(&name, &old);
        }
    }
    pairs.append_pair(option, value);
    format!("{}{}?{}", context.root(), operation.path, pairs.finish())
}
