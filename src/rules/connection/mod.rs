//! R2–R11, R16–R20: what a connection's status says, whether it may be disabled or let go, and when to look again.

mod readiness;
mod record_types;
mod schedule;

pub use schedule::{DEFAULT_PROBE, DEFAULT_REFRESH, interval};

use super::{
    Requeue,
    conditions::Conditions,
    facts::{RuleFacts, created, unhandled},
    instance_state::{Told, Verdict, judge},
    messages, ready,
    refusal::{self, Candidate, Clauses, Entry, Fence},
};
use crate::api::{
    ActiveRule, ConditionType, ConnectionState, DynamicsConnection, DynamicsConnectionStatus, MetadataStatus,
    Reason,
    connection::MAX_ACTIVE_RULES,
    names::{FINALIZER, REFRESH_REQUESTED, reconcile_requested, requested},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use readiness::{although_away, readiness};
use record_types::RecordTypes;
use schedule::looks;
use std::collections::BTreeMap;

/// Another connection of the namespace that asks to be the default (R3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// When it was created: the oldest wins.
    pub created: Timestamp,
    /// Then its name.
    pub name: String,
}

/// Everything the decision rests on.
pub struct ConnectionView<'a> {
    /// The time.
    pub now: Timestamp,
    /// The connection: the copy whose resourceVersion the writes will carry.
    pub connection: &'a DynamicsConnection,
    /// The rules of the namespace, as the index has them.
    pub rules: &'a [RuleFacts],
    /// The rules of the namespace, all of them, listed live after that copy was read.
    pub live: Option<&'a [RuleFacts]>,
    /// The other connections of the namespace that ask to be the default.
    pub claims: &'a [Claim],
    /// What the instance last said, if it was asked since this process started.
    pub told: Option<&'a Told>,
    /// Whether a link creation through this connection may still be under way.
    pub creations_in_flight: bool,
    /// The clauses kept: [`Clauses::KEPT`].
    pub clauses: &'a Clauses,
}

/// What is to be done with the finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finalizer {
    /// As it is.
    Keep,
    /// Put it on, before anything else (§4.5).
    Add,
    /// Take it off; the status is not written any more.
    Remove,
}

/// What to ask the instance for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The tables to read metadata of; `None` = only its health.
    pub tables: Option<Vec<String>>,
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionDecision {
    /// The finalizer.
    pub finalizer: Finalizer,
    /// The status as it should be.
    pub status: DynamicsConnectionStatus,
    /// List the rules live and decide again before anything is written.
    pub needs_live_list: bool,
    /// A disable or delete is only waiting for link creations to end: let no new one start.
    pub close_creations: bool,
    /// Write nothing before the instance has answered: a connection that is being enabled would else pass through
    /// a state of not knowing, and each of its links with it; one with new credentials would repeat what was said of
    /// the old ones.
    pub await_answer: bool,
    /// Ask the instance now.
    pub ask: Option<Ask>,
    /// When to look again.
    pub requeue: Option<Requeue>,
}

