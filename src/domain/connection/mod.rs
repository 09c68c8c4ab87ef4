//! R2–R11, R16–R20: the status of a connection, whether it may be disabled or deleted, and when to probe it.

pub mod health;
mod readiness;
mod record_types;
mod schedule;
mod view;

pub use schedule::{DEFAULT_PROBE, DEFAULT_REFRESH, interval};
pub use view::{ConnectionDecision, ConnectionView, DefaultClaim, ProbeRequest, Step, host};

use super::{
    conditions::{Conditions, ready_reason},
    facts::{RuleFacts, created, unhandled},
    kstatus, messages,
    reservations::{self, Candidate, Fence, Next, Reservation, ReservationDecision},
};
use crate::api::{
    ActiveRule, Condition, ConditionType, ConnectionState, DynamicsConnection, DynamicsConnectionStatus,
    MetadataStatus, Reason,
    connection::MAX_ACTIVE_RULES,
    names::{CONTROLLER, FINALIZER, REFRESH_REQUESTED, reconcile_requested, requested},
};
use health::Health;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, Time};
use kube::ResourceExt;
use readiness::{ignore_downtime_when_disabling, readiness};
use record_types::RecordTypes;
use schedule::next_probe;
use std::collections::BTreeMap;

pub fn decide(view: &ConnectionView<'_>) -> ConnectionDecision {
    let connection = view.connection;
    let old = connection.status.clone().unwrap_or_default();
    let fence = fence(connection, view.creations_in_flight);
    let reserved = reserve(view, fence, &old);
    let next = reserved.decision.next(fence);
    let to_own = fence.finalizer && !fence.deleting && !owns_finalizer(connection.managed_fields());
    if next == Next::AddFinalizer || to_own {
        return ConnectionDecision {
            step: Step::AddFinalizer,
            status: old,
            close_creations: false,
            probe: None,
            requeue: None,
        };
    }
    let was_disabled = old.state == Some(ConnectionState::Disabled);
    let disabled = reserved.decision.disables(fence, was_disabled);
    let (probe, requeue) = next_probe(view, disabled);
    let empty = reserved.active_rules.is_empty();
    let await_probe = match view.observation {
        None => was_disabled && !disabled,
        // A failure of the old credentials must not be reported for the new generation: tools give up at Stalled.
        Some(observation) => {
            fence.enabled && !fence.deleting && observation.credentials != connection.spec.credentials
        }
    };
    ConnectionDecision {
        step: match next {
            Next::AddFinalizer => Step::AddFinalizer,
            Next::ListRules => Step::ListRules,
            Next::RemoveFinalizer | Next::Write if await_probe => Step::AwaitProbe,
            Next::RemoveFinalizer => Step::RemoveFinalizer,
            Next::Write => Step::Write,
        },
        close_creations: (fence.deleting || !fence.enabled) && empty,
        probe: probe.filter(|_| !fence.deleting || !empty),
        status: status(view, fence, &old, reserved, disabled),
        requeue,
    }
}

/// Whether the finalizer is among the fields that Postlink manages. A manifest in git may have it, and a tool that applies
/// the manifest without it would remove it.
pub fn owns_finalizer(managed: &[ManagedFieldsEntry]) -> bool {
    // Where something removes managedFields, nobody would ever own it.
    managed.is_empty() || managed.iter().any(manages_finalizer)
}

/// Whether an entry of `managedFields` says that Postlink manages the finalizer.
fn manages_finalizer(entry: &ManagedFieldsEntry) -> bool {
    let item = format!("v:{FINALIZER:?}");
    let finalizers = entry.fields_v1.as_ref().and_then(|fields| fields.0.pointer("/f:metadata/f:finalizers"));
    entry.manager.as_deref() == Some(CONTROLLER) && finalizers.is_some_and(|all| all.get(&item).is_some())
}

fn fence(connection: &DynamicsConnection, creations_in_flight: bool) -> Fence {
    Fence {
        finalizer: connection.finalizers().iter().any(|f| f == FINALIZER),
        deleting: connection.metadata.deletion_timestamp.is_some(),
        enabled: connection.spec.enabled,
        creations_in_flight,
    }
}

