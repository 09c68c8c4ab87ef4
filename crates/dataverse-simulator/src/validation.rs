//! What is wrong with a document that describes a simulated instance, field by field.

use std::collections::BTreeSet;

use super::assertion::Certificate;
use super::clouds::service_at;
use super::document::{ConvertsTo, KIND, SimulatedInstanceDocument, SimulatedInstanceSpec};
use super::tables::BUILT_IN;

/// Something in a document that cannot be simulated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct DocumentError {
    /// Path of the field, e.g. `spec.tables[1].logicalName`.
    pub field: String,
    /// A sentence that says what to do.
    pub message: String,
}

impl SimulatedInstanceDocument {
    /// Everything that is wrong with the document by itself, in the order of its fields.
    ///
    /// # Errors
    /// All faults found, never an empty list.
    pub fn validate(&self) -> Result<(), Vec<DocumentError>> {
        let mut faults = Faults::default();
        if self.kind != KIND {
            faults.add("kind", format!("must be {KIND}"));
        }
        if self.metadata.name.is_empty() {
            faults.add("metadata.name", "must not be empty");
        }
        self.spec.validate(&mut faults);
        if faults.0.is_empty() { Ok(()) } else { Err(faults.0) }
    }
}

#[derive(Default)]
struct Faults(Vec<DocumentError>);

impl Faults {
    fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(DocumentError { field: field.into(), message: message.into() });
    }
}

impl SimulatedInstanceSpec {
    fn validate(&self, faults: &mut Faults) {
        self.validate_host(faults);
        self.validate_organization(faults);
        self.validate_tables(faults);
        let activity_tables = self.tables_with_activities();
        if let ConvertsTo::Table(table) = &self.converts_to
            && !activity_tables.contains(table.as_str())
        {
            faults.add(
                "spec.convertsTo",
                format!(
                    "{table:?} is not Preferred, None or a table of this instance that is related to activities ({})",
                    activity_tables.iter().copied().collect::<Vec<_>>().join(", ")
                ),
            );
        }
        if let Some(throttle) = self.throttle {
            if throttle.requests_per_five_minutes == 0 {
                faults.add("spec.throttle.requestsPerFiveMinutes", "must be at least 1");
            }
            if throttle.concurrent == 0 {
                faults.add("spec.throttle.concurrent", "must be at least 1");
            }
        }
        if self.client_secret.as_deref() == Some("") {
            faults.add("spec.clientSecret", "must not be empty; leave it out to accept any secret");
        }
        if self.client_certificate.as_deref().is_some_and(|pem| Certificate::read(pem).is_none()) {
            faults.add("spec.clientCertificate", "must be one X.509 certificate in PEM");
        }
        let known: BTreeSet<&str> = self.table_names().collect();
        let mut rows = BTreeSet::new();
        for (index, record) in self.records.iter().enumerate() {
            if !known.contains(record.table.as_str()) {
                faults.add(
                    format!("spec.records[{index}].table"),
                    format!("this instance has no table {:?}; add it to spec.tables", record.table),
                );
            }
            if !rows.insert((record.table.as_str(), record.id)) {
                faults.add(format!("spec.records[{index}].id"), "this row is already listed");
            }
        }
        for (index, change) in self.changes.iter().enumerate() {
            if change.post.is_empty() {
                faults.add(format!("spec.changes[{index}].post"), "must be the spec.post.id of a post");
            }
        }
    }

    fn validate_host(&self, faults: &mut Faults) {
        let is_name =
            matches!(url::Host::parse(&self.host), Ok(url::Host::Domain(name)) if name == self.host);
        if !is_name {
            faults.add(
                "spec.host",
                format!(
                    "{:?} is not a lower-case host name without scheme, port and path, like contoso.crm.dynamics.com",
                    self.host
                ),
            );
        } else if service_at(&self.host).is_some() {
            faults.add("spec.host", format!("{} is served by the simulated world itself", self.host));
        }
    }

    fn validate_organization(&self, faults: &mut Faults) {
        let organization = &self.organization;
        if organization.id.is_nil() {
            faults.add("spec.organization.id", "must not be the empty GUID");
        }
        if organization.name.is_empty() || organization.name.encode_utf16().count() > 160 {
            faults.add("spec.organization.name", "must have 1 to 160 characters");
        }
        if organization.unique_name.is_empty() {
            faults.add("spec.organization.uniqueName", "must not be empty");
        }
        if organization.language_code <= 0 {
            faults.add("spec.organization.languageCode", "must be an LCID like 1033");
        }
        let numbers: Vec<&str> = organization.version.split('.').collect();
        if numbers.len() != 4 || numbers.iter().any(|number| number.parse::<u32>().is_err()) {
            faults.add("spec.organization.version", "must be four numbers like 9.2.24101.00197");
        }
    }

    fn validate_tables(&self, faults: &mut Faults) {
        let mut names: BTreeSet<&str> = BUILT_IN.iter().map(|(table, _)| *table).collect();
        let mut sets: BTreeSet<&str> = BUILT_IN.iter().map(|(_, set)| *set).collect();
        for (index, table) in self.tables.iter().enumerate() {
            let mut check = |field: &str, name: &str| {
                let mut letters = name.chars();
                let fine = letters.next().is_some_and(|first| first.is_ascii_lowercase())
                    && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
                if !fine {
                    faults.add(
                        format!("spec.tables[{index}].{field}"),
                        format!("{name:?} must be lower-case letters, digits and _, like new_complaint"),
                    );
                }
            };
            check("logicalName", &table.logical_name);
            check("entitySetName", &table.entity_set_name);
            check("primaryIdAttribute", &table.primary_id_attribute);
            if let Some(name) = &table.primary_name_attribute {
                check("primaryNameAttribute", name);
            }
            if !names.insert(&table.logical_name) {
                faults
                    .add(format!("spec.tables[{index}].logicalName"), "a table of this name already exists");
            }
            if !sets.insert(&table.entity_set_name) {
                faults.add(
                    format!("spec.tables[{index}].entitySetName"),
                    "another table already has this entity set name",
                );
            }
        }
        for (index, table) in self.absent_tables.iter().enumerate() {
            if !matches!(table.as_str(), "incident" | "lead") {
                faults.add(format!("spec.absentTables[{index}]"), "only incident and lead can be absent");
            }
        }
    }

    fn table_names(&self) -> impl Iterator<Item = &str> {
        BUILT_IN
            .iter()
            .map(|(table, _)| *table)
            .filter(|table| !self.absent_tables.iter().any(|absent| absent == table))
            .chain(self.tables.iter().map(|table| table.logical_name.as_str()))
    }

    fn tables_with_activities(&self) -> BTreeSet<&str> {
        ["incident", "lead"]
            .into_iter()
            .filter(|table| !self.absent_tables.iter().any(|absent| absent == table))
            .chain(self.tables.iter().filter(|table| table.has_activities).map(|t| t.logical_name.as_str()))
            .collect()
    }
}
