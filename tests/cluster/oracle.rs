//! The history oracle: rules about every revision of the store, independent of the controller's own reports.
//!
//! Each function returns the violations of its rule.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::cluster::condition;
use crate::harness::history::Revision;

/// The key prefix of our three kinds.
pub const OURS: &str = "/registry/postlink.dev/";

/// The key prefix of events.
pub const EVENTS: &str = "/registry/events/";

/// All rules; `canary` is a secret that must not be in `everything`, the history of the whole store.
pub fn broken_rules(everything: &[Revision], canary: &str) -> Vec<String> {
    let ours: Vec<_> = everything.iter().filter(|revision| revision.key.starts_with(OURS)).cloned().collect();
    [broken_promises(everything, canary), another_activity(&ours)].concat()
}

/// Those that hold whatever users do, also if they unlink posts and link them again.
pub fn broken_promises(everything: &[Revision], canary: &str) -> Vec<String> {
    let ours: Vec<_> = everything.iter().filter(|revision| revision.key.starts_with(OURS)).cloned().collect();
    [
        disabled_or_gone_under_an_active_rule(&ours),
        activated_without_its_entry(&ours),
        written_without_a_change(&ours),
        observed_generation_fell(&ours),
        another_activity_in_one_attempt(&ours),
        stale_reservations_at_rest(&ours),
        told_the_secret(everything, canary),
    ]
    .concat()
}

/// I1: at no revision is a connection Disabled or gone while a rule is Active with its UID in
/// `status.connectionUID`. Neither is it ever Disabled with entries (§4.4).
pub fn disabled_or_gone_under_an_active_rule(history: &[Revision]) -> Vec<String> {
    let mut broken = Vec::new();
    replay(history, |at, world| {
        for (key, rule) in world.of("automationrules") {
            let Some(uid) = active_on(rule) else { continue };
            match world.connection(uid) {
                None => broken.push(format!("{at}: the connection of the active rule {key} is gone")),
                Some(connection) if connection["status"]["state"] == "Disabled" => {
                    broken.push(format!("{at}: the connection of the active rule {key} is Disabled"));
                }
                Some(_) => {}
            }
        }
        for (key, connection) in world.of("dynamicsconnections") {
            if connection["status"]["state"] == "Disabled" && !entries(connection).is_empty() {
                broken.push(format!("{at}: {key} is Disabled and has reservations"));
            }
        }
    });
    broken
}

/// §4.1: `Active` becomes True only with an entry of the rule's current generation.
pub fn activated_without_its_entry(history: &[Revision]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut active: BTreeMap<String, String> = BTreeMap::new();
    replay(history, |at, world| {
        let mut now = BTreeMap::new();
        for (key, rule) in world.of("automationrules") {
            let Some(uid) = active_on(rule) else { continue };
            now.insert(key.to_owned(), uid.to_owned());
            if active.get(key).map(String::as_str) == Some(uid) {
                continue;
            }
            let (rule_uid, generation) = (&rule["metadata"]["uid"], &rule["metadata"]["generation"]);
            let has = world.connection(uid).is_some_and(|connection| {
                entries(connection).iter().any(|e| e["uid"] == *rule_uid && e["generation"] == *generation)
            });
            if !has {
                broken.push(format!("{at}: {key} became active without an entry of generation {generation}"));
            }
        }
        active = now;
    });
    broken
}

/// I2: no write of the controller without a change. Consecutive values of an object differ in more than the API
/// server's own counters and times.
pub fn written_without_a_change(history: &[Revision]) -> Vec<String> {
    pairs(history)
        .filter(|(before, after)| meaning(before.value.as_ref()) == meaning(after.value.as_ref()))
        // A server-side apply that only takes over fields is stored too, as an entry of its manager.
        .filter(|(before, after)| owned_by_others(before) == owned_by_others(after))
        .map(|(_, after)| format!("{}: {} was written and says the same", after.revision, after.key))
        .collect()
}

/// The fields of an object that others than the controller own.
fn owned_by_others(revision: &Revision) -> Vec<&Value> {
    let fields = revision.value.as_ref().and_then(|value| value["metadata"]["managedFields"].as_array());
    fields.into_iter().flatten().filter(|entry| entry["manager"] != "postlink").collect()
}

/// I3: `status.observedGeneration` never decreases and is never ahead.
pub fn observed_generation_fell(history: &[Revision]) -> Vec<String> {
    let observed = |revision: &Revision| {
        revision.value.as_ref().and_then(|value| value["status"]["observedGeneration"].as_i64()).unwrap_or(-1)
    };
    let fell = pairs(history).filter(|(before, after)| observed(after) < observed(before));
    let ahead = history.iter().filter(|revision| {
        let generation = revision.value.as_ref().and_then(|value| value["metadata"]["generation"].as_i64());
        generation.is_some_and(|generation| observed(revision) > generation)
    });
    fell.map(|(_, after)| format!("{}: observedGeneration of {} fell", after.revision, after.key))
        .chain(ahead.map(|r| format!("{}: observedGeneration of {} is ahead", r.revision, r.key)))
        .collect()
}