/// Decides.
pub fn decide(view: &ConnectionView<'_>) -> ConnectionDecision {
    let connection = view.connection;
    let old = connection.status.clone().unwrap_or_default();
    let uid = connection.uid().unwrap_or_default();
    let name = connection.name_any();
    let generation = connection.metadata.generation.unwrap_or(0);
    let has_finalizer = connection.finalizers().iter().any(|f| f == FINALIZER);
    let deleting = connection.metadata.deletion_timestamp.is_some();
    let wants_enabled = connection.spec.enabled;

    if !has_finalizer && !deleting {
        return ConnectionDecision {
            finalizer: Finalizer::Add,
            status: old,
            needs_live_list: false,
            close_creations: false,
            await_answer: false,
            ask: None,
            requeue: None,
        };
    }

    let reads = view.live.unwrap_or(view.rules);
    let types = RecordTypes::in_force(view, &old, &old.active_rules, reads);
    let candidates = |rules: &[RuleFacts]| -> Vec<Candidate<String>> {
        rules.iter().map(|rule| candidate(rule, &name, &uid, &types.in_force)).collect()
    };
    let stored: Vec<Entry<String>> =
        old.active_rules.iter().map(|e| Entry { rule: e.uid.clone(), generation: e.generation }).collect();
    let live = view.live.map(candidates);
    let decided = refusal::decide(
        view.clauses,
        Fence {
            finalizer: has_finalizer,
            deleting,
            enabled: wants_enabled,
            creations_in_flight: view.creations_in_flight,
        },
        &stored,
        &candidates(view.rules),
        live.as_deref(),
        MAX_ACTIVE_RULES,
    );
    let active_rules = named(&decided.entries, &old.active_rules, reads);
    // A type goes with the last rule that keeps it, in the same write (R9).
    let types = RecordTypes::in_force(view, &old, &active_rules, reads);
    let holders: Vec<String> = active_rules.iter().map(|e| e.name.clone()).collect();
    let held = !holders.is_empty() || !decided.may_disable;

    let was_disabled = old.state == Some(ConnectionState::Disabled);
    let disabled =
        !wants_enabled && !deleting && (decided.may_disable || (was_disabled && holders.is_empty()));
    let disabled = disabled || (deleting && was_disabled && holders.is_empty());
    let verdict = verdict(view, &old);

    let state = if disabled {
        Some(ConnectionState::Disabled)
    } else {
        verdict
            .as_ref()
            .and_then(|v| v.state)
            .or_else(|| old.state.filter(|s| *s != ConnectionState::Disabled))
    };
    let organization =
        verdict.as_ref().and_then(|v| v.organization.clone()).or_else(|| old.organization.clone());
    let display_name = connection
        .spec
        .display_name
        .clone()
        .or_else(|| verdict.as_ref().and_then(|v| v.friendly_name.clone()))
        .or_else(|| old.display_name.clone());

    let mut conditions = Conditions::new(view.now, generation, &old.conditions);
    default_condition(&mut conditions, view, &name);
    if !wants_enabled && !deleting && held && !disabled && !holders.is_empty() {
        let message = messages::disable_refused(&holders);
        conditions.set(ConditionType::DisableRefused, true, Reason::UsedByActiveRules, message);
    }
    if deleting && !holders.is_empty() {
        let message = messages::deletion_refused(&holders);
        conditions.set(ConditionType::DeletionRefused, true, Reason::UsedByActiveRules, message);
    }
    if let Some((kept, users)) = types.kept(&active_rules, reads) {
        let message = messages::record_type_in_use(&kept, &users);
        conditions.set(ConditionType::RecordTypeInUse, true, Reason::UsedByActiveRules, message);
    }
    let readiness = readiness(view, disabled, verdict.as_ref(), &old);
    ready::write(&mut conditions, although_away(readiness, !wants_enabled && !deleting, &holders));

    let reached = organization.is_some() && matches!(verdict, Some(Verdict { state: Some(_), .. }));
    let status = DynamicsConnectionStatus {
        observed_generation: generation,
        state,
        conditions: conditions.finish(),
        display_name,
        organization,
        connected_on: old.connected_on.clone().or_else(|| reached.then_some(Time(view.now))),
        metadata: Some(MetadataStatus {
            refreshed_at: view
                .told
                .and_then(|t| t.tables.as_ref())
                .map(|t| Time(t.read_at))
                .or_else(|| old.metadata.as_ref().and_then(|m| m.refreshed_at.clone())),
            record_types: types.in_force,
        }),
        active_rule_count: i32::try_from(active_rules.len()).unwrap_or(i32::MAX),
        active_rules,
        last_handled_reconcile_at: reconcile_requested(connection.metadata.annotations.as_ref())
            .map(str::to_owned)
            .or_else(|| old.last_handled_reconcile_at.clone()),
        last_handled_refresh_at: handled_refresh(view, &old),
    };
    let (ask, requeue) = looks(view, disabled);
    ConnectionDecision {
        finalizer: if decided.may_let_go { Finalizer::Remove } else { Finalizer::Keep },
        needs_live_list: decided.needs_live_list,
        await_answer: match view.told {
            None => was_disabled && !disabled,
            // What the old credentials were told must not be said of the new generation: tools give up at Stalled.
            Some(told) => wants_enabled && !deleting && told.credentials != connection.spec.credentials,
        },
        close_creations: (deleting || !wants_enabled) && holders.is_empty(),
        status,
        ask: ask.filter(|_| !deleting || !holders.is_empty()),
        requeue,
    }
}

/// How a connection sees a rule.
fn candidate(rule: &RuleFacts, name: &str, uid: &str, in_force: &[String]) -> Candidate<String> {
    Candidate {
        rule: rule.uid.clone(),
        generation: rule.generation,
        wants: rule.wants_active && rule.connection == name,
        active_here: rule.active_on.as_deref() == Some(uid),
        offered: rule.record_type.as_ref().is_none_or(|t| in_force.contains(t)),
    }
}

/// Entries with the names people know the rules by.
fn named(entries: &[Entry<String>], old: &[ActiveRule], reads: &[RuleFacts]) -> Vec<ActiveRule> {
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
    // In the order of their names: otherwise the status would depend on the order events came in.
    listed.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.uid.cmp(&b.uid)));
    listed
}

/// The host of `spec.instanceUrl`, for sentences.
pub fn host(connection: &DynamicsConnection) -> &str {
    connection.spec.instance_url.trim_start_matches("https://").trim_end_matches('/')
}

fn verdict(view: &ConnectionView<'_>, old: &DynamicsConnectionStatus) -> Option<Verdict> {
    view.told.map(|told| judge(&told.answer, old.organization.as_ref(), host(view.connection)))
}

fn default_condition(conditions: &mut Conditions<'_>, view: &ConnectionView<'_>, name: &str) {
    if !view.connection.spec.default {
        conditions.set(ConditionType::Default, false, Reason::NotDefault, messages::not_default());
        return;
    }
    let own = Claim { created: created(&view.connection.metadata), name: name.to_owned() };
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

/// A refresh counts as handled once metadata has been read after it was seen; a connection that asks nothing of
/// its instance now has nothing to refresh.
fn handled_refresh(view: &ConnectionView<'_>, old: &DynamicsConnectionStatus) -> Option<String> {
    let handled = old.last_handled_refresh_at.clone();
    let asked = requested(view.connection.metadata.annotations.as_ref(), REFRESH_REQUESTED);
    let read = view.told.and_then(|told| told.tables.as_ref()?.requested.as_deref());
    match unhandled(asked, handled.as_deref()) {
        Some(asked) if read == Some(asked) => Some(asked.to_owned()),
        _ => handled,
    }
}
