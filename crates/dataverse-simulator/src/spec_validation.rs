//! Checks a specification and names each invalid field.

use std::collections::BTreeSet;

use crate::clouds::service_at;
use crate::sign_in::client_certificate::ClientCertificate;
use crate::spec::{ConvertsTo, InstanceSpec};
use crate::tables::BUILT_IN;

/// A field of an [`InstanceSpec`] that is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct SpecError {
    /// Path of the field, e.g. `tables[1].logicalName`.
    pub field: String,
    /// What is wrong and what is expected instead.
    pub message: String,
}

#[derive(Default)]
struct Errors(Vec<SpecError>);

impl Errors {
    fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(SpecError { field: field.into(), message: message.into() });
    }
}

impl InstanceSpec {
    /// Checks everything that can be checked without the other instances.
    ///
    /// # Errors
    /// All errors, in the order of the fields; never an empty list.
    pub fn validate(&self) -> Result<(), Vec<SpecError>> {
        let mut errors = Errors::default();
        self.validate_all(&mut errors);
        if errors.0.is_empty() { Ok(()) } else { Err(errors.0) }
    }

    fn validate_all(&self, errors: &mut Errors) {
        self.validate_host(errors);
        self.validate_organization(errors);
        self.validate_tables(errors);
        let activity_tables = self.tables_with_activities();
        if let ConvertsTo::Table(table) = &self.converts_to
            && !activity_tables.contains(table.as_str())
        {
            errors.add(
                "convertsTo",
                format!(
                    "{table:?} is not Preferred, None or a table of this instance that is related to activities ({})",
                    activity_tables.iter().copied().collect::<Vec<_>>().join(", ")
                ),
            );
        }
        if let Some(throttle) = self.throttle {
            if throttle.requests_per_five_minutes == 0 {
                errors.add("throttle.requestsPerFiveMinutes", "must be at least 1");
            }
            if throttle.concurrent == 0 {
                errors.add("throttle.concurrent", "must be at least 1");
            }
        }
        if self.client_secret.as_deref() == Some("") {
            errors.add("clientSecret", "must not be empty; leave it out to accept any secret");
        }
        if self.client_certificate.as_deref().is_some_and(|pem| ClientCertificate::read(pem).is_none()) {
            errors.add("clientCertificate", "must be one X.509 certificate in PEM");
        }
        let known: BTreeSet<&str> = self.table_names().collect();
        let mut rows = BTreeSet::new();
        for (index, record) in self.records.iter().enumerate() {
            if !known.contains(record.table.as_str()) {
                errors.add(
                    format!("records[{index}].table"),
                    format!("this instance has no table {:?}; add it to tables", record.table),
                );
            }
            if !rows.insert((record.table.as_str(), record.id)) {
                errors.add(format!("records[{index}].id"), "this row is already listed");
            }
        }
        for (index, change) in self.changes.iter().enumerate() {
            if change.post.is_empty() {
                errors.add(format!("changes[{index}].post"), "must be the postid of a social activity");
            }
        }
    }

    fn validate_host(&self, errors: &mut Errors) {
        let is_name =
            matches!(url::Host::parse(&self.host), Ok(url::Host::Domain(name)) if name == self.host);
        if !is_name {
            errors.add(
                "host",
                format!(
                    "{:?} is not a lower-case host name without scheme, port and path, like contoso.crm.dynamics.com",
                    self.host
                ),
            );
        } else if service_at(&self.host).is_some() {
            errors.add(
                "host",
                format!("{} is the host of a service that the simulator provides itself", self.host),
            );
        }
    }

    fn validate_organization(&self, errors: &mut Errors) {
        let organization = &self.organization;
        if organization.id.is_nil() {
            errors.add("organization.id", "must not be the empty GUID");
        }
        if organization.name.is_empty() || organization.name.encode_utf16().count() > 160 {
            errors.add("organization.name", "must have 1 to 160 characters");
        }
        if organization.unique_name.is_empty() {
            errors.add("organization.uniqueName", "must not be empty");
        }
        if organization.language_code <= 0 {
            errors.add("organization.languageCode", "must be an LCID like 1033");
        }
        let numbers: Vec<&str> = organization.version.split('.').collect();
        if numbers.len() != 4 || numbers.iter().any(|number| number.parse::<u32>().is_err()) {
            errors.add("organization.version", "must be four numbers like 9.2.24101.00197");
        }
    }

    fn validate_tables(&self, errors: &mut Errors) {
        let mut names: BTreeSet<&str> = BUILT_IN.iter().map(|(table, _)| *table).collect();
        let mut sets: BTreeSet<&str> = BUILT_IN.iter().map(|(_, set)| *set).collect();
        for (index, table) in self.tables.iter().enumerate() {
            let mut check = |field: &str, name: &str| {
                let mut letters = name.chars();
                let fine = letters.next().is_some_and(|first| first.is_ascii_lowercase())
                    && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
                if !fine {
                    errors.add(
                        format!("tables[{index}].{field}"),
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
                errors.add(format!("tables[{index}].logicalName"), "a table of this name already exists");
            }
            if !sets.insert(&table.entity_set_name) {
                errors.add(
                    format!("tables[{index}].entitySetName"),
                    "another table already has this entity set name",
                );
            }
        }
        for (index, table) in self.absent_tables.iter().enumerate() {
            if !matches!(table.as_str(), "incident" | "lead") {
                errors.add(format!("absentTables[{index}]"), "only incident and lead can be absent");
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