/// A restored link is the original one: a post of this story has one social activity over its whole life, so no second
/// case was created in the instance.
pub fn another_activity(history: &[Revision]) -> Vec<String> {
    let mut activities: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for revision in history {
        let Some(value) = &revision.value else { continue };
        let Some(uid) = value["metadata"]["uid"].as_str() else { continue };
        for link in [&value["status"]["link"], &value["status"]["removedLink"]] {
            if let Some(activity) = link["socialActivityId"].as_str() {
                activities.entry((&revision.key, uid)).or_default().insert(activity);
            }
        }
    }
    let several = activities.into_iter().filter(|(_, ids)| ids.len() > 1);
    several.map(|((key, _), ids)| format!("{key} had {} social activities", ids.len())).collect()
}

/// §2: between two removals of its link, a post has one social activity.
pub fn another_activity_in_one_attempt(history: &[Revision]) -> Vec<String> {
    let mut activities: BTreeMap<(&str, &str, i64), BTreeSet<&str>> = BTreeMap::new();
    for revision in history {
        let Some(value) = &revision.value else { continue };
        let Some(uid) = value["metadata"]["uid"].as_str() else { continue };
        if let Some(activity) = value["status"]["link"]["socialActivityId"].as_str() {
            let attempt = value["status"]["intent"]["attempt"].as_i64().unwrap_or(1);
            activities.entry((&revision.key, uid, attempt)).or_default().insert(activity);
        }
    }
    let several = activities.into_iter().filter(|(_, ids)| ids.len() > 1);
    several
        .map(|((key, _, attempt), ids)| {
            format!("{key} had {} social activities in its attempt {attempt}", ids.len())
        })
        .collect()
}

/// I4: at the end every reservation is one of a rule that is Active on that connection.
pub fn stale_reservations_at_rest(history: &[Revision]) -> Vec<String> {
    let mut last = World::default();
    for revision in history {
        last.apply(revision);
    }
    let mut broken = Vec::new();
    for (key, connection) in last.of("dynamicsconnections") {
        for entry in entries(connection) {
            let works = last.of("automationrules").any(|(_, rule)| {
                rule["metadata"]["uid"] == entry["uid"]
                    && active_on(rule) == connection["metadata"]["uid"].as_str()
            });
            if !works {
                broken.push(format!("at rest: {key} has a reservation of {} without a rule", entry["name"]));
            }
        }
    }
    broken
}

/// I5: the secret is in none of our objects and no event, plain or in base64.
pub fn told_the_secret(everything: &[Revision], canary: &str) -> Vec<String> {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(canary);
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    everything
        .iter()
        .filter(|revision| revision.key.starts_with(OURS) || revision.key.starts_with(EVENTS))
        .filter(|revision| {
            revision.bytes.as_ref().is_some_and(|bytes| holds(bytes, canary) || holds(bytes, &encoded))
        })
        .map(|revision| format!("{}: {} holds the client secret", revision.revision, revision.key))
        .collect()
}

/// Each write with the previous one of the same object (same UID).
pub fn pairs(history: &[Revision]) -> impl Iterator<Item = (&Revision, &Revision)> {
    let mut last: BTreeMap<&str, &Revision> = BTreeMap::new();
    history.iter().filter_map(move |revision| {
        let before = last.insert(&revision.key, revision)?;
        let uid = |revision: &Revision| Some(revision.value.as_ref()?["metadata"]["uid"].clone());
        (uid(before).is_some() && uid(before) == uid(revision)).then_some((before, revision))
    })
}

fn meaning(value: Option<&Value>) -> Option<Value> {
    let mut value = value?.clone();
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        metadata.remove("resourceVersion");
    }
    for condition in value["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if let Some(condition) = condition.as_object_mut() {
            condition.remove("lastTransitionTime");
        }
    }
    Some(value)
}

/// The connection a rule is Active on.
fn active_on(rule: &Value) -> Option<&str> {
    condition(rule, "Active").filter(|(status, _)| *status == "True")?;
    rule["status"]["connectionUID"].as_str()
}

fn entries(connection: &Value) -> &[Value] {
    connection["status"]["activeRules"].as_array().map_or(&[], Vec::as_slice)
}

/// What the store held at one revision.
#[derive(Default)]
struct World(BTreeMap<String, Value>);

impl World {
    fn apply(&mut self, revision: &Revision) {
        match &revision.value {
            Some(value) => self.0.insert(revision.key.clone(), value.clone()),
            None => self.0.remove(&revision.key),
        };
    }

    fn of(&self, resource: &str) -> impl Iterator<Item = (&str, &Value)> {
        let prefix = format!("{OURS}{resource}/");
        self.0
            .iter()
            .filter(move |(key, _)| key.starts_with(&prefix))
            .map(|(key, value)| (key.as_str(), value))
    }

    fn connection(&self, uid: &str) -> Option<&Value> {
        self.of("dynamicsconnections").map(|(_, value)| value).find(|value| value["metadata"]["uid"] == uid)
    }
}

