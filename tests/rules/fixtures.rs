//! Small builders: a connection in some state, a rule, the time. Facts are always taken from real objects.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, Time};
use postlink::{
    api::{
        ActiveRule, AutomationRule, AutomationRuleSpec, AutomationRuleStatus, Condition, ConditionStatus,
        ConditionType, ConnectionRef, ConnectionState, Credentials, DynamicsConnection,
        DynamicsConnectionSpec, DynamicsConnectionStatus, MetadataStatus, Organization, Reason, RuleLink,
        SecretRef, conditions,
        names::{CONTROLLER, FINALIZER},
    },
    domain::facts::{ConnectionFacts, RuleFacts},
};
use uuid::Uuid;

/// The organization of connections that do not say otherwise.
pub const ORG: Uuid = Uuid::from_u128(0x0a);
/// Another organization.
pub const OTHER_ORG: Uuid = Uuid::from_u128(0x0b);
/// A day, in seconds.
pub const DAY: i64 = 86_400;

/// So many seconds after the moment tests begin at.
pub fn at(seconds: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start + SignedDuration::from_secs(seconds)
}

/// A condition as it is stored.
pub fn condition(
    type_: ConditionType,
    status: impl Into<ConditionStatus>,
    reason: Reason,
    since: Timestamp,
) -> Condition {
    Condition {
        type_: type_.as_str().into(),
        status: status.into(),
        observed_generation: Some(1),
        last_transition_time: Time(since),
        reason: reason.as_str().into(),
        message: format!("Stored as {reason}."),
    }
}

/// `True/Connected`, or `-` when the condition is absent.
pub fn condition_text(list: &[Condition], type_: ConditionType) -> String {
    conditions::find(list, type_).map_or_else(|| "-".into(), |c| format!("{}/{}", c.status, c.reason))
}

/// The message of a condition; empty when it is absent.
pub fn message(list: &[Condition], type_: ConditionType) -> String {
    conditions::find(list, type_).map_or_else(String::new, |c| c.message.clone())
}

/// `True`, `False+Reconciling`, `False+Stalled` or `Unknown+Reconciling`: `Ready`, then `Reconciling` or `Stalled`.
pub fn readiness(list: &[Condition]) -> String {
    let Some(ready) = conditions::find(list, ConditionType::Ready) else { return "-".into() };
    let mut text = ready.status.to_string();
    for type_ in [ConditionType::Reconciling, ConditionType::Stalled] {
        if let Some(c) = conditions::find(list, type_) {
            assert_eq!(c.status, ConditionStatus::True, "{} is abnormal-true: absent when fine", c.type_);
            text = format!("{text}+{}", c.type_);
        }
    }
    text
}

/// The states of an instance that is unavailable, with the reason in the conditions of links (R17, R18).
pub const UNAVAILABLE: [(ConnectionState, Reason); 2] = [
    (ConnectionState::Downtime, Reason::InstanceDowntime),
    (ConnectionState::Expired, Reason::InstanceExpired),
];

/// A connection.
#[derive(Clone)]
pub struct Connection(pub DynamicsConnection);

/// A reference to the Secret of that name.
pub fn credentials(name: &str) -> Credentials {
    Credentials { secret_ref: Some(SecretRef { name: name.into() }), workload_identity: None }
}

/// An entry of `managedFields` of somebody who applied the finalizer.
pub fn manages_finalizer(manager: &str) -> ManagedFieldsEntry {
    ManagedFieldsEntry {
        manager: Some(manager.into()),
        operation: Some("Apply".into()),
        fields_v1: Some(FieldsV1(serde_json::json!({
            "f:metadata": {"f:finalizers": {"v:\"postlink.dev/active-rules\"": {}}},
        }))),
        ..ManagedFieldsEntry::default()
    }
}

