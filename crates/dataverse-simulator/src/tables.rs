//! The tables of an instance: columns with types and limits, lookups, and which tables an activity can regard.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::spec::{CustomTable, InstanceSpec};

/// Logical name and entity set of each built-in table.
pub(crate) const BUILT_IN: [(&str, &str); 6] = [
    ("socialactivity", "socialactivities"),
    ("socialprofile", "socialprofiles"),
    ("incident", "incidents"),
    ("lead", "leads"),
    ("contact", "contacts"),
    ("organization", "organizations"),
];

/// The logical name of the activity table.
pub(crate) const ACTIVITY: &str = "socialactivity";

/// The type of a column, with the limits that Dataverse enforces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ColumnType {
    Guid,
    /// At most this many UTF-16 code units, which .NET counts instead of characters.
    Text(usize),
    /// One of these numbers.
    Choice(&'static [i64]),
    Integer,
    Number,
    Flag,
    Time,
}

/// When a column may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writable {
    Always,
    OnCreate,
    OnUpdate,
    Never,
}

/// A column that is not a lookup.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub name: Cow<'static, str>,
    pub kind: ColumnType,
    pub writable: Writable,
}

/// A lookup column, with a navigation property for each table it can reference.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    pub name: &'static str,
    /// Navigation property and logical name of each table.
    pub targets: Vec<(String, String)>,
    pub writable: bool,
}

/// A table of an instance.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub logical_name: String,
    pub set: String,
    pub primary_id: String,
    pub primary_name: Option<String>,
    pub type_code: i64,
    pub is_custom: bool,
    pub has_activities: bool,
    pub columns: Vec<Column>,
    pub lookups: Vec<Lookup>,
}

impl Table {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The lookup behind the property `_name_value`.
    pub fn lookup_of_value(&self, property: &str) -> Option<&Lookup> {
        let name = property.strip_prefix('_')?.strip_suffix("_value")?;
        self.lookups.iter().find(|lookup| lookup.name == name)
    }

    /// The lookup and the target table behind a navigation property.
    pub fn navigation(&self, property: &str) -> Option<(&Lookup, &str)> {
        self.lookups.iter().find_map(|lookup| {
            lookup
                .targets
                .iter()
                .find(|(navigation, _)| navigation == property)
                .map(|(_, table)| (lookup, table.as_str()))
        })
    }

    pub fn is_activity(&self) -> bool {
        self.logical_name == ACTIVITY
    }
}

/// The tables of one instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    tables: BTreeMap<String, Table>,
}

impl Catalog {
    pub fn of(spec: &InstanceSpec) -> Self {
        let mut tables: Vec<Table> = vec![incident(), lead(), contact(), social_profile(), organization()];
        tables.retain(|table| !spec.absent_tables.contains(&table.logical_name));
        let custom = spec.tables.iter().zip(10_000..).map(|(table, code)| custom(table, code));
        tables.extend(custom);
        let regarding = tables
            .iter()
            .filter(|table| table.has_activities)
            .map(|table| (regarding_navigation(&table.logical_name), table.logical_name.clone()))
            .collect();
        tables.push(social_activity(regarding));
        Self { tables: tables.into_iter().map(|table| (table.logical_name.clone(), table)).collect() }
    }

    pub fn table(&self, logical_name: &str) -> Option<&Table> {
        self.tables.get(logical_name)
    }

    /// The table of an entity set; names are case-sensitive, as in OData.
    pub fn by_set(&self, set: &str) -> Option<&Table> {
        self.tables.values().find(|table| table.set == set)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }
}

/// The navigation property from an activity to the row of `table` it regards.
pub(crate) fn regarding_navigation(table: &str) -> String {
    format!("regardingobjectid_{table}_socialactivity")
}

fn column(name: &'static str, kind: ColumnType, writable: Writable) -> Column {
    Column { name: Cow::Borrowed(name), kind, writable }
}

