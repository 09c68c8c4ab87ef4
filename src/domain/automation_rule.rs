//! R8, §4.1: whether a rule is active, and why it is not or why it blocks its connection.

use super::{
    conditions::{Conditions, ready_reason},
    facts::{ConnectionFacts, Offer, created},
    kstatus::{self, Readiness},
    messages,
    reservations::{Activation, Clauses, NamedConnection, activate},
};
use crate::api::{
    AutomationRule, AutomationRuleStatus, ConditionType, NOT_OBSERVED, Reason, conditions::is_true,
    connection::MAX_ACTIVE_RULES, names::reconcile_requested,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

/// The input of the decision.
pub struct AutomationRuleView<'a> {
    pub now: Timestamp,
    /// The version whose resourceVersion the write will carry.
    pub rule: &'a AutomationRule,
    /// The connection named in `spec.connectionRef`, if it exists.
    pub named: Option<&'a ConnectionFacts>,
    /// Whether its filters fit into the namespace's limit.
    pub evaluated: bool,
    /// [`Clauses::KEPT`], except in tests of the clauses.
    pub clauses: &'a Clauses,
}

/// Returns the desired status.
pub fn decide(view: &AutomationRuleView<'_>) -> AutomationRuleStatus {
    let rule = view.rule;
    let old = rule.status.clone().unwrap_or_default();
    let uid = rule.uid().unwrap_or_default();
    let generation = rule.metadata.generation.unwrap_or(0);
    let record_type = rule.spec.link.as_ref().and_then(|l| l.record_type.as_deref());
    let wants = rule.spec.active && rule.metadata.deletion_timestamp.is_none();
    let active_on = old.connection_uid.as_ref().filter(|_| is_true(&old.conditions, ConditionType::Active));

    let offer = view.named.zip(record_type).map(|(c, record_type)| {
        if active_on == Some(&c.uid) { c.offer_to_active(record_type) } else { c.offer_to_new(record_type) }
    });
    let named = view.named.map(|c| NamedConnection {
        connection: c.uid.clone(),
        entry: c.active_rules.iter().find(|e| e.uid == uid).map(|e| e.generation),
        not_offered: offer.is_some_and(|offer| !matches!(offer, Offer::Offered | Offer::Unread)),
    });
    let activation = activate(view.clauses, wants, generation, active_on, named.as_ref());

    let connection = &rule.spec.connection_ref.name;
    let mut conditions = Conditions::new(view.now, generation, &old.conditions);
    let readiness = match &activation {
        Activation::Active(_) => {
            let active = active_message(view, record_type, connection);
            conditions.set(ConditionType::Active, true, Reason::Reserved, active.clone());
            let held = view.named.filter(|c| c.deleted_at.is_some() || !c.wants_enabled);
            if let Some(held) = held {
                let message = messages::holds_connection(connection, held.deleted_at.is_some());
                conditions.set(
                    ConditionType::HoldsConnection,
                    true,
                    Reason::HoldsConnection,
                    message.clone(),
                );
                Readiness::NotReady(Reason::HoldsConnection, message)
            } else if view.evaluated {
                Readiness::Ready(Reason::Reserved, active)
            } else {
                Readiness::NotReady(Reason::NamespaceFull, active)
            }
        }
        Activation::Inactive if !rule.spec.active => {
            conditions.set(ConditionType::Active, false, Reason::Inactive, messages::inactive());
            Readiness::Ready(Reason::Inactive, messages::inactive())
        }
        Activation::Inactive => {
            let reason = inactive_reason(view.named, named.as_ref());
            let message = messages::rule_waits(reason, connection, record_type.zip(offer));
            conditions.set(ConditionType::Active, false, reason, message.clone());
            Readiness::NotReady(reason, message)
        }
    };
    kstatus::write(&mut conditions, readiness);

    let conditions = conditions.finish();
    AutomationRuleStatus {
        observed_generation: generation,
        reason: ready_reason(&conditions),
        conditions,
        connection_uid: match activation {
            Activation::Active(uid) => Some(uid),
            Activation::Inactive => None,
        },
        active_from: active_from(view, &old),
        last_handled_reconcile_at: reconcile_requested(rule.metadata.annotations.as_ref())
            .map(str::to_owned)
            .or(old.last_handled_reconcile_at),
    }
}

/// Whether an active rule can link anything, as far as its filters and record type decide.
fn active_message(view: &AutomationRuleView<'_>, record_type: Option<&str>, connection: &str) -> String {
    if !view.evaluated {
        return messages::not_evaluated();
    }
    let named = view.named;
    let record_type = record_type.or_else(|| named?.default_record_type());
    match named.zip(record_type).map(|(named, record_type)| (record_type, named.offer(record_type))) {
        Some((record_type, offer)) if !matches!(offer, Offer::Offered | Offer::Unread) => {
            messages::reserved_in_vain(connection, record_type, offer)
        }
        _ => messages::reserved(connection),
    }
}

/// Why a rule with `spec.active: true` is not active.
fn inactive_reason(connection: Option<&ConnectionFacts>, named: Option<&NamedConnection<String>>) -> Reason {
    let (Some(connection), Some(named)) = (connection, named) else { return Reason::ConnectionNotFound };
    if connection.deleted_at.is_some() {
        return Reason::ConnectionTerminating;
    }
    if !connection.wants_enabled {
        return Reason::ConnectionDisabled;
    }
    if named.not_offered {
        return Reason::RecordTypeNotOffered;
    }
    let full = connection.active_rules.len() >= MAX_ACTIVE_RULES;
    if full && named.entry.is_none() {
        return Reason::ConnectionFull;
    }
    Reason::ReservationPending
}

/// When the rule was activated: kept while `spec.active` stays true, even if it changes its connection.
fn active_from(view: &AutomationRuleView<'_>, old: &AutomationRuleStatus) -> Option<Time> {
    if !view.rule.spec.active {
        return None;
    }
    old.active_from.clone().or_else(|| {
        let never_seen = old.observed_generation == NOT_OBSERVED;
        Some(Time(if never_seen { created(&view.rule.metadata) } else { view.now }))
    })
}
