//! The documents that describe a simulated instance: what users write, and what is wrong with it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::assertion::Certificate;
use super::sign_in::SIGN_IN_HOST;
use super::{DISCOVERY_HOST, tables::BUILT_IN};

/// The `apiVersion` of a [`SimulatedInstanceDocument`].
pub const API_VERSION: &str = "local.postlink.dev/v1alpha1";
/// The `kind` of a [`SimulatedInstanceDocument`].
pub const KIND: &str = "SimulatedInstance";

/// One simulated instance, as `postlink local` and `postlink simulate` read it.
///
/// It never reaches a cluster, so an unknown field is an error here and not something to prune.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SimulatedInstanceDocument {
    /// Always [`API_VERSION`].
    pub api_version: String,
    /// Always [`KIND`].
    pub kind: String,
    /// The document's own name; nothing in the simulated world depends on it but messages.
    pub metadata: DocumentMetadata,
    /// The instance.
    pub spec: SimulatedInstanceSpec,
}

/// The part of Kubernetes object metadata that tools like kustomize add to every document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DocumentMetadata {
    /// Name used in messages.
    pub name: String,
    /// Accepted and ignored: an instance belongs to no namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Accepted and ignored.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub labels: std::collections::BTreeMap<String, String>,
    /// Accepted and ignored.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub annotations: std::collections::BTreeMap<String, String>,
}

/// What an instance is and how it behaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "each is an independent switch a user writes")]
pub struct SimulatedInstanceSpec {
    /// Host name without scheme and port, e.g. `contoso.crm.dynamics.com`.
    pub host: String,
    /// The organisation behind the host. Data is kept by its id, whatever happens to the host.
    pub organization: Organization,
    /// How the instance answers at all.
    #[serde(default)]
    pub state: InstanceState,
    /// False is the switch "Disable Social Engagement = Yes": social data is refused.
    #[serde(default = "yes")]
    pub accepts_social_data: bool,
    /// What the instance's own record creation rules make of a social activity.
    #[serde(default)]
    pub converts_to: ConvertsTo,
    /// Seconds (of the world's clock) between an activity and the record made of it.
    #[serde(default)]
    pub converts_after_seconds: u32,
    /// The one client secret that gets a token for this host; absent accepts any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// PEM of the one certificate whose assertions get a token for this host; absent accepts any
    /// well-formed assertion, unverified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    /// False: tokens are issued, but the application has no user in the organisation (403).
    #[serde(default = "yes")]
    pub has_application_user: bool,
    /// Service protection limits; absent = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Throttle>,
    /// Custom tables present besides the built-in ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<CustomTable>,
    /// Built-in tables this instance lacks (`incident`, `lead`), as after removing an app.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent_tables: Vec<String>,
    /// Rows that exist before anybody links anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<ExistingRecord>,
    /// Whether deleting a record deletes the social activities regarding it (the default in Dynamics).
    #[serde(default = "yes")]
    pub cascade_delete: bool,
    /// Whether the tables offer change tracking.
    #[serde(default = "yes")]
    pub change_tracking: bool,
    /// What discovery tells; absent: a day before the state became `Expired`, else nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_expiration_date: Option<Timestamp>,
    /// A broken instance: what it says to every Web API request instead of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers_with: Option<AnswersWith>,
    /// What people do inside Dynamics when this document is applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

fn yes() -> bool {
    true
}

/// An organisation, as `organizations`, `RetrieveCurrentOrganization` and discovery show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Organization {
    /// Organisation id; the key of the simulated world's data.
    pub id: Uuid,
    /// Friendly name.
    pub name: String,
    /// Unique name.
    pub unique_name: String,
    /// LCID, e.g. 1033.
    #[serde(default = "english")]
    pub language_code: i32,
    /// Version, four numbers, e.g. `9.2.24101.00197`.
    #[serde(default = "current_version")]
    pub version: String,
}

fn english() -> i32 {
    1033
}

fn current_version() -> String {
    "9.2.24101.00197".to_owned()
}

/// How an instance answers at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceState {
    /// Works.
    #[default]
    Enabled,
    /// Disabled on its own side: 403, `0x8004A104`.
    Disabled,
    /// Administration mode: 403 with an empty code.
    Maintenance,
    /// As `Disabled`, and discovery tells a trial end that lies in the past.
    Expired,
    /// The TCP connection is reset.
    Unreachable,
}

/// What the record creation rules of an instance make of a social activity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ConvertsTo {
    /// What `userPreferredTargetEntity` asks for, if that table exists.
    #[default]
    Preferred,
    /// Nothing: no rule is active.
    None,
    /// Always this table (logical name).
    Table(String),
}

impl From<String> for ConvertsTo {
    fn from(text: String) -> Self {
        match text.as_str() {
            "Preferred" => Self::Preferred,
            "None" => Self::None,
            _ => Self::Table(text),
        }
    }
}

impl From<ConvertsTo> for String {
    fn from(value: ConvertsTo) -> Self {
        match value {
            ConvertsTo::Preferred => "Preferred".to_owned(),
            ConvertsTo::None => "None".to_owned(),
            ConvertsTo::Table(table) => table,
        }
    }
}

/// Service protection limits of one instance, for all its callers together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Throttle {
    /// Requests in any 300 seconds; Dynamics has 6000.
    #[serde(default = "six_thousand")]
    pub requests_per_five_minutes: u32,
    /// Requests at the same time; Dynamics has 52.
    #[serde(default = "fifty_two")]
    pub concurrent: u32,
}

fn six_thousand() -> u32 {
    6000
}

fn fifty_two() -> u32 {
    52
}

/// A custom table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomTable {
    /// E.g. `new_complaint`.
    pub logical_name: String,
    /// E.g. `new_complaints`.
    pub entity_set_name: String,
    /// E.g. `new_complaintid`.
    pub primary_id_attribute: String,
    /// E.g. `new_name`; absent = the table has no name column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_name_attribute: Option<String>,
    /// False: the table is not related to activities, so no activity can be regarding its rows.
    #[serde(default = "yes")]
    pub has_activities: bool,
}

/// A row that exists from the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExistingRecord {
    /// Logical name of its table.
    pub table: String,
    /// Primary key.
    pub id: Uuid,
    /// Its primary name, if the table has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What a broken instance says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnswersWith {
    /// 200 and a sign-in page, as proxies and parked domains do.
    HtmlPage,
    /// 200 and nothing.
    Empty,
    /// 200 and JSON that never ends.
    Endless,
    /// 200 and bytes that call themselves JSON.
    Rubbish,
    /// 302 to another host; following it would carry the token there.
    Redirect,
}

/// One act of a person inside Dynamics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Change {
    /// `spec.post.id` of the post whose activities it concerns.
    pub post: String,
    /// What is done.
    #[serde(rename = "do")]
    pub act: Act,
}

/// The acts of [`Change`]. None of them cascades: each is exactly one row of the documented table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// The activity no longer regards the record (R23).
    DissociateRecord,
    /// The record is deleted, the activity stays (R24).
    DeleteRecord,
    /// The activity is deleted, the record stays (R25).
    DeleteActivity,
    /// A deleted activity comes back with its id and what it regarded.
    RestoreActivity,
}

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
        if self.api_version != API_VERSION {
            faults.add("apiVersion", format!("must be {API_VERSION}"));
        }
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
        } else if self.host == SIGN_IN_HOST || self.host == DISCOVERY_HOST {
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