fn bookkeeping() -> [Column; 3] {
    [
        column("createdon", ColumnType::Time, Writable::Never),
        column("modifiedon", ColumnType::Time, Writable::Never),
        column("versionnumber", ColumnType::Integer, Writable::Never),
    ]
}

fn social_activity(regarding: Vec<(String, String)>) -> Table {
    use ColumnType::{Choice, Flag, Guid, Number, Text, Time};
    use Writable::{Always, Never, OnCreate, OnUpdate};
    let mut columns = vec![
        column("activityid", Guid, OnCreate),
        column("subject", Text(200), Always),
        column("description", Text(2000), Always),
        column("posturl", Text(200), Always),
        column("postid", Text(160), Always),
        column("threadid", Text(160), Always),
        column("inresponseto", Text(160), Always),
        column("posttoprofileid", Text(200), Always),
        column("postedon", Time, Always),
        column("community", Choice(&[0, 1, 2]), Always),
        column("postmessagetype", Choice(&[0, 1]), Always),
        column("directioncode", Flag, Always),
        column("sentimentvalue", Number, OnCreate),
        column("activityadditionalparams", Text(8192), Always),
        column("socialadditionalparams", Text(8192), OnCreate),
        column("prioritycode", Choice(&[0, 1, 2]), Always),
        column("statecode", Choice(&[0, 1, 2]), OnUpdate),
        column("statuscode", Choice(&[1, 2, 3, 4, 5]), Always),
        column("activitytypecode", Text(64), Never),
    ];
    columns.extend(bookkeeping());
    Table {
        logical_name: ACTIVITY.to_owned(),
        set: "socialactivities".to_owned(),
        primary_id: "activityid".to_owned(),
        primary_name: Some("subject".to_owned()),
        type_code: 4216,
        is_custom: false,
        has_activities: false,
        columns,
        lookups: vec![
            Lookup { name: "regardingobjectid", targets: regarding, writable: true },
            Lookup {
                name: "postfromprofileid",
                targets: vec![("postfromprofileid".to_owned(), "socialprofile".to_owned())],
                writable: true,
            },
            Lookup {
                name: "postauthor",
                targets: vec![("postauthor_contact".to_owned(), "contact".to_owned())],
                writable: true,
            },
            Lookup {
                name: "postauthoraccount",
                targets: vec![("postauthoraccount_contact".to_owned(), "contact".to_owned())],
                writable: true,
            },
        ],
    }
}

fn social_profile() -> Table {
    use ColumnType::{Choice, Flag, Guid, Number, Text};
    use Writable::{Always, OnCreate, OnUpdate};
    let mut columns = vec![
        column("socialprofileid", Guid, OnCreate),
        column("profilename", Text(100), Always),
        column("profilefullname", Text(160), Always),
        column("profilelink", Text(100), Always),
        column("uniqueprofileid", Text(100), Always),
        column("community", Choice(&[0, 1, 2]), OnCreate),
        column("influencescore", Number, Always),
        column("blocked", Flag, Always),
        column("statecode", Choice(&[0, 1]), OnUpdate),
    ];
    columns.extend(bookkeeping());
    Table {
        logical_name: "socialprofile".to_owned(),
        set: "socialprofiles".to_owned(),
        primary_id: "socialprofileid".to_owned(),
        primary_name: Some("profilename".to_owned()),
        type_code: 99,
        is_custom: false,
        has_activities: false,
        columns,
        lookups: vec![Lookup {
            name: "customerid",
            targets: vec![("customerid_contact".to_owned(), "contact".to_owned())],
            writable: true,
        }],
    }
}

