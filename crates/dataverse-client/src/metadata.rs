//! Tables: which exist, how they are addressed, and whether a social activity can be regarding their rows (R4).

use std::collections::HashMap;

use http::StatusCode;
use serde::Deserialize;

use super::answer::one_line;
use super::batch::{MOST, Read};
use super::client::Instance;
use super::error::{Error, Kind, Rubbish};
use super::exchange::Answer;
use super::row::is_name;

/// What is known of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordTypeMetadata {
    /// Logical name, as asked.
    pub logical_name: String,
    /// Whether the table exists. If not, everything below is empty.
    pub exists: bool,
    /// How its rows are addressed (`incidents`).
    pub entity_set_name: String,
    /// Its id column (`incidentid`).
    pub primary_id_attribute: String,
    /// Its name for people, in the application user's language.
    pub display_name: Option<String>,
    /// Whether an activity can be regarding a row of it, so that links to it can be made.
    pub related_to_social_activity: bool,
    /// The property that points from the activity to it; absent if not related.
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
    /// Reads the metadata of tables, in one request whatever their number (at most 999; more are an error). The result
    /// has one entry per table, in order; a table that is gone is an entry, not an error.
    pub async fn metadata(&self, tables: &[String]) -> Result<Vec<RecordTypeMetadata>, Error> {
        let asked: Vec<&String> = tables.iter().filter(|t| is_name(t)).collect();
        if asked.len() >= MOST {
            return Err(self.api.error(Kind::RecordTypeUnknown));
        }
        let relationships = Read { path: RELATIONSHIPS.to_owned(), prefer: None };
        let definitions = asked.iter().map(|table| Read {
            path: format!(
                "EntityDefinitions(LogicalName='{table}')\
                 ?$select=LogicalName,EntitySetName,PrimaryIdAttribute,DisplayName"
            ),
            prefer: None,
        });
        let reads: Vec<Read> = std::iter::once(relationships).chain(definitions).collect();
        let answers = self.api.batch(&reads).await?;
        let fail = |kind| self.api.error(kind);
        let mut answers = answers.iter();
        let related = match answers.next() {
            Some(answer) => regarding_properties(answer).map_err(fail)?,
            None => HashMap::new(),
        };
        let mut found = HashMap::new();
        for (table, answer) in asked.into_iter().zip(answers) {
            found.insert(table, definition(answer, table).map_err(fail)?);
        }
        Ok(tables
            .iter()
            .map(|table| match found.get(table) {
                Some(Some(definition)) => definition.described(table, &related),
                _ => RecordTypeMetadata::missing(table),
            })
            .collect())
    }
}

/// Table → property, for every table a social activity can be regarding.
fn regarding_properties(answer: &Answer) -> Result<HashMap<String, Option<String>>, Kind> {
    let Relationships { value } = answer.json()?;
    Ok(value
        .into_iter()
        .filter(|r| r.referencing_attribute.eq_ignore_ascii_case("regardingobjectid"))
        .map(|r| {
            let property = r.referencing_entity_navigation_property_name.filter(|p| is_name(p));
            (r.referenced_entity.to_ascii_lowercase(), property)
        })
        .collect())
}

/// The table's definition; `None` if the Web API itself says that there is none.
fn definition(answer: &Answer, table: &str) -> Result<Option<Definition>, Kind> {
    let kind = match answer.json::<Definition>() {
        Ok(definition) => {
            let fits = definition.logical_name.eq_ignore_ascii_case(table)
                && is_name(&definition.entity_set_name)
                && is_name(&definition.primary_id_attribute);
            return if fits { Ok(Some(definition)) } else { Err(other_row(answer)) };
        }
        Err(kind) => kind,
    };
    match kind {
        Kind::RecordNotFound | Kind::RecordTypeUnknown => Ok(None),
        // The code for an unknown table differs between versions; a 404 in the Web API's own words is enough here,
        // where nothing is ever deleted on the strength of it.
        Kind::Other { .. } if answer.status == StatusCode::NOT_FOUND && answer.told_by_web_api() => Ok(None),
        kind => Err(kind),
    }
}

fn other_row(answer: &Answer) -> Kind {
    Kind::Rubbish { status: answer.status.as_u16(), why: Rubbish::OtherRow }
}

impl Definition {
    fn described(&self, table: &str, related: &HashMap<String, Option<String>>) -> RecordTypeMetadata {
        let label =
            self.display_name.as_ref().and_then(|d| d.user_localized_label.as_ref()?.label.as_deref());
        let property = related.get(&table.to_ascii_lowercase());
        RecordTypeMetadata {
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

impl RecordTypeMetadata {
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
