//! `EntityDefinitions`: the tables, their columns and relationships.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::odata::filter::{Filter, PropertyType};
use crate::odata::query::{Query, parse_expand};
use crate::response::{HttpResponse, ODataError, json_response};
use crate::tables::{ACTIVITY, ColumnType, Table, Writable, regarding_navigation};
use crate::web_api::request::Context;

/// `GET EntityDefinitions(key)/rest`.
pub(crate) fn entity_definitions(
    context: &Context<'_>,
    method: &Method,
    key: Option<&str>,
    rest: Option<&str>,
    query: &Query,
) -> Result<HttpResponse, ODataError> {
    if method != Method::GET {
        return Err(ODataError::method_not_allowed("GET"));
    }
    let Some(key) = key else {
        query.allow_only(&["$select", "$filter", "$expand"])?;
        let mut tables = Vec::new();
        for table in context.instance.catalog.iter() {
            let definition = definition(context, table);
            if passes(query.get("$filter"), &definition)? {
                tables.push(shown(context, table, &definition, query)?);
            }
        }
        return Ok(collection(context, "EntityDefinitions", &tables));
    };
    let name = key
        .strip_prefix("LogicalName='")
        .and_then(|name| name.strip_suffix('\''))
        .map(str::to_lowercase)
        .ok_or_else(|| ODataError::bad_query(format!("'{key}' is not a key of EntityDefinitions.")))?;
    let Some(table) = context.instance.catalog.table(&name) else {
        return Err(ODataError::new(
            StatusCode::NOT_FOUND,
            "0x80040217",
            format!("Could not find an entity with name {name} and id {}.", Uuid::nil()),
        ));
    };
    let Some(rest) = rest else {
        query.allow_only(&["$select", "$expand"])?;
        let mut object = shown(context, table, &definition(context, table), query)?;
        object.insert(
            "@odata.context".to_owned(),
            json!(format!("{}$metadata#EntityDefinitions/$entity", context.root())),
        );
        return Ok(json_response(StatusCode::OK, &Value::Object(object)));
    };
    query.allow_only(&["$select", "$filter"])?;
    let items = related(context, table, rest).ok_or_else(|| ODataError::no_segment(rest))?;
    let select = query.select()?;
    let items = narrowed(items, select.as_deref(), query.get("$filter"))?;
    Ok(collection(context, &format!("EntityDefinitions('{}')/{rest}", table.logical_name), &items))
}

fn collection(context: &Context<'_>, name: &str, values: &[Map<String, Value>]) -> HttpResponse {
    let body = json!({
        "@odata.context": format!("{}$metadata#{name}", context.root()),
        "value": values,
    });
    json_response(StatusCode::OK, &body)
}

fn shown(
    context: &Context<'_>,
    table: &Table,
    definition: &Map<String, Value>,
    query: &Query,
) -> Result<Map<String, Value>, ODataError> {
    let select = query.select()?;
    let mut object = selected(definition, select.as_deref())?;
    for expand in query.get("$expand").map(parse_expand).transpose()?.unwrap_or_default() {
        let items = related(context, table, &expand.name).ok_or_else(|| no_property(&expand.name))?;
        let items = narrowed(items, expand.select.as_deref(), expand.filter.as_deref())?;
        object.insert(expand.name, json!(items));
    }
    Ok(object)
}

fn no_property(name: &str) -> ODataError {
    ODataError::bad_query(format!(
        "Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.EntityMetadata'."
    ))
}

fn narrowed(
    items: Vec<Map<String, Value>>,
    select: Option<&[String]>,
    filter: Option<&str>,
) -> Result<Vec<Map<String, Value>>, ODataError> {
    let mut kept = Vec::new();
    for item in items {
        if passes(filter, &item)? {
            kept.push(selected(&item, select)?);
        }
    }
    Ok(kept)
}

/// The selected properties, always with `MetadataId`.
fn selected(
    object: &Map<String, Value>,
    select: Option<&[String]>,
) -> Result<Map<String, Value>, ODataError> {
    let Some(select) = select else { return Ok(object.clone()) };
    let mut shown = Map::new();
    for name in select.iter().map(String::as_str).chain(["MetadataId"]) {
        let value = object.get(name).ok_or_else(|| no_property(name))?;
        shown.insert(name.to_owned(), value.clone());
    }
    Ok(shown)
}

fn passes(filter: Option<&str>, object: &Map<String, Value>) -> Result<bool, ODataError> {
    let Some(filter) = filter else { return Ok(true) };
    let types = |name: &str| match object.get(name)? {
        Value::Bool(_) => Some(PropertyType::Flag),
        Value::Number(_) => Some(PropertyType::Number),
        Value::String(_) if name == "MetadataId" => Some(PropertyType::Guid),
        Value::String(_) | Value::Null => Some(PropertyType::Text),
        Value::Array(_) | Value::Object(_) => None,
    };
    let filter = Filter::parse(filter, &types, false)?;
    Ok(filter.matches(&|name| object.get(name).cloned().unwrap_or(Value::Null)))
}

