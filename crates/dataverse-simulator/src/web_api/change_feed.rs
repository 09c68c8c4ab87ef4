//! Change tracking: `Prefer: odata.track-changes`, delta links, deleted rows.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::data::web_time;
use crate::odata::preferences::Preferences;
use crate::odata::query::Query;
use crate::response::{HttpResponse, ODataError, json_response};
use crate::tables::Table;
use crate::web_api::representation::{MAX_PAGE, Selection, next_link, render, set_applied};
use crate::web_api::request::{Context, Operation};

/// How long a delta token is valid (`ExpireChangeTrackingInDays`, 7 by default).
const TOKEN_LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A position in the changes of an organization.
#[derive(Clone, Copy)]
struct DeltaToken {
    version: u64,
    at: Timestamp,
}

impl DeltaToken {
    fn write(self) -> String {
        format!("{}!{}", self.version, web_time(self.at))
    }

    fn read(text: &str) -> Result<Self, ODataError> {
        let parts = text.split_once('!');
        let token = parts.and_then(|(version, at)| Some((version.parse().ok()?, at.parse().ok()?)));
        token.map(|(version, at)| Self { version, at }).ok_or_else(|| {
            ODataError::new(StatusCode::BAD_REQUEST, "0x80040203", "The delta token is not valid.")
        })
    }
}

/// Where the next page begins.
enum Cursor {
    /// All rows, ordered by key; the page begins after this key.
    Initial { until: DeltaToken, after: Option<Uuid> },
    /// Changes, ordered by version: first the rows, then the deletions.
    Delta { since: u64, until: DeltaToken, deletions: bool, after: u64 },
}

impl Cursor {
    fn write(&self) -> String {
        match self {
            Self::Initial { until, after } => {
                format!("i;{};{}", until.write(), after.map(|id| id.to_string()).unwrap_or_default())
            }
            Self::Delta { since, until, deletions, after } => {
                format!("d;{};{since};{};{after}", until.write(), u8::from(*deletions))
            }
        }
    }

    fn read(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(';').collect();
        match parts.as_slice() {
            ["i", until, after] => {
                Some(Self::Initial { until: DeltaToken::read(until).ok()?, after: Some(after.parse().ok()?) })
            }
            ["d", until, since, deletions, after] => Some(Self::Delta {
                since: since.parse().ok()?,
                until: DeltaToken::read(until).ok()?,
                deletions: *deletions == "1",
                after: after.parse().ok()?,
            }),
            _ => None,
        }
    }
}

/// Whether a request starts or continues change tracking.
pub(crate) fn is_requested(query: &Query, preferences: &Preferences) -> bool {
    let continues = query.get("$skiptoken").is_some_and(|token| Cursor::read(token).is_some());
    preferences.track_changes || query.get("$deltatoken").is_some() || continues
}

