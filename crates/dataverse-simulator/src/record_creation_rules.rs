//! Automatic record creation: what an instance creates for a new social activity, namely the author's profile and
//! contact, and a record.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::data::{OrganizationData, PendingRecord, Row, RowReference};
use crate::instance::Instance;
use crate::spec::ConvertsTo;
use crate::tables::ACTIVITY;

/// Called once for each created activity.
pub(crate) fn activity_created(instance: &Instance, data: &mut OrganizationData, id: Uuid, now: Timestamp) {
    let Some(activity) = data.get(ACTIVITY, id) else { return };
    let properties = channel_properties(activity);
    let has_record = activity.regarding().is_some();
    set_author(data, id, &properties, now);
    if has_record {
        return;
    }
    if let Some(table) = target_table(instance, &properties) {
        let delay = SignedDuration::from_secs(i64::from(instance.spec.converts_after_seconds));
        data.pending_records.push(PendingRecord {
            due: now.saturating_add(delay).unwrap_or(now),
            activity: id,
            table,
        });
    }
    run_due(data, now);
}

/// Creates the records that are due.
pub(crate) fn run_due(data: &mut OrganizationData, now: Timestamp) {
    if data.pending_records.iter().all(|pending| pending.due > now) {
        return;
    }
    let waiting = std::mem::take(&mut data.pending_records);
    let (due, later): (Vec<_>, Vec<_>) =
        waiting.into_iter().partition(|pending: &PendingRecord| pending.due <= now);
    data.pending_records = later;
    for pending in due {
        create_record(data, &pending, now);
    }
}

/// The channel properties that rules can read: a flat JSON object, or none.
fn channel_properties(activity: &Row) -> Map<String, Value> {
    let object = activity
        .text("activityadditionalparams")
        .and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok())
        .unwrap_or_default();
    // Rules read a flat list of names and values. They read none of it if a value is nested.
    if object.values().any(|value| value.is_object() || value.is_array()) { Map::new() } else { object }
}

fn target_table(instance: &Instance, properties: &Map<String, Value>) -> Option<String> {
    let wanted = match &instance.spec.converts_to {
        ConvertsTo::None => return None,
        ConvertsTo::Table(table) => table.as_str(),
        ConvertsTo::Preferred => properties.get("userPreferredTargetEntity")?.as_str()?,
    };
    let table = instance.catalog.table(wanted)?;
    // An activity can regard a contact, but no rule creates one.
    (table.has_activities && table.logical_name != "contact").then(|| table.logical_name.clone())
}

/// Derived, so that every run gives the same ids.
fn derived(data: &OrganizationData, name: &str) -> Uuid {
    Uuid::new_v5(&data.id, name.as_bytes())
}

fn create_record(data: &mut OrganizationData, pending: &PendingRecord, now: Timestamp) {
    let Some(mut activity) = data.get(ACTIVITY, pending.activity).cloned() else { return };
    if activity.regarding().is_some() {
        return;
    }
    let table = pending.table.clone();
    let id = derived(data, &format!("{}/{table}", pending.activity));
    if data.get(&table, id).is_none() {
        let mut record = Row::default();
        let subject = activity.values.get("subject").cloned().unwrap_or(Value::Null);
        let description = activity.values.get("description").cloned().unwrap_or(Value::Null);
        let values: &[(&str, Value)] = match table.as_str() {
            "incident" => &[
                ("title", subject),
                ("description", description),
                ("ticketnumber", json!(format!("CAS-{}", &id.simple().to_string()[..9].to_uppercase()))),
                ("caseorigincode", origin(&activity)),
                ("statecode", json!(0)),
                ("statuscode", json!(1)),
            ],
            "lead" => &[
                ("subject", subject),
                ("description", description),
                ("statecode", json!(0)),
                ("statuscode", json!(1)),
            ],
            _ => &[("statecode", json!(0)), ("statuscode", json!(1))],
        };
        for (name, value) in values.iter().filter(|(_, value)| !value.is_null()) {
            record.values.insert((*name).to_owned(), value.clone());
        }
        if table == "incident"
            && let Some(author) = activity.lookups.get("postauthor")
        {
            record.lookups.insert("customerid".to_owned(), author.clone());
        }
        data.put(&table, id, record, now);
    }
    activity.lookups.insert("regardingobjectid".to_owned(), RowReference { table, id });
    activity.values.insert("statecode".to_owned(), json!(1));
    activity.values.insert("statuscode".to_owned(), json!(1));
    data.put(ACTIVITY, pending.activity, activity, now);
}

/// Case origin: Facebook 2483, Twitter 3986, none for other communities.
fn origin(activity: &Row) -> Value {
    match activity.values.get("community").and_then(Value::as_i64) {
        Some(1) => json!(2483),
        Some(2) => json!(3986),
        _ => Value::Null,
    }
}

/// Sets the author's social profile and contact on an activity, and creates them if they do not exist yet.
fn set_author(data: &mut OrganizationData, id: Uuid, properties: &Map<String, Value>, now: Timestamp) {
    let text = |name: &str| properties.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let Some(handle) = text("socialHandle").or_else(|| text("profileName")).or_else(|| text("fullName"))
    else {
        return;
    };
    let Some(mut activity) = data.get(ACTIVITY, id).cloned() else { return };
    if activity.lookups.contains_key("postfromprofileid") {
        return;
    }
    let community = activity.values.get("community").cloned().unwrap_or_else(|| json!(0));
    let key = format!("socialprofile/{community}/{}", handle.to_lowercase());
    let profile = derived(data, &key);
    let contact = RowReference { table: "contact".to_owned(), id: derived(data, &format!("{key}/contact")) };
    let name = text("fullName").unwrap_or(handle);
    if data.get("contact", contact.id).is_none() {
        let mut row = Row::default();
        row.values.insert("fullname".to_owned(), json!(truncate(name, 160)));
        row.values.insert("statecode".to_owned(), json!(0));
        data.put("contact", contact.id, row, now);
    }
    if data.get("socialprofile", profile).is_none() {
        let mut row = Row::default();
        let link = text("profilelink").map(|link| truncate(link, 100));
        let score = properties.get("influencescore").filter(|score| score.is_number()).cloned();
        for (column, value) in [
            ("profilename", Some(json!(truncate(handle, 100)))),
            ("profilefullname", Some(json!(truncate(name, 160)))),
            ("profilelink", link.map(Value::from)),
            ("influencescore", score),
            ("community", Some(community)),
            ("blocked", Some(json!(false))),
            ("statecode", Some(json!(0))),
        ] {
            if let Some(value) = value {
                row.values.insert(column.to_owned(), value);
            }
        }
        row.lookups.insert("customerid".to_owned(), contact.clone());
        data.put("socialprofile", profile, row, now);
    }
    activity.lookups.insert(
        "postfromprofileid".to_owned(),
        RowReference { table: "socialprofile".to_owned(), id: profile },
    );
    activity.lookups.insert("postauthor".to_owned(), contact.clone());
    activity.lookups.entry("postauthoraccount".to_owned()).or_insert(contact);
    data.put(ACTIVITY, id, activity, now);
}

fn truncate(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}
