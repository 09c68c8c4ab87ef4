//! Table metadata: existence, names, and the relationship to social activities.

use std::collections::HashMap;

use http::StatusCode;
use serde::Deserialize;

use crate::batch::{MAX_READS, Read};
use crate::client::Instance;
use crate::error::{Error, ErrorKind, UnexpectedResponse};
use crate::response::one_line;
use crate::row::is_name;
use crate::transport::HttpResponse;

/// Metadata of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableMetadata {
    /// Logical name, as requested.
    pub logical_name: String,
    /// Whether the table exists. If not, all other fields are empty.
    pub exists: bool,
    /// Entity set, as used in URLs (`incidents`).
    pub entity_set_name: String,
    /// Primary id column (`incidentid`).
    pub primary_id_attribute: String,
    /// Display name in the application user's language.
    pub display_name: Option<String>,
    /// Whether social activities can be regarding its rows.
    pub related_to_social_activity: bool,
    /// Navigation property from the activity to this table; `None` if not related.
    pub navigation_property: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    logical_name: String,
    entity_set_name: String,
    primary_id_attribute: String,
    #[serde(default)]
    display_name: Option<Label>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Label {
    #[serde(default)]
    user_localized_label: Option<LocalizedLabel>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LocalizedLabel {
    label: Option<String>,
}

#[derive(Deserialize)]
struct Relationships {
    value: Vec<Relationship>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Relationship {
    referenced_entity: String,
    referencing_attribute: String,
    #[serde(default)]
    referencing_entity_navigation_property_name: Option<String>,
}

const RELATIONSHIPS: &str = "EntityDefinitions(LogicalName='socialactivity')/ManyToOneRelationships\
    ?$select=ReferencedEntity,ReferencingAttribute,ReferencingEntityNavigationPropertyName";

impl Instance {
    /// Reads the metadata of at most 999 tables in one batch; more are an error. The result has one entry per table, in
    /// order. A table that does not exist is an entry with `exists: false`, not an error.
    pub async fn metadata(&self, tables: &[String]) -> Result<Vec<TableMetadata>, Error> {
        let valid: Vec<&String> = tables.iter().filter(|t| is_name(t)).collect();
        if valid.len() >= MAX_READS {
            return Err(self.api.error(ErrorKind::UnknownTable));
        }
        let relationships = Read { path: RELATIONSHIPS.to_owned(), prefer: None };
        let definitions = valid.iter().map(|table| Read {
            path: format!(
                "EntityDefinitions(LogicalName='{table}')\
                 ?$select=LogicalName,EntitySetName,PrimaryIdAttribute,DisplayName"
            ),
            prefer: None,
        });
        let reads: Vec<Read> = std::iter::once(relationships).chain(definitions).collect();
        let responses = self.api.batch(&reads).await?;
        let fail = |kind| self.api.error(kind);
        let mut responses = responses.iter();
        let related = match responses.next() {
            Some(response) => regarding_properties(response).map_err(fail)?,
            None => HashMap::new(),
        };
        let mut found = HashMap::new();
        for (table, response) in valid.into_iter().zip(responses) {
            found.insert(table, definition(response, table).map_err(fail)?);
        }
        Ok(tables
            .iter()
            .map(|table| match found.get(table) {
                Some(Some(definition)) => definition.described(table, &related),
                _ => TableMetadata::missing(table),
            })
            .collect())
    }
}

/// Navigation property by table, for every table a social activity can be regarding.
fn regarding_properties(response: &HttpResponse) -> Result<HashMap<String, Option<String>>, ErrorKind> {
    let Relationships { value } = response.json()?;
    Ok(value
        .into_iter()
        .filter(|r| r.referencing_attribute.eq_ignore_ascii_case("regardingobjectid"))
        .map(|r| {
            let property = r.referencing_entity_navigation_property_name.filter(|p| is_name(p));
            (r.referenced_entity.to_ascii_lowercase(), property)
        })
        .collect())
}

/// The definition of a table; `None` if the Web API reports that it does not exist.
fn definition(response: &HttpResponse, table: &str) -> Result<Option<Definition>, ErrorKind> {
    let kind = match response.json::<Definition>() {
        Ok(definition) => {
            let fits = definition.logical_name.eq_ignore_ascii_case(table)
                && is_name(&definition.entity_set_name)
                && is_name(&definition.primary_id_attribute);
            return if fits { Ok(Some(definition)) } else { Err(other_row(response)) };
        }
        Err(kind) => kind,
    };
    match kind {
        ErrorKind::RecordNotFound | ErrorKind::UnknownTable => Ok(None),
        // The code for an unknown table differs between versions. Any 404 with an error body is accepted here, since
        // metadata is no evidence of a missing row.
        ErrorKind::Other { .. } if response.status == StatusCode::NOT_FOUND && response.has_error_body() => {
            Ok(None)
        }
        kind => Err(kind),
    }
}

fn other_row(response: &HttpResponse) -> ErrorKind {
    ErrorKind::UnexpectedResponse { status: response.status.as_u16(), reason: UnexpectedResponse::OtherRow }
}

impl Definition {
    fn described(&self, table: &str, related: &HashMap<String, Option<String>>) -> TableMetadata {
        let label =
            self.display_name.as_ref().and_then(|d| d.user_localized_label.as_ref()?.label.as_deref());
        let property = related.get(&table.to_ascii_lowercase());
        TableMetadata {
            logical_name: table.to_owned(),
            exists: true,
            entity_set_name: self.entity_set_name.clone(),
            primary_id_attribute: self.primary_id_attribute.clone(),
            display_name: label.map(|l| one_line(l, 128)),
            related_to_social_activity: property.is_some(),
            navigation_property: property.cloned().flatten(),
        }
    }
}

impl TableMetadata {
    fn missing(table: &str) -> Self {
        Self {
            logical_name: table.to_owned(),
            exists: false,
            entity_set_name: String::new(),
            primary_id_attribute: String::new(),
            display_name: None,
            related_to_social_activity: false,
            navigation_property: None,
        }
    }
}