/// A record table: primary key, name, description, state, `extra` columns, bookkeeping.
fn record_table(names: [&'static str; 4], type_code: i64, extra: Vec<Column>) -> Table {
    let [logical_name, set, primary_id, primary_name] = names;
    let mut columns = vec![
        column(primary_id, ColumnType::Guid, Writable::OnCreate),
        column(primary_name, ColumnType::Text(200), Writable::Always),
        column("description", ColumnType::Text(2000), Writable::Always),
        column("statecode", ColumnType::Integer, Writable::OnUpdate),
        column("statuscode", ColumnType::Integer, Writable::Always),
    ];
    columns.extend(extra);
    columns.extend(bookkeeping());
    Table {
        logical_name: logical_name.to_owned(),
        set: set.to_owned(),
        primary_id: primary_id.to_owned(),
        primary_name: Some(primary_name.to_owned()),
        type_code,
        is_custom: false,
        has_activities: true,
        columns,
        lookups: Vec::new(),
    }
}

fn incident() -> Table {
    let extra = vec![
        column("ticketnumber", ColumnType::Text(100), Writable::Never),
        column("caseorigincode", ColumnType::Choice(&[1, 2, 3, 2483, 3986]), Writable::Always),
        column("prioritycode", ColumnType::Choice(&[1, 2, 3]), Writable::Always),
    ];
    let mut table = record_table(["incident", "incidents", "incidentid", "title"], 112, extra);
    table.lookups.push(Lookup {
        name: "customerid",
        targets: vec![("customerid_contact".to_owned(), "contact".to_owned())],
        writable: true,
    });
    table
}

fn lead() -> Table {
    let extra = vec![
        column("fullname", ColumnType::Text(160), Writable::Never),
        column("firstname", ColumnType::Text(50), Writable::Always),
        column("lastname", ColumnType::Text(50), Writable::Always),
    ];
    record_table(["lead", "leads", "leadid", "subject"], 4, extra)
}

fn contact() -> Table {
    record_table(["contact", "contacts", "contactid", "fullname"], 2, Vec::new())
}

/// For metadata and `$select` only: the one row is derived from the specification, not stored.
fn organization() -> Table {
    Table {
        logical_name: "organization".to_owned(),
        set: "organizations".to_owned(),
        primary_id: "organizationid".to_owned(),
        primary_name: Some("name".to_owned()),
        type_code: 1019,
        is_custom: false,
        has_activities: false,
        columns: [
            ("organizationid", ColumnType::Guid),
            ("name", ColumnType::Text(160)),
            ("languagecode", ColumnType::Integer),
            ("localeid", ColumnType::Integer),
            ("isdisabled", ColumnType::Flag),
            ("disabledreason", ColumnType::Text(500)),
            ("disablesocialcare", ColumnType::Flag),
            ("organizationstate", ColumnType::Choice(&[0, 1, 2, 3])),
            ("createdon", ColumnType::Time),
            ("modifiedon", ColumnType::Time),
            ("versionnumber", ColumnType::Integer),
        ]
        .map(|(name, kind)| column(name, kind, Writable::Never))
        .to_vec(),
        lookups: Vec::new(),
    }
}

fn custom(table: &CustomTable, type_code: i64) -> Table {
    let mut columns = vec![
        Column {
            name: Cow::Owned(table.primary_id_attribute.clone()),
            kind: ColumnType::Guid,
            writable: Writable::OnCreate,
        },
        column("statecode", ColumnType::Choice(&[0, 1]), Writable::OnUpdate),
        column("statuscode", ColumnType::Choice(&[1, 2]), Writable::Always),
    ];
    if let Some(name) = &table.primary_name_attribute {
        let name = Cow::Owned(name.clone());
        columns.push(Column { name, kind: ColumnType::Text(100), writable: Writable::Always });
    }
    columns.extend(bookkeeping());
    Table {
        logical_name: table.logical_name.clone(),
        set: table.entity_set_name.clone(),
        primary_id: table.primary_id_attribute.clone(),
        primary_name: table.primary_name_attribute.clone(),
        type_code,
        is_custom: true,
        has_activities: table.has_activities,
        columns,
        lookups: Vec::new(),
    }
}
