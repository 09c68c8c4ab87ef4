//! What users do inside Dynamics 365, beside the client under test.

use jiff::Timestamp;
use uuid::Uuid;

use crate::data::{OrganizationData, Row};
use crate::spec::{UserAction, UserActionKind};
use crate::tables::ACTIVITY;

/// Performs one action on all activities with its `postid`. The error says why it had no effect.
pub(crate) fn perform(
    data: &mut OrganizationData,
    action: &UserAction,
    now: Timestamp,
) -> Result<(), String> {
    let post = action.post.as_str();
    let has_post = |row: &Row| row.text("postid") == Some(post);
    if action.kind == UserActionKind::RestoreActivity {
        let deleted: Vec<Uuid> =
            data.deleted_rows(ACTIVITY).filter(|(_, row)| has_post(row)).map(|(id, _)| id).collect();
        let restored = deleted.into_iter().filter(|id| data.restore(ACTIVITY, *id, now)).count();
        return if restored == 0 {
            Err(format!("no deleted social activity of post {post:?} can be restored"))
        } else {
            Ok(())
        };
    }
    let activities: Vec<Uuid> =
        data.rows(ACTIVITY).filter(|(_, row)| has_post(row)).map(|(id, _)| id).collect();
    if activities.is_empty() {
        return Err(format!("there is no social activity of post {post:?}"));
    }
    let mut changed = false;
    for id in activities {
        changed |= match action.kind {
            UserActionKind::DeleteActivity => data.delete(ACTIVITY, id, false),
            UserActionKind::DissociateRecord => dissociate(data, id, now),
            UserActionKind::DeleteRecord => {
                let record = data.get(ACTIVITY, id).and_then(Row::regarding).cloned();
                record.is_some_and(|record| data.delete(&record.table, record.id, false))
            }
            UserActionKind::RestoreActivity => false,
        };
    }
    if changed {
        Ok(())
    } else {
        Err(format!("the social activity of post {post:?} regards no record that exists"))
    }
}

fn dissociate(data: &mut OrganizationData, id: Uuid, now: Timestamp) -> bool {
    let Some(mut activity) = data.get(ACTIVITY, id).cloned() else { return false };
    if activity.lookups.remove("regardingobjectid").is_none() {
        return false;
    }
    data.put(ACTIVITY, id, activity, now);
    true
}