/// `GET set` with change tracking: all rows at first, later the changes since a token.
pub(crate) fn read(
    context: &Context<'_>,
    table: &Table,
    operation: &Operation<'_>,
    query: &Query,
    preferences: &Preferences,
) -> Result<HttpResponse, ODataError> {
    for option in ["$filter", "$orderby", "$expand", "$top"] {
        if query.get(option).is_some() {
            return Err(ODataError::bad_query(format!(
                "The \"{option}\" query parameter isn't supported when Change Tracking is enabled."
            )));
        }
    }
    if !context.instance.spec.change_tracking {
        return Err(ODataError::new(
            StatusCode::BAD_REQUEST,
            "0x80072491",
            format!("Entity {} isn't enabled for change tracking.", table.logical_name),
        ));
    }
    let selection = Selection::of(context, table, query)?;
    let newest = DeltaToken { version: context.data.version(), at: context.now };
    let cursor = match (query.get("$skiptoken"), query.get("$deltatoken")) {
        (Some(token), _) => {
            Cursor::read(token).ok_or_else(|| ODataError::bad_query("The $skiptoken is not valid."))?
        }
        (None, Some(token)) => {
            let since = DeltaToken::read(token)?;
            if since.version > newest.version {
                return Err(ODataError::new(
                    StatusCode::BAD_REQUEST,
                    "0x80040203",
                    "The delta token is not valid.",
                ));
            }
            if context.now.duration_since(since.at) > TOKEN_LIFETIME {
                return Err(ODataError::new(
                    StatusCode::BAD_REQUEST,
                    "0x80044352",
                    "Version stamp associated with the client has expired. Please perform a full sync.",
                ));
            }
            Cursor::Delta { since: since.version, until: newest, deletions: false, after: since.version }
        }
        (None, None) => Cursor::Initial { until: newest, after: None },
    };
    let page = preferences.page_size.unwrap_or(MAX_PAGE).min(MAX_PAGE);
    let (until, is_delta) = match &cursor {
        Cursor::Initial { until, .. } => (*until, false),
        Cursor::Delta { until, .. } => (*until, true),
    };
    let (values, next) = match cursor {
        Cursor::Initial { until, after } => {
            initial_page(context, table, &selection, preferences, until, after, page)
        }
        Cursor::Delta { since, until, deletions, after } => {
            let mut position = DeltaPosition { since, deletions, after };
            delta_page(context, table, &selection, preferences, until, &mut position, page)
        }
    };
    let mut body = Map::new();
    let suffix = if is_delta { "/$delta" } else { "" };
    body.insert(
        "@odata.context".to_owned(),
        json!(format!("{}$metadata#{}{suffix}", context.root(), selection.context(table))),
    );
    let (link, option, token) = match next {
        Some(cursor) => ("@odata.nextLink", "$skiptoken", cursor.write()),
        None => ("@odata.deltaLink", "$deltatoken", until.write()),
    };
    body.insert(link.to_owned(), json!(next_link(context, operation, option, &token)));
    body.insert("value".to_owned(), Value::Array(values));
    let mut response = json_response(StatusCode::OK, &Value::Object(body));
    set_applied(&mut response, preferences);
    Ok(response)
}

fn initial_page(
    context: &Context<'_>,
    table: &Table,
    selection: &Selection,
    preferences: &Preferences,
    until: DeltaToken,
    after: Option<Uuid>,
    page: usize,
) -> (Vec<Value>, Option<Cursor>) {
    let mut rows =
        context.data.rows(&table.logical_name).skip_while(|(id, _)| after.is_some_and(|after| *id <= after));
    let mut values = Vec::new();
    let mut last = after;
    for (id, row) in rows.by_ref().take(page) {
        values.push(Value::Object(render(context, table, id, row, selection, preferences)));
        last = Some(id);
    }
    let next = rows.next().is_some().then_some(Cursor::Initial { until, after: last });
    (values, next)
}

/// The changes that follow on the current page.
struct DeltaPosition {
    since: u64,
    deletions: bool,
    after: u64,
}

fn delta_page(
    context: &Context<'_>,
    table: &Table,
    selection: &Selection,
    preferences: &Preferences,
    until: DeltaToken,
    position: &mut DeltaPosition,
    page: usize,
) -> (Vec<Value>, Option<Cursor>) {
    let mut values = Vec::new();
    if !position.deletions {
        // A row written after the first page belongs to the next delta.
        let mut changed: Vec<_> = context
            .data
            .rows(&table.logical_name)
            .filter(|(_, row)| row.version > position.after && row.version <= until.version)
            .collect();
        changed.sort_unstable_by_key(|(_, row)| row.version);
        for (id, row) in changed {
            if values.len() == page {
                return (values, Some(cursor(position, until)));
            }
            values.push(Value::Object(render(context, table, id, row, selection, preferences)));
            position.after = row.version;
        }
        position.deletions = true;
        position.after = position.since;
    }
    for deletion in context.data.deletions(&table.logical_name) {
        if deletion.version <= position.after || deletion.version > until.version {
            continue;
        }
        // The row was restored or created again; its newer version is listed above.
        if context.data.get(&table.logical_name, deletion.id).is_some() {
            continue;
        }
        if values.len() == page {
            return (values, Some(cursor(position, until)));
        }
        values.push(json!({
            "@odata.context": format!("{}$metadata#{}/$deletedEntity", context.root(), table.set),
            "id": deletion.id,
            "reason": "deleted",
        }));
        position.after = deletion.version;
    }
    (values, None)
}

fn cursor(position: &DeltaPosition, until: DeltaToken) -> Cursor {
    Cursor::Delta { since: position.since, until, deletions: position.deletions, after: position.after }
}
