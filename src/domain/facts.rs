//! The fields of neighboring objects that decisions need.

use crate::api::{
    ActiveRule, AutomationRule, ConditionStatus, ConditionType, ConnectionState, DynamicsConnection,
    MetadataStatus, Reason,
    conditions::{find, is_true, reason},
    names::FINALIZER,
};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;
use uuid::Uuid;

/// The value of a request annotation, unless it is the one handled last.
pub fn unhandled<'a>(requested: Option<&'a str>, handled: Option<&str>) -> Option<&'a str> {
    requested.filter(|value| Some(*value) != handled)
}

#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionFacts {
    pub name: String,
    pub uid: String,
    pub created: Timestamp,
    /// `metadata.deletionTimestamp`.
    pub deleted_at: Option<Timestamp>,
    /// `spec.enabled`.
    pub wants_enabled: bool,
    /// Whether it has our finalizer.
    pub finalizer: bool,
    /// Since when active rules block a disable or delete (§4.6).
    pub held_since: Option<Timestamp>,
    /// `status.state`.
    pub state: Option<ConnectionState>,
    /// Why credentials, Secret, host or organization cannot be used.
    pub unusable: Option<Reason>,
    pub organization: Option<Uuid>,
    /// `spec.recordTypes`.
    pub listed: Vec<String>,
    /// `status.metadata`: which record types are in force, and which cannot be.
    pub metadata: MetadataStatus,
    /// Since when it is the default of its namespace (R3).
    pub default_since: Option<Timestamp>,
    /// `status.activeRules`: its reservations (§4).
    pub active_rules: Vec<ActiveRule>,
    /// `spec.instanceUrl`.
    pub instance_url: String,
    /// `spec.linksPerSecond`.
    pub links_per_second: Option<i32>,
}

impl ConnectionFacts {
    pub fn of(connection: &DynamicsConnection) -> Self {
        let status = connection.status.clone().unwrap_or_default();
        let since = |type_| {
            find(&status.conditions, type_)
                .filter(|c| c.status == ConditionStatus::True)
                .map(|c| c.last_transition_time.0)
        };
        let deleted_at = connection.metadata.deletion_timestamp.as_ref().map(|t| t.0);
        Self {
            name: connection.name_any(),
            uid: connection.uid().unwrap_or_default(),
            created: created(&connection.metadata),
            deleted_at,
            wants_enabled: connection.spec.enabled,
            finalizer: connection.finalizers().iter().any(|f| f == FINALIZER),
            held_since: since(ConditionType::DisableRefused).max(since(ConditionType::DeletionRefused)),
            state: status.state,
            unusable: unusable(&status.conditions),
            organization: status.organization.as_ref().map(|o| o.id),
            listed: connection.spec.record_types.clone(),
            metadata: status.metadata.unwrap_or_default(),
            default_since: since(ConditionType::Default),
            active_rules: status.active_rules,
            instance_url: connection.spec.instance_url.clone(),
            links_per_second: connection.spec.links_per_second,
        }
    }

    /// Whether a disable or delete is requested (§4.3), so that no rule can be added.
    pub fn fenced(&self) -> bool {
        !self.finalizer || self.deleted_at.is_some() || !self.wants_enabled
    }

    /// Whether links can use a record type.
    pub fn offer(&self, record_type: &str) -> Offer {
        let among = |types: &[String]| types.iter().any(|t| t == record_type);
        if among(&self.metadata.missing_record_types) {
            Offer::NoTable
        } else if among(&self.metadata.unsupported_record_types) {
            Offer::NotSupported
        } else if among(&self.metadata.record_types) {
            Offer::Offered
        } else if among(&self.listed) {
            Offer::Unread
        } else {
            Offer::NotListed
        }
    }

    /// Whether a rule can become active with a record type. One that is only kept for other rules (R9) is not offered: otherwise
    /// the order in which rules arrive would decide.
    pub fn offer_to_new(&self, record_type: &str) -> Offer {
        if self.listed.iter().any(|t| t == record_type) { self.offer(record_type) } else { Offer::NotListed }
    }