fn metadata_id(context: &Context<'_>, name: &str) -> Uuid {
    Uuid::new_v5(&context.instance.spec.organization.id, format!("metadata/{name}").as_bytes())
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn definition(context: &Context<'_>, table: &Table) -> Map<String, Value> {
    let label = json!({
        "LocalizedLabels": [{"Label": table.logical_name, "LanguageCode": context.instance.spec.organization.language_code}],
        "UserLocalizedLabel": {"Label": table.logical_name, "LanguageCode": context.instance.spec.organization.language_code},
    });
    map(json!({
        "LogicalName": table.logical_name,
        "SchemaName": table.logical_name,
        "LogicalCollectionName": table.set,
        "EntitySetName": table.set,
        "PrimaryIdAttribute": table.primary_id,
        "PrimaryNameAttribute": table.primary_name,
        "ObjectTypeCode": table.type_code,
        "IsActivity": table.is_activity(),
        "HasActivities": table.has_activities,
        "IsCustomEntity": table.is_custom,
        "IsIntersect": false,
        "IsValidForAdvancedFind": true,
        "ChangeTrackingEnabled": context.instance.spec.change_tracking,
        "DisplayName": label,
        "DisplayCollectionName": label,
        "OwnershipType": "UserOwned",
        "MetadataId": metadata_id(context, &table.logical_name),
    }))
}

fn related(context: &Context<'_>, table: &Table, what: &str) -> Option<Vec<Map<String, Value>>> {
    match what {
        "Attributes" => Some(attributes(context, table)),
        "ManyToOneRelationships" => Some(relationships(context, |one, many, _| {
            many == table.logical_name && context.instance.catalog.table(one).is_some()
        })),
        "OneToManyRelationships" => {
            Some(relationships(context, |one, many, _| one == table.logical_name && many != one))
        }
        _ => None,
    }
}

fn attributes(context: &Context<'_>, table: &Table) -> Vec<Map<String, Value>> {
    let attribute = |name: &str, kind: &str, limit: Option<usize>, create: bool, update: bool| {
        let mut object = map(json!({
            "LogicalName": name,
            "SchemaName": name,
            "EntityLogicalName": table.logical_name,
            "AttributeType": kind,
            "IsValidForCreate": create,
            "IsValidForUpdate": update,
            "IsValidForRead": true,
            "IsPrimaryId": name == table.primary_id,
            "IsPrimaryName": Some(name) == table.primary_name.as_deref(),
            "MetadataId": metadata_id(context, &format!("{}/{name}", table.logical_name)),
        }));
        if let Some(limit) = limit {
            object.insert("MaxLength".to_owned(), json!(limit));
        }
        object
    };
    let columns = table.columns.iter().map(|column| {
        let (kind, limit) = match column.kind {
            ColumnType::Guid => ("Uniqueidentifier", None),
            ColumnType::Text(limit) if limit >= 2000 => ("Memo", Some(limit)),
            ColumnType::Text(limit) => ("String", Some(limit)),
            ColumnType::Choice(_) if column.name == "statecode" => ("State", None),
            ColumnType::Choice(_) if column.name == "statuscode" => ("Status", None),
            ColumnType::Choice(_) => ("Picklist", None),
            ColumnType::Integer => ("BigInt", None),
            ColumnType::Number => ("Double", None),
            ColumnType::Flag => ("Boolean", None),
            ColumnType::Time => ("DateTime", None),
        };
        let create = matches!(column.writable, Writable::Always | Writable::OnCreate);
        let update = matches!(column.writable, Writable::Always | Writable::OnUpdate);
        attribute(&column.name, kind, limit, create, update)
    });
    let lookups = table.lookups.iter().map(|l| attribute(l.name, "Lookup", None, l.writable, l.writable));
    columns.chain(lookups).collect()
}

/// All relationships that `pass`, called with the one side, the many side and the lookup.
fn relationships(context: &Context<'_>, pass: impl Fn(&str, &str, &str) -> bool) -> Vec<Map<String, Value>> {
    let mut found = Vec::new();
    for many in context.instance.catalog.iter() {
        for lookup in &many.lookups {
            for (navigation, one) in &lookup.targets {
                let Some(one) = context.instance.catalog.table(one) else { continue };
                if !pass(&one.logical_name, &many.logical_name, lookup.name) {
                    continue;
                }
                let regarding =
                    many.logical_name == ACTIVITY && *navigation == regarding_navigation(&one.logical_name);
                let schema_name = if regarding {
                    format!("{}_SocialActivities", one.logical_name)
                } else {
                    format!("{}_{}_{}", many.logical_name, lookup.name, one.logical_name)
                };
                let cascade = regarding && context.instance.spec.cascade_delete;
                found.push(map(json!({
                    "SchemaName": schema_name,
                    "ReferencedEntity": one.logical_name,
                    "ReferencedAttribute": one.primary_id,
                    "ReferencedEntityNavigationPropertyName": schema_name,
                    "ReferencingEntity": many.logical_name,
                    "ReferencingAttribute": lookup.name,
                    "ReferencingEntityNavigationPropertyName": navigation,
                    "RelationshipType": "OneToManyRelationship",
                    "IsCustomRelationship": one.is_custom,
                    "CascadeConfiguration": {"Delete": if cascade { "Cascade" } else { "RemoveLink" }},
                    "MetadataId": metadata_id(context, &format!("relationship/{schema_name}")),
                })));
            }
        }
    }
    found
}
