//! R2–R11, R16–R20: what a connection's status says, whether it may be disabled or let go, and when to look again.

use super::{
    Requeue,
    conditions::Conditions,
    facts::{RuleFacts, created},
    instance_state::{Answer, Told, Verdict, judge, retry_after},
    messages,
    ready::{self, Readiness},
    refusal::{self, Candidate, Clauses, Entry, Fence},
};
use crate::api::{
    ActiveRule, ConditionStatus, ConditionType, ConnectionState, DynamicsConnection,
    DynamicsConnectionStatus, MetadataStatus, Reason, conditions,
    connection::MAX_ACTIVE_RULES,
    names::{FINALIZER, REFRESH_REQUESTED, reconcile_requested},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use std::collections::BTreeMap;

/// How often an instance's health is looked at when `probe.interval` is absent.
pub const DEFAULT_PROBE: SignedDuration = SignedDuration::from_mins(5);
/// How often metadata is read when `refresh.interval` is absent (R4).
pub const DEFAULT_REFRESH: SignedDuration = SignedDuration::from_hours(24);

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
    /// a state of not knowing, and each of its links with it.
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
        await_answer: was_disabled && !disabled && view.told.is_none(),
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
    let mut named: Vec<ActiveRule> = entries
        .iter()
        .map(|e| ActiveRule {
            name: names.get(e.rule.as_str()).map_or_else(|| e.rule.clone(), |n| (*n).to_owned()),
            uid: e.rule.clone(),
            generation: e.generation,
        })
        .collect();
    // In the order of their names: otherwise the status would depend on the order events came in.
    named.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.uid.cmp(&b.uid)));
    named
}

/// The record types in force (R9), and which of them only an active rule keeps.
struct RecordTypes {
    in_force: Vec<String>,
    kept: Vec<String>,
}

impl RecordTypes {
    fn in_force(
        view: &ConnectionView<'_>,
        old: &DynamicsConnectionStatus,
        entries: &[ActiveRule],
        reads: &[RuleFacts],
    ) -> Self {
        let spec = &view.connection.spec.record_types;
        let before: &[String] = old.metadata.as_ref().map_or(&[], |m| &m.record_types);
        let tables = view.told.and_then(|t| t.tables.as_ref());
        let mut in_force: Vec<String> = Vec::new();
        for type_ in spec {
            let missing = match tables {
                Some(tables) => tables.asked.contains(type_) && !tables.usable.contains(type_),
                // Not read since this process started: what was found missing before is still missing.
                None => {
                    old.metadata.as_ref().is_some_and(|m| m.refreshed_at.is_some())
                        && old.observed_generation == view.connection.metadata.generation.unwrap_or(0)
                        && !before.contains(type_)
                }
            };
            if !missing && !in_force.contains(type_) {
                in_force.push(type_.clone());
            }
        }
        let mut kept = Vec::new();
        for entry in entries {
            let named = reads.iter().find(|r| r.uid == entry.uid).and_then(|r| r.record_type.clone());
            if let Some(type_) = named
                && before.contains(&type_)
                && !in_force.contains(&type_)
            {
                kept.push(type_.clone());
                in_force.push(type_);
            }
        }
        Self { in_force, kept }
    }

    /// The kept types and the names of the rules that keep them.
    fn kept(&self, entries: &[ActiveRule], reads: &[RuleFacts]) -> Option<(Vec<String>, Vec<String>)> {
        let users: Vec<String> = entries
            .iter()
            .filter(|e| {
                reads
                    .iter()
                    .find(|r| r.uid == e.uid)
                    .and_then(|r| r.record_type.as_ref())
                    .is_some_and(|t| self.kept.contains(t))
            })
            .map(|e| e.name.clone())
            .collect();
        (!users.is_empty()).then(|| (self.kept.clone(), users))
    }
}

/// The host of `spec.instanceUrl`, for sentences.
pub fn host(connection: &DynamicsConnection) -> &str {
    connection.spec.instance_url.trim_start_matches("https://").trim_end_matches('/')
}

fn verdict(view: &ConnectionView<'_>, old: &DynamicsConnectionStatus) -> Option<Verdict> {
    view.told.map(|told| judge(&told.answer, old.organization.as_ref(), host(view.connection)))
}

fn readiness(
    view: &ConnectionView<'_>,
    disabled: bool,
    verdict: Option<&Verdict>,
    old: &DynamicsConnectionStatus,
) -> Readiness {
    if disabled {
        return Readiness::Ready(Reason::Disabled, messages::disabled());
    }
    let host = host(view.connection);
    match verdict {
        Some(Verdict { trouble: Some((reason, message)), .. }) => {
            Readiness::NotReady(*reason, message.clone())
        }
        Some(Verdict { state: Some(_), .. }) => {
            let refuses = view
                .told
                .is_some_and(|t| matches!(t.answer, Answer::Organization { accepts_social_data: false, .. }));
            let message =
                if refuses { messages::connected_but_refuses(host) } else { messages::connected(host) };
            Readiness::Ready(Reason::Connected, message)
        }
        // Asked to wait, or not asked yet: what was known stays, unless it was that the connection is disabled, or
        // is nothing a connection ever says. `Reconciling` and `Stalled` are drawn from it anew, or forged ones would
        // stay.
        _ => {
            let known = conditions::find(&old.conditions, ConditionType::Ready);
            let reason = conditions::reason(&old.conditions, ConditionType::Ready);
            match (known, reason) {
                (Some(known), Some(reason)) if known.status == ConditionStatus::True && is_fine(reason) => {
                    Readiness::Ready(reason, known.message.clone())
                }
                (Some(known), Some(reason))
                    if known.status == ConditionStatus::False && is_trouble(reason) =>
                {
                    Readiness::NotReady(reason, known.message.clone())
                }
                _ => Readiness::NotReady(Reason::Connecting, messages::connecting(host)),
            }
        }
    }
}