    /// Whether a rule that is active on this connection may keep a record type. Types in the status count even if the spec or
    /// the instance no longer has them (R9), and no rule releases one because the status was lost.
    pub fn offer_to_active(&self, record_type: &str) -> Offer {
        if self.metadata.refreshed_at.is_none() {
            Offer::Unread
        } else if self.metadata.record_types.iter().any(|t| t == record_type) {
            Offer::Offered
        } else {
            self.offer(record_type)
        }
    }

    /// The record type of links that name none: the first, even if it cannot be used. With the next one, a typo would link
    /// posts to a table that nobody asked for.
    pub fn default_record_type(&self) -> Option<&str> {
        self.listed.first().map(String::as_str)
    }

    /// Whether it has a reservation of this rule.
    pub fn lists(&self, rule_uid: &str) -> bool {
        self.active_rules.iter().any(|entry| entry.uid == rule_uid)
    }

    /// Why no link can be created through it now; `None` if it can (R21).
    pub fn refuses_links(&self) -> Option<Reason> {
        if self.unusable == Some(Reason::OrganizationChanged) {
            return Some(Reason::OrganizationChanged);
        }
        match self.state {
            Some(ConnectionState::Disabled) => Some(Reason::ConnectionDisabled),
            _ if self.unusable.is_some() => Some(Reason::ConnectionNotReady),
            Some(ConnectionState::Downtime) => Some(Reason::InstanceDowntime),
            Some(ConnectionState::Expired) => Some(Reason::InstanceExpired),
            Some(ConnectionState::Enabled) if self.organization.is_some() => None,
            _ => Some(Reason::ConnectionNotReady),
        }
    }
}

/// What is known about a record type of a connection (R4, R9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    Offered,
    /// The metadata of its table has not been read yet.
    Unread,
    /// It is not in `spec.recordTypes`.
    NotListed,
    /// The instance has no such table.
    NoTable,
    /// Social activities cannot refer to its table.
    NotSupported,
}

/// The reason of a False Ready condition, if it is about credentials, Secret, host or organization.
fn unusable(conditions: &[crate::api::Condition]) -> Option<Reason> {
    let not_ready =
        find(conditions, ConditionType::Ready).is_some_and(|c| c.status == ConditionStatus::False);
    reason(conditions, ConditionType::Ready).filter(|reason| {
        not_ready
            && matches!(
                reason,
                Reason::SecretNotFound
                    | Reason::SecretInvalid
                    | Reason::CredentialsRejected
                    | Reason::AccessDenied
                    | Reason::HostNotAllowed
                    | Reason::AddressNotAllowed
                    | Reason::OrganizationChanged
            )
    })
}

#[derive(Clone, Debug, PartialEq)]
pub struct RuleFacts {
    pub name: String,
    pub uid: String,
    pub generation: i64,
    pub created: Timestamp,
    /// `spec.active` and not being deleted.
    pub wants_active: bool,
    /// The name in `spec.connectionRef`.
    pub connection: String,
    /// The UID of the connection on which its `Active` condition is True.
    pub active_on: Option<String>,
    /// Whether the last decision was for this generation and is not waiting for a reservation.
    pub settled: bool,
    /// `status.activeFrom`.
    pub active_from: Option<Timestamp>,
    /// `spec.since`.
    pub since: Option<Timestamp>,
    /// `spec.link.recordType`.
    pub record_type: Option<String>,
    /// `spec.link.notes`.
    pub notes: Option<String>,
}

