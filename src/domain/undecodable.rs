//! The status of an object that cannot be decoded: what it said about an earlier generation is not true of this one.

use super::{
    conditions::{Conditions, ready_reason},
    kstatus::{self, Readiness},
    messages,
};
use crate::api::{
    Condition, ConditionType, Reason,
    conditions::{is_true, reason},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The status to store: not ready, for the reason given. Nothing else of it changes: its link, its reservations and its
/// other conditions are still true, whether they can be read or not. `observedGeneration` stays, too: a decision about
/// this generation has yet to come.
pub fn status(object: &Value, fault: &str, now: Timestamp) -> Value {
    let generation = object["metadata"]["generation"].as_i64().unwrap_or_default();
    let mut status = object["status"].as_object().cloned().unwrap_or_else(Map::new);
    let stored = status.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let readable: Vec<Condition> =
        stored.iter().filter_map(|condition| serde_json::from_value(condition.clone()).ok()).collect();

    let mut conditions = Conditions::new(now, generation, &readable);
    // Nothing is linked through such a connection until a person decides, also once it can be decoded (§3).
    let of_others = reason(&readable, ConditionType::Ready) == Some(Reason::OrganizationChanged)
        && !is_true(&readable, ConditionType::Ready);
    let why = if of_others { Reason::OrganizationChanged } else { Reason::Undecodable };
    kstatus::write(&mut conditions, Readiness::NotReady(why, messages::undecodable(fault)));
    let conditions = conditions.finish();

    let replaced = [ConditionType::Ready, ConditionType::Reconciling, ConditionType::Stalled];
    let is_replaced = |condition: &Value| replaced.iter().any(|type_| condition["type"] == type_.as_str());
    let ready_reason = ready_reason(&conditions);
    let all: Vec<Value> = conditions
        .iter()
        .map(|condition| json!(condition))
        .chain(stored.into_iter().filter(|condition| !is_replaced(condition)))
        .collect();
    status.insert("conditions".into(), all.into());
    status.insert("reason".into(), json!(ready_reason));
    status.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undecodable_object_is_not_ready_and_keeps_the_rest() {
        let condition = |type_: &str| {
            json!({
                "type": type_, "status": "True", "reason": "LinkedByHand", "message": "It was.",
                "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
            })
        };
        let unreadable = json!({"type": "Linked", "status": 7});
        let object = json!({
            "metadata": {"generation": 2},
            "status": {
                "observedGeneration": 1, "reason": "LinkedByHand", "link": {"record": 5},
                "conditions": [condition("Ready"), unreadable, condition("RecordAvailable"), condition("Reconciling")],
            },
        });
        let now: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
        let written = status(&object, "spec.post.reach: invalid type, expected i32", now);
        assert_eq!(written["observedGeneration"], 1, "nothing is decided about the second");
        assert_eq!(written["reason"], "Undecodable");
        assert_eq!(written["link"], object["status"]["link"]);
        let conditions = written["conditions"].as_array().unwrap();
        let types: Vec<_> = conditions.iter().map(|condition| condition["type"].as_str().unwrap()).collect();
        assert_eq!(types, ["Ready", "Stalled", "Linked", "RecordAvailable"]);
        assert_eq!((&conditions[2], &conditions[3]), (&unreadable, &condition("RecordAvailable")));
        assert_eq!(conditions[0]["status"], "False");
        assert_eq!(conditions[0]["lastTransitionTime"], "2026-02-01T00:00:00Z");
        assert!(conditions[0]["message"].as_str().unwrap().contains("spec.post.reach"));

        // Written once: the second time, nothing differs.
        let again = json!({"metadata": {"generation": 2}, "status": written});
        let later: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        assert_eq!(status(&again, "spec.post.reach: invalid type, expected i32", later), written);
        // A connection to another organization than before stays so.
        let mut changed = object;
        changed["status"]["conditions"][0]["status"] = "False".into();
        changed["status"]["conditions"][0]["reason"] = "OrganizationChanged".into();
        let written =
            status(&changed, "spec.credentials: invalid type, expected struct CredentialsSource", now);
        assert_eq!(written["conditions"][0]["reason"], "OrganizationChanged");

        let never = status(&json!({"metadata": {"generation": 1}}), "spec: missing field `post`", now);
        assert_eq!(never["conditions"][0]["reason"], "Undecodable");
        assert_eq!(never.get("observedGeneration"), None);
    }
}