/// An Enabled connection to [`ORG`], two days old, with our finalizer; its UID is `uid-<name>`.
pub fn connection(name: &str) -> Connection {
    let mut object = DynamicsConnection::new(
        name,
        DynamicsConnectionSpec {
            instance_url: format!("https://{name}.crm.dynamics.com"),
            display_name: None,
            enabled: true,
            default: false,
            record_types: vec!["incident".into(), "lead".into()],
            credentials: credentials("key"),
            refresh: None,
            probe: None,
            links_per_second: None,
        },
    );
    object.metadata.uid = Some(format!("uid-{name}"));
    object.metadata.generation = Some(1);
    object.metadata.creation_timestamp = Some(Time(at(-2 * DAY)));
    object.metadata.finalizers = Some(vec![FINALIZER.into()]);
    object.metadata.managed_fields = Some(vec![manages_finalizer(CONTROLLER)]);
    object.status = Some(DynamicsConnectionStatus {
        observed_generation: 1,
        state: Some(ConnectionState::Enabled),
        conditions: vec![condition(ConditionType::Ready, true, Reason::Connected, at(-DAY))],
        organization: Some(organization(ORG)),
        connected_on: Some(Time(at(-2 * DAY))),
        metadata: Some(MetadataStatus {
            refreshed_at: Some(Time(at(-DAY))),
            record_types: vec!["incident".into(), "lead".into()],
            ..MetadataStatus::default()
        }),
        ..DynamicsConnectionStatus::default()
    });
    Connection(object)
}

/// An organization as its instance describes it.
pub fn organization(id: Uuid) -> Organization {
    Organization {
        id,
        unique_name: Some("contoso".into()),
        version: Some("9.2".into()),
        language: Some(1033),
    }
}

impl Connection {
    pub fn status(&mut self) -> &mut DynamicsConnectionStatus {
        self.0.status.get_or_insert_default()
    }

    fn ready(mut self, status: bool, reason: Reason) -> Self {
        let list = &mut self.status().conditions;
        list.retain(|c| c.type_ != "Ready");
        list.push(condition(ConditionType::Ready, status, reason, at(-DAY)));
        self
    }

    /// A connection in that state: of the instance (R17, R18), or Disabled by `enabled: false` (R5).
    pub fn state(mut self, state: ConnectionState) -> Self {
        self.status().state = Some(state);
        match state {
            ConnectionState::Enabled => self.ready(true, Reason::Connected),
            ConnectionState::Disabled => {
                self.0.spec.enabled = false;
                self.ready(true, Reason::Disabled)
            }
            ConnectionState::Downtime => self.ready(false, Reason::InstanceDowntime),
            ConnectionState::Expired => self.ready(false, Reason::InstanceExpired),
        }
    }

    /// Its credentials, Secret, host or organization cannot be used; the state is the last known one.
    pub fn unusable(self, reason: Reason) -> Self {
        self.ready(false, reason)
    }

    /// It has no status yet.
    pub fn never_reconciled(mut self) -> Self {
        self.0.status = None;
        self
    }

    /// Of the tables in its `recordTypes`, only those have been read and found.
    pub fn offers(mut self, types: &[&str]) -> Self {
        self.status().metadata.get_or_insert_default().record_types =
            types.iter().map(|t| (*t).into()).collect();
        self
    }

    /// Its instance has no such table.
    pub fn lacks(mut self, table: &str) -> Self {
        let metadata = self.status().metadata.get_or_insert_default();
        metadata.record_types.retain(|t| t != table);
        metadata.missing_record_types.push(table.into());
        self
    }

    pub fn org(mut self, id: Uuid) -> Self {
        self.status().organization = Some(organization(id));
        self
    }

    pub fn uid(mut self, uid: &str) -> Self {
        self.0.metadata.uid = Some(uid.into());
        self
    }

    pub fn created(mut self, when: Timestamp) -> Self {
        self.0.metadata.creation_timestamp = Some(Time(when));
        self
    }

    pub fn default_since(mut self, when: Timestamp) -> Self {
        self.0.spec.default = true;
        let default = condition(ConditionType::Default, true, Reason::DefaultConnection, when);
        self.status().conditions.push(default);
        self
    }

    pub fn deleting(mut self, when: Timestamp) -> Self {
        self.0.metadata.deletion_timestamp = Some(Time(when));
        self
    }

