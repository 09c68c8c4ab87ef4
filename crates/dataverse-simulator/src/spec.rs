//! The specification of a simulated instance.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One simulated instance.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedInstance {
    /// A name for messages; it does not affect the simulation.
    pub name: String,
    /// What the instance is and how it behaves.
    pub spec: InstanceSpec,
}

/// What an instance is and how it behaves. Usually read from JSON or YAML, with camelCase keys; an unknown key is an
/// error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "each is an independent switch")]
pub struct InstanceSpec {
    /// Host name without scheme and port, e.g. `contoso.crm.dynamics.com`.
    pub host: String,
    /// The organization behind the host. Its id identifies the data, which is kept when the host changes.
    pub organization: Organization,
    /// How the instance responds.
    #[serde(default)]
    pub state: InstanceState,
    /// False corresponds to the setting "Disable Social Engagement: Yes": social data is refused.
    #[serde(default = "yes")]
    pub accepts_social_data: bool,
    /// Which record the automatic record creation rules create for a social activity: `Preferred` a row of the table
    /// that the activity asks for, `None` no record, any other word always a row of the table with this logical name.
    #[serde(default)]
    #[schemars(with = "String")]
    pub converts_to: ConvertsTo,
    /// Seconds, by the clock of the simulator, between the creation of an activity and of its record.
    #[serde(default)]
    pub converts_after_seconds: u32,
    /// The only client secret that obtains a token for this host. Absent: any secret does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// The only certificate, as PEM, whose client assertions obtain a token for this host. Absent: any well-formed
    /// assertion does, and its signature is not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    /// False: tokens are issued, but the organization has no application user, so that requests are answered with 403.
    #[serde(default = "yes")]
    pub has_application_user: bool,
    /// Service protection limits. Absent: no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Throttle>,
    /// Custom tables in addition to the built-in ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<CustomTable>,
    /// Built-in tables that this instance lacks (`incident`, `lead`), as if their app were not installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent_tables: Vec<String>,
    /// Rows that exist from the start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<ExistingRecord>,
    /// Whether deleting a record also deletes the social activities that regard it, as Dataverse does by default.
    #[serde(default = "yes")]
    pub cascade_delete: bool,
    /// Whether change tracking is enabled for the tables.
    #[serde(default = "yes")]
    pub change_tracking: bool,
    /// `TrialExpirationDate` in the discovery service. Absent: one day before the instance became `Expired`; null in
    /// any other state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub trial_expiration_date: Option<Timestamp>,
    /// Makes the instance broken: every request gets this response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers_with: Option<AnswersWith>,
    /// What users do inside Dynamics 365 when the specification is applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<UserAction>,
}

fn yes() -> bool {
    true
}

/// An organization, as `organizations`, `RetrieveCurrentOrganization` and the discovery service show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Organization {
    /// Organization id. It identifies the data inside the simulator.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub id: Uuid,
    /// The name that users see.
    pub name: String,
    /// The unique name, which users do not see.
    pub unique_name: String,
    /// Language as an LCID, e.g. 1033.
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

/// How an instance responds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum InstanceState {
    /// Requests are answered normally.
    #[default]
    Enabled,
    /// Disabled by an administrator: 403, `0x8004A104`.
    Disabled,
    /// In administration mode: 403 with an empty code.
    Maintenance,
    /// Like `Disabled`, and the discovery service shows a `TrialExpirationDate` in the past.
    Expired,
    /// The TCP connection is reset.
    Unreachable,
}

/// Which record the automatic record creation rules create for a social activity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ConvertsTo {
    /// A row of the table that `userPreferredTargetEntity` names, if that table exists.
    #[default]
    Preferred,
    /// None: no rule is active.
    None,
    /// Always a row of this table (logical name).
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Throttle {
    /// Requests in any 300 seconds. The default is the limit of Dataverse, 6000.
    #[serde(default = "six_thousand")]
    pub requests_per_five_minutes: u32,
    /// Concurrent requests. The default is the limit of Dataverse, 52.
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomTable {
    /// E.g. `new_complaint`.
    pub logical_name: String,
    /// E.g. `new_complaints`.
    pub entity_set_name: String,
    /// E.g. `new_complaintid`.
    pub primary_id_attribute: String,
    /// E.g. `new_name`. Absent: the table has no name column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_name_attribute: Option<String>,
    /// Whether the table is related to activities, so that an activity can regard its rows.
    #[serde(default = "yes")]
    pub has_activities: bool,
}

/// A row that exists from the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExistingRecord {
    /// Logical name of the table.
    pub table: String,
    /// Primary key.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub id: Uuid,
    /// Value of the primary name column, if the table has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How a broken instance responds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AnswersWith {
    /// 200 with a sign-in page, like a proxy or a parked domain.
    HtmlPage,
    /// 200 with an empty body.
    Empty,
    /// 200 with a JSON body that never ends.
    Endless,
    /// 200 with malformed JSON.
    MalformedJson,
    /// 302 to another host. A client that follows it sends its token there.
    Redirect,
}

/// Something a user does inside Dynamics 365, beside the client under test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserAction {
    /// The `postid` of the social activities concerned.
    pub post: String,
    /// What the user does; the key is `do`.
    #[serde(rename = "do")]
    pub kind: UserActionKind,
}

/// The kinds of [`UserAction`]. None of them cascades, whatever [`InstanceSpec::cascade_delete`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UserActionKind {
    /// Clears `regardingobjectid` of the activity.
    DissociateRecord,
    /// Deletes the record the activity regards. The activity stays.
    DeleteRecord,
    /// Deletes the activity. The record stays.
    DeleteActivity,
    /// Restores a deleted activity with its id and what it regarded.
    RestoreActivity,
}