impl RuleFacts {
    pub fn of(rule: &AutomationRule) -> Self {
        let default = crate::api::AutomationRuleStatus::default();
        let status = rule.status.as_ref().unwrap_or(&default);
        let generation = rule.metadata.generation.unwrap_or(0);
        let active = is_true(&status.conditions, ConditionType::Active);
        Self {
            name: rule.name_any(),
            uid: rule.uid().unwrap_or_default(),
            generation,
            created: created(&rule.metadata),
            wants_active: rule.spec.active && rule.metadata.deletion_timestamp.is_none(),
            connection: rule.spec.connection_ref.name.clone(),
            active_on: status.connection_uid.clone().filter(|_| active),
            settled: status.observed_generation == generation
                && reason(&status.conditions, ConditionType::Active) != Some(Reason::ReservationPending),
            active_from: status.active_from.as_ref().map(|t| t.0),
            since: rule.spec.since.as_ref().map(|t| t.0),
            record_type: rule.spec.link.as_ref().and_then(|l| l.record_type.clone()),
            notes: rule.spec.link.as_ref().and_then(|l| l.notes.clone()),
        }
    }

    /// A rule that cannot be decoded must not block the disable of every connection in its namespace, so the readable fields
    /// count: if it is Active somewhere it holds that connection, and it keeps a reservation it has. It gets no new
    /// reservation, because it could not be activated.
    pub fn of_undecodable(rule: &Value) -> Self {
        let text = |pointer: &str| rule.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let conditions = rule.pointer("/status/conditions").and_then(Value::as_array);
        let active = ConditionType::Active.as_str();
        let is_active = conditions.is_some_and(|conditions| {
            conditions.iter().any(|condition| condition["type"] == active && condition["status"] == "True")
        });
        Self {
            name: text("/metadata/name").unwrap_or_default(),
            uid: text("/metadata/uid").unwrap_or_default(),
            generation: rule["metadata"]["generation"].as_i64().unwrap_or(0),
            created: text("/metadata/creationTimestamp")
                .and_then(|created| created.parse().ok())
                .unwrap_or(Timestamp::UNIX_EPOCH),
            wants_active: text("/metadata/deletionTimestamp").is_none()
                && rule.pointer("/spec/active") != Some(&Value::Bool(false)),
            connection: text("/spec/connectionRef/name").unwrap_or_default(),
            active_on: text("/status/connectionUID").filter(|_| is_active),
            settled: false,
            active_from: None,
            since: None,
            // No connection offers this type, so no reservation is made.
            record_type: Some(String::new()),
            notes: None,
        }
    }

    /// Whether it is active on that connection according to both objects (§4.1).
    pub fn effective_on(&self, connection: &ConnectionFacts) -> bool {
        self.active_on.as_deref() == Some(connection.uid.as_str()) && connection.lists(&self.uid)
    }
}

/// The creationTimestamp; the epoch if it is not set.
pub fn created(metadata: &kube::core::ObjectMeta) -> Timestamp {
    metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn facts(spec: &Value, active: &str) -> RuleFacts {
        let rule = json!({
            "apiVersion": "postlink.dev/v1alpha1", "kind": "AutomationRule",
            "metadata": {"name": "r", "namespace": "n", "uid": "u", "generation": 4,
                "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": spec,
            "status": {
                "connectionUID": "c",
                "conditions": [{"type": "Active", "status": active, "reason": "Reserved", "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            },
        });
        RuleFacts::of_undecodable(&rule)
    }

    #[test]
    fn undecodable_active_rule_still_holds_its_connection() {
        let broken = json!({"connectionRef": {"name": "one"}, "match": "everything"});
        let active = facts(&broken, "True");
        assert_eq!(active.active_on.as_deref(), Some("c"));
        assert_eq!((active.name.as_str(), active.uid.as_str(), active.generation), ("r", "u", 4));
        assert_eq!(active.created.to_string(), "2026-01-01T00:00:00Z");
        assert_eq!((active.wants_active, active.connection.as_str()), (true, "one"));
        assert_eq!(active.record_type.as_deref(), Some(""), "no connection offers it");
        assert_eq!(facts(&broken, "False").active_on, None);
        assert!(!facts(&json!({"active": false, "connectionRef": 7}), "False").wants_active);
    }
}