/// The reservations of the next write (§4), and the record types that are in force with them (R9).
struct Reserved {
    decision: ReservationDecision<String>,
    active_rules: Vec<ActiveRule>,
    types: RecordTypes,
}

fn reserve(view: &ConnectionView<'_>, fence: Fence, old: &DynamicsConnectionStatus) -> Reserved {
    let (name, uid) = (view.connection.name_any(), view.connection.uid().unwrap_or_default());
    let reads = view.live.unwrap_or(view.rules);
    let types = RecordTypes::of(view, old, &old.active_rules, reads);
    let candidates = |rules: &[RuleFacts]| -> Vec<Candidate<String>> {
        rules.iter().map(|rule| candidate(rule, &name, &uid, &types.offered)).collect()
    };
    let stored = old.active_rules.iter();
    let stored: Vec<_> =
        stored.map(|e| Reservation { rule: e.uid.clone(), generation: e.generation }).collect();
    let live = view.live.map(candidates);
    let cached = candidates(view.rules);
    let decision =
        reservations::decide(view.clauses, fence, &stored, &cached, live.as_deref(), MAX_ACTIVE_RULES);
    let active_rules = named(&decision.entries, &old.active_rules, reads);
    // A record type is removed in the same write as the last rule that keeps it in force (R9).
    let types = RecordTypes::of(view, old, &active_rules, reads);
    Reserved { decision, active_rules, types }
}

fn status(
    view: &ConnectionView<'_>,
    fence: Fence,
    old: &DynamicsConnectionStatus,
    reserved: Reserved,
    disabled: bool,
) -> DynamicsConnectionStatus {
    let connection = view.connection;
    let health = view.observation.map(|observation| {
        health::evaluate(&observation.answer, old.organization.as_ref(), host(connection))
    });
    let conditions = conditions(view, fence, old, &reserved, disabled, health.as_ref());
    let state = if disabled {
        Some(ConnectionState::Disabled)
    } else {
        let known = old.state.filter(|s| *s != ConnectionState::Disabled);
        health.as_ref().and_then(|h| h.state).or(known)
    };
    let reached = matches!(health, Some(Health { state: Some(_), .. }));
    let (organization, friendly_name) = health.map_or((None, None), |h| (h.organization, h.friendly_name));
    let organization = organization.or_else(|| old.organization.clone());
    let display_name =
        connection.spec.display_name.clone().or(friendly_name).or_else(|| old.display_name.clone());
    let read = view.observation.and_then(|o| o.tables.as_ref()).map(|tables| Time(tables.read_at));
    let Reserved { active_rules, types, .. } = reserved;
    DynamicsConnectionStatus {
        observed_generation: connection.metadata.generation.unwrap_or(0),
        state,
        reason: ready_reason(&conditions),
        conditions,
        display_name,
        connected_on: old
            .connected_on
            .clone()
            .or_else(|| (reached && organization.is_some()).then_some(Time(view.now))),
        organization,
        metadata: Some(MetadataStatus {
            refreshed_at: read.or_else(|| old.metadata.as_ref().and_then(|m| m.refreshed_at.clone())),
            record_types: types.in_force(),
            missing_record_types: types.missing,
            unsupported_record_types: types.unsupported,
        }),
        active_rule_count: i32::try_from(active_rules.len()).unwrap_or(i32::MAX),
        active_rules,
        last_handled_reconcile_at: reconcile_requested(connection.metadata.annotations.as_ref())
            .map(str::to_owned)
            .or_else(|| old.last_handled_reconcile_at.clone()),
        last_handled_refresh_at: handled_refresh(view, old),
    }
}