fn replay(history: &[Revision], mut look: impl FnMut(u64, &World)) {
    let mut world = World::default();
    for revision in history {
        world.apply(revision);
        // Links hold nothing.
        if !revision.key.starts_with(&format!("{OURS}postlinks/")) {
            look(revision.revision, &world);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A history of `resource` with one revision per value.
    fn history(writes: &[(&str, Value)]) -> Vec<Revision> {
        let revision = |(number, (resource, value)): (usize, &(&str, Value))| Revision {
            revision: number as u64 + 1,
            key: format!("{OURS}{resource}/social/one"),
            bytes: (!value.is_null()).then(|| value.to_string().into_bytes()),
            value: (!value.is_null()).then(|| value.clone()),
        };
        writes.iter().enumerate().map(revision).collect()
    }

    fn connection(state: &str, entry_generation: Option<i64>) -> Value {
        let entries: Vec<_> =
            entry_generation.iter().map(|g| json!({"name": "one", "uid": "r", "generation": g})).collect();
        json!({"metadata": {"uid": "c"}, "status": {"state": state, "activeRules": entries}})
    }

    fn rule(active: &str) -> Value {
        json!({
            "metadata": {"uid": "r", "generation": 3},
            "status": {"connectionUID": "c", "conditions": [{"type": "Active", "status": active, "reason": "X"}]},
        })
    }

    #[test]
    fn oracle_finds_connection_lost_under_an_active_rule() {
        let enabled = ("dynamicsconnections", connection("Enabled", Some(3)));
        let active = ("automationrules", rule("True"));
        let fine = [
            enabled.clone(),
            active.clone(),
            ("automationrules", rule("False")),
            ("dynamicsconnections", connection("Disabled", None)),
            ("dynamicsconnections", Value::Null),
        ];
        assert_eq!(disabled_or_gone_under_an_active_rule(&history(&fine)), [""; 0]);
        let early = [enabled.clone(), active.clone(), ("dynamicsconnections", connection("Disabled", None))];
        assert_eq!(disabled_or_gone_under_an_active_rule(&history(&early)).len(), 1);
        let gone = [enabled, active, ("dynamicsconnections", Value::Null)];
        assert_eq!(disabled_or_gone_under_an_active_rule(&history(&gone)).len(), 1);
        let both = [("dynamicsconnections", connection("Disabled", Some(3)))];
        assert_eq!(disabled_or_gone_under_an_active_rule(&history(&both)).len(), 1);
        assert_eq!(stale_reservations_at_rest(&history(&both)).len(), 1);
    }

    #[test]
    fn oracle_finds_an_activation_without_a_current_entry() {
        let with = |generation| {
            let writes = [
                ("dynamicsconnections", connection("Enabled", generation)),
                ("automationrules", rule("True")),
            ];
            activated_without_its_entry(&history(&writes)).len()
        };
        assert_eq!([with(Some(3)), with(Some(2)), with(None)], [0, 1, 1]);
    }

    #[test]
    fn oracle_finds_a_no_op_write() {
        let written = |time: &str, message: &str, manager: &str| {
            json!({
                "metadata": {"uid": "p", "managedFields": [{"manager": manager, "time": time}]},
                "status": {"conditions": [{"type": "Ready", "message": message, "lastTransitionTime": time}]},
            })
        };
        let found = |second: Value| {
            let writes = [("postlinks", written("1", "a", "postlink")), ("postlinks", second)];
            written_without_a_change(&history(&writes)).len()
        };
        assert_eq!(found(written("2", "a", "postlink")), 1);
        assert_eq!(found(written("2", "b", "postlink")), 0);
        assert_eq!(found(written("2", "a", "kubectl")), 0, "another manager took over a field");
    }

    #[test]
    fn oracle_finds_lower_generation_second_activity_leaked_secret() {
        let link = |observed: i64, activity: &str| {
            json!({
                "metadata": {"uid": "p", "generation": 2},
                "status": {"observedGeneration": observed, "link": {"socialActivityId": activity}},
            })
        };
        let found = |first: Value, second: Value| {
            let history = history(&[("postlinks", first), ("postlinks", second)]);
            (observed_generation_fell(&history).len(), another_activity(&history).len())
        };
        assert_eq!(found(link(1, "a"), link(2, "a")), (0, 0));
        assert_eq!(found(link(2, "a"), link(1, "a")), (1, 0));
        assert_eq!(found(link(2, "a"), link(3, "b")), (1, 1));
        let attempts = |[first, second]: [i64; 2]| {
            let link = |attempt: i64, activity: &str| {
                json!({
                    "metadata": {"uid": "p"},
                    "status": {"link": {"socialActivityId": activity}, "intent": {"attempt": attempt}},
                })
            };
            let writes = [("postlinks", link(first, "a")), ("postlinks", link(second, "b"))];
            another_activity_in_one_attempt(&history(&writes)).len()
        };
        assert_eq!([attempts([1, 1]), attempts([1, 2])], [1, 0]);
        let leaks =
            |text: &str| told_the_secret(&history(&[("postlinks", json!({"a": text}))]), "paper-clip").len();
        assert_eq!([leaks("paper-clip"), leaks("cGFwZXItY2xpcA=="), leaks("paper")], [1, 1, 0]);
    }
}