    pub fn reserve(mut self, rule: &str, generation: i64) -> Self {
        let entry = ActiveRule { name: rule.into(), uid: format!("uid-{rule}"), generation };
        self.status().active_rules.push(entry);
        self.status().active_rule_count += 1;
        self
    }

    /// It has `enabled: false`, which an active rule has blocked since then (§4.6).
    pub fn disable_refused(mut self, since: Timestamp) -> Self {
        self.0.spec.enabled = false;
        self = self.reserve("holder", 1);
        let refused = condition(ConditionType::DisableRefused, true, Reason::UsedByActiveRules, since);
        self.status().conditions.push(refused);
        self
    }

    pub fn facts(&self) -> ConnectionFacts {
        ConnectionFacts::of(&self.0)
    }
}

/// A rule.
#[derive(Clone)]
pub struct Rule(pub AutomationRule);

/// A rule for connection `contoso`, a day old, with `active: true` and no status; its UID is `uid-<name>`.
pub fn rule(name: &str) -> Rule {
    let mut object = AutomationRule::new(
        name,
        AutomationRuleSpec {
            connection_ref: ConnectionRef { name: "contoso".into() },
            active: true,
            match_: None,
            since: None,
            link: None,
        },
    );
    object.metadata.uid = Some(format!("uid-{name}"));
    object.metadata.generation = Some(1);
    object.metadata.creation_timestamp = Some(Time(at(-DAY)));
    Rule(object)
}

impl Rule {
    pub fn status(&mut self) -> &mut AutomationRuleStatus {
        self.0.status.get_or_insert_default()
    }

    /// Its `Active` condition is True, on `uid-<connection>`.
    pub fn active_on(mut self, connection: &str) -> Self {
        let generation = self.0.metadata.generation.unwrap_or_default();
        let from = self.0.metadata.creation_timestamp.clone();
        let status = self.status();
        status.observed_generation = generation;
        status.connection_uid = Some(format!("uid-{connection}"));
        status.active_from = status.active_from.clone().or(from);
        status.conditions = vec![condition(ConditionType::Active, true, Reason::Reserved, at(-DAY))];
        self
    }

    /// Its `Active` condition is False, for that reason.
    pub fn inactive(mut self, reason: Reason) -> Self {
        let generation = self.0.metadata.generation.unwrap_or_default();
        let from = self.0.metadata.creation_timestamp.clone();
        let status = self.status();
        status.observed_generation = generation;
        status.active_from = status.active_from.clone().or(from);
        status.conditions = vec![condition(ConditionType::Active, false, reason, at(-DAY))];
        self
    }

    /// `spec.connectionRef` names this connection.
    pub fn refers_to(mut self, connection: &str) -> Self {
        self.0.spec.connection_ref.name = connection.into();
        self
    }

    pub fn deactivated(mut self) -> Self {
        self.0.spec.active = false;
        self
    }

    pub fn created(mut self, when: Timestamp) -> Self {
        self.0.metadata.creation_timestamp = Some(Time(when));
        self
    }

    pub fn generation(mut self, generation: i64) -> Self {
        self.0.metadata.generation = Some(generation);
        self
    }

    pub fn since(mut self, when: Timestamp) -> Self {
        self.0.spec.since = Some(Time(when));
        self
    }

    pub fn active_from(mut self, when: Timestamp) -> Self {
        self.status().active_from = Some(Time(when));
        self
    }

    pub fn record_type(mut self, table: &str) -> Self {
        self.0.spec.link = Some(RuleLink { record_type: Some(table.into()), notes: None });
        self
    }

    pub fn deleting(mut self, when: Timestamp) -> Self {
        self.0.metadata.deletion_timestamp = Some(Time(when));
        self
    }

    pub fn facts(&self) -> RuleFacts {
        RuleFacts::of(&self.0)
    }
}

/// The rule as Active, and the connection with its reservation: both sides of §4.1.
pub fn activated(rule: Rule, connection: Connection) -> (Rule, Connection) {
    let name = rule.0.metadata.name.clone().unwrap();
    let generation = rule.0.metadata.generation.unwrap_or_default();
    let connection_name = connection.0.metadata.name.clone().unwrap();
    (rule.active_on(&connection_name), connection.reserve(&name, generation))
}
