//! Building the conditions of a status: order, transition times, and the events a transition deserves.

use crate::api::{
    Condition, ConditionStatus, ConditionType, Reason,
    conditions::{find, is_true, reason},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Collects the conditions of one decision. What is not set is absent afterwards, so a forged or outdated
/// condition does not survive.
pub struct Conditions<'a> {
    now: Timestamp,
    generation: i64,
    old: &'a [Condition],
    new: Vec<(ConditionType, Condition)>,
}

impl<'a> Conditions<'a> {
    /// Starts from the stored conditions of an object at `generation`.
    pub fn new(now: Timestamp, generation: i64, old: &'a [Condition]) -> Self {
        Self { now, generation, old, new: Vec::new() }
    }

    /// Sets one condition; the transition time stays while the status stays.
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

/// Something worth an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Whether somebody should look at it (a `Warning` event).
    pub warning: bool,
    /// The reason of the condition that changed.
    pub reason: Reason,
    /// Its message.
    pub message: String,
}

/// The condition types whose changes are told as events. `Ready` comes last: it mostly repeats the others.
/// `RecordAvailable` is not among them: when a connection goes down, its own event says so once, not each link's.
const TOLD: [ConditionType; 8] = [
    ConditionType::Linked,
    ConditionType::Active,
    ConditionType::HoldsConnection,
    ConditionType::Default,
    ConditionType::DisableRefused,
    ConditionType::DeletionRefused,
    ConditionType::RecordTypeInUse,
    ConditionType::Ready,
];

/// What changed between two lists of conditions, as events: one per changed (status, reason), none while steady.
pub fn transitions(old: &[Condition], new: &[Condition]) -> Vec<Transition> {
    let mut told = Vec::new();
    for type_ in TOLD {
        let Some(after) = find(new, type_) else { continue };
        let Some(reason) = reason(new, type_) else { continue };
        let before = find(old, type_);
        if before.is_some_and(|b| b.status == after.status && b.reason == after.reason) {
            continue;
        }
        let repeats = told.iter().any(|t: &Transition| t.reason == reason);
        if repeats || passing(reason) || (before.is_none() && quiet_at_first(reason)) {
            continue;
        }
        let warning = match type_ {
            ConditionType::HoldsConnection
            | ConditionType::DisableRefused
            | ConditionType::DeletionRefused => true,
            ConditionType::Default | ConditionType::RecordTypeInUse => false,
            _ => after.status != ConditionStatus::True && !is_true(new, ConditionType::Ready),
        };
        told.push(Transition { warning, reason, message: after.message.clone() });
    }
    told
}

/// Reasons that say nothing happened when they are the first thing said about an object.
fn quiet_at_first(reason: Reason) -> bool {
    matches!(reason, Reason::NotRequested | Reason::NotDefault | Reason::Inactive)
}

/// Reasons that pass by themselves within moments, and what a link's record and connection say elsewhere.
fn passing(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Connecting | Reason::ReservationPending | Reason::RecordPending | Reason::ConnectionNotReady
    )
}