fn conditions(
    view: &ConnectionView<'_>,
    fence: Fence,
    old: &DynamicsConnectionStatus,
    reserved: &Reserved,
    disabled: bool,
    health: Option<&Health>,
) -> Vec<Condition> {
    let holders: Vec<String> = reserved.active_rules.iter().map(|e| e.name.clone()).collect();
    let generation = view.connection.metadata.generation.unwrap_or(0);
    let mut conditions = Conditions::new(view.now, generation, &old.conditions);
    default_condition(&mut conditions, view, &view.connection.name_any());
    let disabling = !fence.enabled && !fence.deleting;
    if disabling && !disabled && !holders.is_empty() {
        let message = messages::disable_refused(&holders);
        conditions.set(ConditionType::DisableRefused, true, Reason::UsedByActiveRules, message);
    }
    if fence.deleting && !holders.is_empty() {
        let message = messages::deletion_refused(&holders);
        conditions.set(ConditionType::DeletionRefused, true, Reason::UsedByActiveRules, message);
    }
    let reads = view.live.unwrap_or(view.rules);
    if let Some((kept, users)) = reserved.types.kept(&reserved.active_rules, reads) {
        let message = messages::record_type_in_use(&kept, &users);
        conditions.set(ConditionType::RecordTypeInUse, true, Reason::UsedByActiveRules, message);
    }
    let RecordTypes { missing, unsupported, unread, .. } = &reserved.types;
    let unreadable = view.observation.is_some_and(|o| o.metadata_failure.is_some()) && !unread.is_empty();
    let not_offered = if !missing.is_empty() {
        Some(Reason::TableNotFound)
    } else if !unsupported.is_empty() {
        Some(Reason::TableNotSupported)
    } else {
        unreadable.then_some(Reason::TableNotRead)
    };
    if let Some(reason) = not_offered {
        let unread: &[String] = if unreadable { unread } else { &[] };
        let message = messages::record_types_not_offered(missing, unsupported, unread);
        conditions.set(ConditionType::RecordTypeNotOffered, true, reason, message);
    }
    let readiness = readiness(view, disabled, health, &reserved.types, old);
    kstatus::write(&mut conditions, ignore_downtime_when_disabling(readiness, disabling, &holders));
    conditions.finish()
}

fn candidate(rule: &RuleFacts, name: &str, uid: &str, offered: &[String]) -> Candidate<String> {
    Candidate {
        rule: rule.uid.clone(),
        generation: rule.generation,
        wants: rule.wants_active && rule.connection == name,
        active_here: rule.active_on.as_deref() == Some(uid),
        offered: rule.record_type.as_ref().is_none_or(|t| offered.contains(t)),
    }
}

/// Entries with the names of their rules.
fn named(entries: &[Reservation<String>], old: &[ActiveRule], reads: &[RuleFacts]) -> Vec<ActiveRule> {
    let names: BTreeMap<&str, &str> = old
        .iter()
        .map(|e| (e.uid.as_str(), e.name.as_str()))
        .chain(reads.iter().map(|r| (r.uid.as_str(), r.name.as_str())))
        .collect();
    let mut listed: Vec<ActiveRule> = entries
        .iter()
        .map(|e| ActiveRule {
            name: names.get(e.rule.as_str()).map_or_else(|| e.rule.clone(), |n| (*n).to_owned()),
            uid: e.rule.clone(),
            generation: e.generation,
        })
        .collect();
    // Sorted by name: otherwise the status would depend on the order of events.
    listed.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.uid.cmp(&b.uid)));
    listed
}

fn default_condition(conditions: &mut Conditions<'_>, view: &ConnectionView<'_>, name: &str) {
    if !view.connection.spec.default {
        conditions.set(ConditionType::Default, false, Reason::NotDefault, messages::not_default());
        return;
    }
    let own = DefaultClaim { created: created(&view.connection.metadata), name: name.to_owned() };
    match view.claims.iter().min() {
        Some(other) if *other < own => {
            let message = messages::default_conflict(&other.name);
            conditions.set(ConditionType::Default, false, Reason::DefaultConflict, message);
        }
        _ => {
            let message = messages::default_connection();
            conditions.set(ConditionType::Default, true, Reason::DefaultConnection, message);
        }
    }
}

/// A refresh request counts as handled once metadata has been read for it.
fn handled_refresh(view: &ConnectionView<'_>, old: &DynamicsConnectionStatus) -> Option<String> {
    let handled = old.last_handled_refresh_at.clone();
    let asked = requested(view.connection.metadata.annotations.as_ref(), REFRESH_REQUESTED);
    let read = view.observation.and_then(|observation| observation.tables.as_ref()?.requested.as_deref());
    match unhandled(asked, handled.as_deref()) {
        Some(asked) if read == Some(asked) => Some(asked.to_owned()),
        _ => handled,
    }
}