fn is_fine(reason: Reason) -> bool {
    matches!(reason, Reason::Connected | Reason::UsedByActiveRules)
}

/// What an instance's answer can be told as when it is not in order ([`judge`]).
fn is_trouble(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::InstanceDowntime
            | Reason::InstanceExpired
            | Reason::OrganizationChanged
            | Reason::CredentialsRejected
            | Reason::AccessDenied
            | Reason::SecretNotFound
            | Reason::SecretInvalid
            | Reason::HostNotAllowed
            | Reason::AddressNotAllowed
    )
}

/// §3: "With `enabled: false` the instance's state does not affect Ready". Else a tool that waits for health would never
/// apply the wave that deactivates the rules, and the disable would be held for ever.
fn although_away(readiness: Readiness, disable_wanted: bool, holders: &[String]) -> Readiness {
    match readiness {
        Readiness::NotReady(Reason::InstanceDowntime | Reason::InstanceExpired, _)
            if disable_wanted && !holders.is_empty() =>
        {
            Readiness::Ready(Reason::UsedByActiveRules, messages::disable_refused(holders))
        }
        other => other,
    }
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
    let asked = view.connection.annotations().get(REFRESH_REQUESTED);
    match asked {
        Some(asked) if old.last_handled_refresh_at.as_ref() != Some(asked) => {
            let read = view
                .told
                .and_then(|t| t.tables.as_ref())
                .is_some_and(|t| t.requested.as_ref() == Some(asked));
            if read { Some(asked.clone()) } else { old.last_handled_refresh_at.clone() }
        }
        _ => old.last_handled_refresh_at.clone(),
    }
}

/// Reads `1h30m`; anything else is the default.
pub fn interval(text: Option<&str>, default: SignedDuration, floor: SignedDuration) -> SignedDuration {
    text.filter(|t| !t.is_empty())
        .and_then(|t| t.parse::<SignedDuration>().ok())
        .map_or(default, |d| d.max(floor))
}

/// Spreads connections over an interval by up to a tenth, always the same way for the same one: a restart must not
/// bring all of them to their instances at once.
fn jittered(period: SignedDuration, uid: &str) -> SignedDuration {
    let hash = uid.bytes().fold(0_i64, |h, b| (h * 31 + i64::from(b)) % 1000);
    period
        - SignedDuration::from_millis(i64::try_from(period.as_millis()).unwrap_or(i64::MAX) / 10_000 * hash)
}

/// What to ask the instance now, and when to look again.
fn looks(view: &ConnectionView<'_>, disabled: bool) -> (Option<Ask>, Option<Requeue>) {
    if disabled {
        return (None, None);
    }
    let spec = &view.connection.spec;
    let uid = view.connection.uid().unwrap_or_default();
    let probe = spec.probe.as_ref().and_then(|p| p.interval.as_deref());
    let probe = interval(probe, DEFAULT_PROBE, SignedDuration::from_secs(30));
    let refresh = spec.refresh.as_ref().and_then(|p| p.interval.as_deref());
    let refresh = interval(refresh, DEFAULT_REFRESH, SignedDuration::from_mins(15));
    let tables = || Some(Ask { tables: Some(spec.record_types.clone()) });

    let Some(told) = view.told else { return (tables(), None) };
    let asked_for = view.connection.annotations().get(REFRESH_REQUESTED);
    let handled = view.connection.status.as_ref().and_then(|s| s.last_handled_refresh_at.as_ref());
    let (due, awaited) = if told.failures == 0 {
        (told.at + jittered(probe, &uid), false)
    } else {
        (told.at + retry_after(told.failures, probe), true)
    };
    let requeue = Requeue { at: due, periodic: !awaited };
    let Some(known) = &told.tables else {
        // Health first; tables as soon as the instance is in order.
        return if view.now >= due { (tables(), None) } else { (None, Some(requeue)) };
    };
    let wanted = asked_for != handled && known.requested.as_ref() != asked_for && asked_for.is_some();
    let new_table = spec.record_types.iter().any(|t| !known.asked.contains(t));
    let refresh_due = known.read_at + jittered(refresh, &uid);
    if told.failures == 0 && (wanted || new_table || view.now >= refresh_due) {
        return (tables(), None);
    }
    if view.now >= due {
        return (Some(Ask { tables: None }), None);
    }
    // While it fails, only its health is asked for: a refresh that is overdue would else be due for ever.
    let refresh = (told.failures == 0).then(|| Requeue::periodic(refresh_due));
    (None, Requeue::sooner(Some(requeue), refresh))
}
