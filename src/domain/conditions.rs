//! Builds the conditions of a status (order, transition times), and the events for transitions.

use crate::api::{
    Condition, ConditionStatus, ConditionType, Reason,
    conditions::{find, is_true, reason},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Collects the conditions of one decision. A condition that is not set is removed, even a forged or outdated one.
pub struct Conditions<'a> {
    now: Timestamp,
    generation: i64,
    old: &'a [Condition],
    new: Vec<(ConditionType, Condition)>,
}

impl<'a> Conditions<'a> {
    /// `old` are the stored conditions, for their transition times.
    pub fn new(now: Timestamp, generation: i64, old: &'a [Condition]) -> Self {
        Self { now, generation, old, new: Vec::new() }
    }

    /// Sets one condition; its transition time changes only with its status.
    pub fn set(
        &mut self,
        type_: ConditionType,
        status: impl Into<ConditionStatus>,
        reason: Reason,
        message: impl Into<String>,
    ) {
        let status = status.into();
        let last_transition_time = match find(self.old, type_) {
            Some(old) if old.status == status => old.last_transition_time.clone(),
            _ => Time(self.now),
        };
        let condition = Condition {
            type_: type_.as_str().to_owned(),
            status,
            observed_generation: Some(self.generation),
            last_transition_time,
            reason: reason.as_str().to_owned(),
            message: message.into(),
        };
        self.new.retain(|(t, _)| *t != type_);
        self.new.push((type_, condition));
    }

    /// The conditions in their fixed order.
    pub fn finish(mut self) -> Vec<Condition> {
        self.new.sort_by_key(|(t, _)| *t);
        self.new.into_iter().map(|(_, c)| c).collect()
    }
}

/// `status.reason`: that of `Ready`.
pub fn ready_reason(conditions: &[Condition]) -> Option<String> {
    find(conditions, ConditionType::Ready).map(|ready| ready.reason.clone())
}

/// A change of a condition that is published as an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Whether it is a `Warning` event.
    pub warning: bool,
    pub reason: Reason,
    pub message: String,
}

/// The condition types whose changes are published as events. `Ready` comes last, because it mostly repeats the others.
/// `RecordAvailable` is missing: when a connection goes down, the event of the connection is enough.
const EVENT_TYPES: [ConditionType; 9] = [
    ConditionType::Linked,
    ConditionType::Active,
    ConditionType::HoldsConnection,
    ConditionType::Default,
    ConditionType::DisableRefused,
    ConditionType::DeletionRefused,
    ConditionType::RecordTypeInUse,
    ConditionType::RecordTypeNotOffered,
    ConditionType::Ready,
];

/// The events for the changes between two lists of conditions: one per changed status or reason.
pub fn transitions(old: &[Condition], new: &[Condition]) -> Vec<Transition> {
    let mut transitions = Vec::new();
    for type_ in EVENT_TYPES {
        let Some(after) = find(new, type_) else { continue };
        let Some(reason) = reason(new, type_) else { continue };
        // Of a link, only what happens to itself: its connection going down and up again is an event of the connection. A
        // link that waits for something else says so again afterwards: that would be one event per link and outage.
        let is_link = find(new, ConditionType::Linked).is_some();
        let came_back = self::reason(old, type_).is_some_and(is_of_connection)
            && (type_, after.status) != (ConditionType::Linked, ConditionStatus::True);
        if is_link
            && (came_back
                || is_of_connection(reason)
                || (type_, after.status) == (ConditionType::Ready, ConditionStatus::True))
        {
            continue;
        }
        let before = find(old, type_);
        let same = |before: &Condition| before.status == after.status && before.reason == after.reason;
        // It names the tables: another missing one is another event.
        let names_tables = type_ == ConditionType::RecordTypeNotOffered;
        if before.is_some_and(|before| same(before) && !(names_tables && before.message != after.message)) {
            continue;
        }
        let repeats =
            transitions.iter().any(|t: &Transition| t.reason == reason || t.message == after.message);
        if repeats || is_transient(reason) || (before.is_none() && is_initial(reason)) {
            continue;
        }
        let warning = match type_ {
            ConditionType::HoldsConnection
            | ConditionType::DisableRefused
            | ConditionType::DeletionRefused
            | ConditionType::RecordTypeNotOffered => true,
            // Links without a connectionRef do not go through it, although it says `default: true`.
            ConditionType::Default => reason == Reason::DefaultConflict,
            ConditionType::RecordTypeInUse => false,
            _ => after.status != ConditionStatus::True && !is_true(new, ConditionType::Ready),
        };
        transitions.push(Transition { warning, reason, message: after.message.clone() });
    }
    transitions
}

/// Reasons that are not worth an event on a new object.
fn is_initial(reason: Reason) -> bool {
    matches!(reason, Reason::NotRequested | Reason::NotDefault | Reason::Inactive | Reason::Unlinked)
}

/// Reasons why a link waits that are states of its connection.
fn is_of_connection(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ConnectionDisabled
            | Reason::ConnectionNotReady
            | Reason::InstanceDowntime
            | Reason::InstanceExpired
            | Reason::OrganizationChanged
            | Reason::SocialDataRefused
            | Reason::Throttled
    )
}

/// Reasons that resolve within moments, or that the record or connection of a link reports as well.
fn is_transient(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Connecting | Reason::ReservationPending | Reason::RecordPending | Reason::ConnectionNotReady
    )
}
