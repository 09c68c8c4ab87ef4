//! What people do inside Dynamics: the `changes` of a document. Each act is one row of the documented table.

use jiff::Timestamp;
use uuid::Uuid;

use super::data::OrganisationData;
use super::document::{Act, Change};
use super::tables::ACTIVITY;

/// Carries out one change. `Err` holds a sentence on why it did nothing.
pub(super) fn carry_out(data: &mut OrganisationData, change: &Change, now: Timestamp) -> Result<(), String> {
    let post = change.post.as_str();
    let of_post = |row: &super::data::Row| row.text("postid") == Some(post);
    if change.act == Act::RestoreActivity {
        let deleted: Vec<Uuid> =
            data.deleted_rows(ACTIVITY).filter(|(_, row)| of_post(row)).map(|(id, _)| id).collect();
        let restored = deleted.into_iter().filter(|id| data.restore(ACTIVITY, *id, now)).count();
        return if restored == 0 {
            Err(format!("no deleted social activity of post {post:?} can be restored"))
        } else {
            Ok(())
        };
    }
    let activities: Vec<Uuid> =
        data.rows(ACTIVITY).filter(|(_, row)| of_post(row)).map(|(id, _)| id).collect();
    if activities.is_empty() {
        return Err(format!("there is no social activity of post {post:?}"));
    }
    let mut done = 0_usize;
    for id in activities {
        let Some(activity) = data.get(ACTIVITY, id) else { continue };
        done += match change.act {
            Act::DeleteActivity => usize::from(data.delete(ACTIVITY, id, false)),
            Act::DissociateRecord => {
                let mut activity = activity.clone();
                let was = activity.lookups.remove("regardingobjectid");
                if was.is_some() {
                    data.put(ACTIVITY, id, activity, now);
                }
                usize::from(was.is_some())
            }
            Act::DeleteRecord => match activity.regarding().cloned() {
                Some(record) => usize::from(data.delete(&record.table, record.id, false)),
                None => 0,
            },
            Act::RestoreActivity => 0,
        };
    }
    if done == 0 {
        Err(format!("the social activity of post {post:?} regards no record that exists"))
    } else {
        Ok(())
    }
}
