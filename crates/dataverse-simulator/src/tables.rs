//! The tables of an instance: their columns, what each accepts, and who may regard whom.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::document::{CustomTable, SimulatedInstanceSpec};

/// Logical names and entity sets of the tables the stand-in brings along.
pub(super) const BUILT_IN: [(&str, &str); 6] = [
    ("socialactivity", "socialactivities"),
    ("socialprofile", "socialprofiles"),
    ("incident", "incidents"),
    ("lead", "leads"),
    ("contact", "contacts"),
    ("organization", "organizations"),
];

/// Logical name of the activity table.
pub(super) const ACTIVITY: &str = "socialactivity";

/// What a column holds, with the limits Dataverse enforces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Guid,
    /// At most this many UTF-16 code units: .NET counts those, not characters.
    Text(usize),
    /// A choice.
    Choice(&'static [i64]),
    Integer,
    Number,
    Flag,
    Time,
}

/// When a column may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    Always,
    OnCreate,
    OnUpdate,
    Never,
}

/// One column that is not a lookup.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub name: Cow<'static, str>,
    pub kind: Kind,
    pub writes: Writes,
}

/// One lookup column with the navigation property of each table it may point to.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    pub name: &'static str,
    /// (navigation property, logical name of the table).
    pub targets: Vec<(String, String)>,
    pub writable: bool,
}

/// One table of an instance.
#[derive(Clone, Debug)]
pub(super) struct Table {
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

    /// The lookup that `_name_value` reads.
    pub fn lookup_of_value(&self, property: &str) -> Option<&Lookup> {
        let name = property.strip_prefix('_')?.strip_suffix("_value")?;
        self.lookups.iter().find(|lookup| lookup.name == name)
    }

    /// The lookup and target table behind a navigation property.
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
pub(super) struct Catalogue {
    tables: BTreeMap<String, Table>,
}

impl Catalogue {
    pub fn of(spec: &SimulatedInstanceSpec) -> Self {
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

    /// By entity set; the comparison is case-sensitive, as in `OData`.
    pub fn by_set(&self, set: &str) -> Option<&Table> {
        self.tables.values().find(|table| table.set == set)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }
}

/// Navigation property by which an activity regards a row of `table`.
pub(super) fn regarding_navigation(table: &str) -> String {
    format!("regardingobjectid_{table}_socialactivity")
}

fn column(name: &'static str, kind: Kind, writes: Writes) -> Column {
    Column { name: Cow::Borrowed(name), kind, writes }
}

fn bookkeeping() -> [Column; 3] {
    [
        column("createdon", Kind::Time, Writes::Never),
        column("modifiedon", Kind::Time, Writes::Never),
        column("versionnumber", Kind::Integer, Writes::Never),
    ]
}

fn social_activity(regarding: Vec<(String, String)>) -> Table {
    use Kind::{Choice, Flag, Guid, Number, Text, Time};
    use Writes::{Always, Never, OnCreate, OnUpdate};
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
    use Kind::{Choice, Flag, Guid, Number, Text};
    use Writes::{Always, OnCreate, OnUpdate};
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

/// A business table: primary key, name, a description, state and bookkeeping.
fn business(names: [&'static str; 4], type_code: i64, extra: Vec<Column>) -> Table {
    let [logical_name, set, primary_id, primary_name] = names;
    let mut columns = vec![
        column(primary_id, Kind::Guid, Writes::OnCreate),
        column(primary_name, Kind::Text(200), Writes::Always),
        column("description", Kind::Text(2000), Writes::Always),
        column("statecode", Kind::Integer, Writes::OnUpdate),
        column("statuscode", Kind::Integer, Writes::Always),
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
        column("ticketnumber", Kind::Text(100), Writes::Never),
        column("caseorigincode", Kind::Choice(&[1, 2, 3, 2483, 3986]), Writes::Always),
        column("prioritycode", Kind::Choice(&[1, 2, 3]), Writes::Always),
    ];
    let mut table = business(["incident", "incidents", "incidentid", "title"], 112, extra);
    table.lookups.push(Lookup {
        name: "customerid",
        targets: vec![("customerid_contact".to_owned(), "contact".to_owned())],
        writable: true,
    });
    table
}

fn lead() -> Table {
    let extra = vec![
        column("fullname", Kind::Text(160), Writes::Never),
        column("firstname", Kind::Text(50), Writes::Always),
        column("lastname", Kind::Text(50), Writes::Always),
    ];
    business(["lead", "leads", "leadid", "subject"], 4, extra)
}

fn contact() -> Table {
    business(["contact", "contacts", "contactid", "fullname"], 2, Vec::new())
}

/// Only its metadata and key; its one row is answered apart, from the document.
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
            ("organizationid", Kind::Guid),
            ("name", Kind::Text(160)),
            ("languagecode", Kind::Integer),
            ("localeid", Kind::Integer),
            ("isdisabled", Kind::Flag),
            ("disabledreason", Kind::Text(500)),
            ("disablesocialcare", Kind::Flag),
            ("organizationstate", Kind::Choice(&[0, 1, 2, 3])),
            ("createdon", Kind::Time),
            ("modifiedon", Kind::Time),
            ("versionnumber", Kind::Integer),
        ]
        .map(|(name, kind)| column(name, kind, Writes::Never))
        .to_vec(),
        lookups: Vec::new(),
    }
}

fn custom(table: &CustomTable, type_code: i64) -> Table {
    let mut columns = vec![
        Column {
            name: Cow::Owned(table.primary_id_attribute.clone()),
            kind: Kind::Guid,
            writes: Writes::OnCreate,
        },
        column("statecode", Kind::Choice(&[0, 1]), Writes::OnUpdate),
        column("statuscode", Kind::Choice(&[1, 2]), Writes::Always),
    ];
    if let Some(name) = &table.primary_name_attribute {
        let name = Cow::Owned(name.clone());
        columns.push(Column { name, kind: Kind::Text(100), writes: Writes::Always });
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
