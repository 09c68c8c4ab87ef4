//! The documents that describe a simulated instance: what users write.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The `kind` of a [`SimulatedInstanceDocument`].
pub const KIND: &str = "SimulatedInstance";

/// One simulated instance, written as a Kubernetes manifest.
///
/// It never reaches a cluster, so an unknown field is an error here and not something to prune.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SimulatedInstanceDocument {
    /// The group and version of the program that reads the document; not checked here.
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
