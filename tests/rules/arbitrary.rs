//! Arbitrary views: objects as the API server may return them, with statuses that may be forged.

use crate::fixtures::{ORG, OTHER_ORG, at, connection, credentials, organization, rule};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use postlink::{
    api::{
        ActiveRule, AutomationRule, Condition, ConditionStatus, ConditionType, ConnectionState,
        DynamicsConnection, Intent, LinkState, LinkedBy, MetadataStatus, ObjectRef, PostLinkStatus, Reason,
        RemovalCause, RemovedLink, RuleLink,
    },
    domain::{
        connection::health::{MetadataFailure, Observation, ProbeAnswer, ProbeFailure, TableMetadata},
        post_link::record::{self, ActivityState},
        post_link::{CreationResult, DesiredLink, LinkSpec, PostClaim, PostLinkFacts},
    },
};
use proptest::{bool, collection::vec, option, prelude::*, sample::select, strategy::Union};
use uuid::Uuid;

const NAMES: [&str; 3] = ["a", "b", "c"];
const TABLES: [&str; 3] = ["incident", "lead", "opportunity"];

/// Times that are close together, in any order.
pub fn near() -> impl Strategy<Value = Timestamp> {
    (-1200_i64..1200).prop_map(at)
}

/// Times in a forged status.
fn forged_time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        8 => near(),
        1 => Just(Timestamp::MAX),
        1 => Just(Timestamp::MIN),
        1 => Just(Timestamp::UNIX_EPOCH),
    ]
}

pub fn uid() -> impl Strategy<Value = String> {
    (select(&NAMES), 0..2).prop_map(|(name, n)| format!("uid-{name}-{n}"))
}

fn id() -> impl Strategy<Value = Uuid> {
    select(vec![ORG, OTHER_ORG])
}

fn table() -> impl Strategy<Value = String> {
    select(&TABLES).prop_map(str::to_owned)
}

fn reason() -> impl Strategy<Value = Reason> {
    select(Reason::ALL)
}

fn state() -> impl Strategy<Value = ConnectionState> {
    use ConnectionState::{Disabled, Downtime, Enabled, Expired};
    select(vec![Enabled, Enabled, Enabled, Disabled, Downtime, Expired])
}

fn condition() -> impl Strategy<Value = Condition> {
    let types: Vec<&str> = ConditionType::ALL.iter().map(|t| t.as_str()).chain(["Bogus"]).collect();
    let reasons: Vec<&str> = Reason::ALL.iter().map(|r| r.as_str()).chain(["Bogus"]).collect();
    let statuses = vec![ConditionStatus::True, ConditionStatus::False, ConditionStatus::Unknown];
    (select(types), select(statuses), select(reasons), forged_time(), option::of(-1_i64..5)).prop_map(
        |(type_, status, reason, when, observed_generation)| Condition {
            type_: type_.into(),
            status,
            observed_generation,
            last_transition_time: Time(when),
            reason: reason.into(),
            message: "Forged.".into(),
        },
    )
}

/// Conditions of a connection, often healthy ones.
fn connection_conditions() -> impl Strategy<Value = Vec<Condition>> {
    let ready = crate::fixtures::condition(ConditionType::Ready, true, Reason::Connected, at(-999));
    (any::<bool>(), vec(condition(), 0..4)).prop_map(move |(fine, mut forged)| {
        if fine {
            forged.insert(0, ready.clone());
        }
        forged
    })
}

fn entry() -> impl Strategy<Value = ActiveRule> {
    (select(&NAMES), 0..2, 0_i64..4).prop_map(|(name, n, generation)| ActiveRule {
        name: name.into(),
        uid: format!("uid-{name}-{n}"),
        generation,
    })
}

prop_compose! {
    fn connection_named(name: &'static str)(
        n in 0..2,
        created in near(),
        enabled in prop::bool::weighted(0.8),
        default in any::<bool>(),
        finalizer in prop::bool::weighted(0.9),
        deleted in option::weighted(0.2, near()),
        generation in 1_i64..4,
        observed_generation in -1_i64..4,
        has_status in prop::bool::weighted(0.9),
        state in option::weighted(0.9, state()),
        conditions in connection_conditions(),
        organization_id in option::weighted(0.9, id()),
        mut entries in vec(entry(), 0..4),
        offered in vec(table(), 1..3),
        in_force in option::of((vec(table(), 0..3), vec(table(), 0..2), vec(table(), 0..2))),
        refreshed in option::of(near()),
    ) -> DynamicsConnection {
        let mut object = connection(name).uid(&format!("uid-{name}-{n}")).created(created);
        object.0.spec.enabled = enabled;
        object.0.spec.default = default;
        object.0.spec.record_types = offered;
        object.0.metadata.generation = Some(generation);
        object.0.metadata.deletion_timestamp = deleted.map(Time);
        if !finalizer {
            object.0.metadata.finalizers = None;
        }
        entries.sort_by(|a, b| a.uid.cmp(&b.uid));
        entries.dedup_by(|a, b| a.uid == b.uid);
        let status = object.status();
        status.observed_generation = observed_generation;
        status.state = state;
        status.conditions = conditions;
        status.organization = organization_id.map(organization);
        status.active_rules = entries;
        status.metadata =
            in_force.map(|(record_types, missing_record_types, unsupported_record_types)| MetadataStatus {
                refreshed_at: refreshed.map(Time),
                record_types,
                missing_record_types,
                unsupported_record_types,
            });
        if !has_status {
            object.0.status = None;
        }
        object.0
    }
}

pub fn any_connection() -> impl Strategy<Value = DynamicsConnection> {
    Union::new(NAMES.map(|n| connection_named(n).boxed()))
}

/// The connections of a namespace, with unique names.
pub fn connections() -> impl Strategy<Value = Vec<DynamicsConnection>> {
    NAMES
        .map(|name| option::weighted(0.7, connection_named(name)))
        .prop_map(|all| all.into_iter().flatten().collect())
}

prop_compose! {
    fn rule_named(name: &'static str)(
        n in 0..2,
        created in near(),
        active in prop::bool::weighted(0.8),
        deleted in option::weighted(0.1, near()),
        generation in 1_i64..4,
        observed_generation in -1_i64..4,
        refers_to in select(&NAMES),
        since in option::of(near()),
        table in option::of(table()),
        is_active in any::<bool>(),
        on in option::of(uid()),
        mut conditions in vec(condition(), 0..3),
        active_from in option::weighted(0.8, forged_time()),
    ) -> AutomationRule {
        let mut object = rule(name).created(created).generation(generation).refers_to(refers_to);
        object.0.metadata.uid = Some(format!("uid-{name}-{n}"));
        object.0.metadata.deletion_timestamp = deleted.map(Time);
        object.0.spec.active = active;
        object.0.spec.since = since.map(Time);
        object.0.spec.link = table.map(|t| RuleLink { record_type: Some(t), notes: None });
        if is_active {
            let active = crate::fixtures::condition(ConditionType::Active, true, Reason::Reserved, at(-5));
            conditions.insert(0, active);
        }
        let status = object.status();
        status.observed_generation = observed_generation;
        status.connection_uid = on;
        status.conditions = conditions;
        status.active_from = active_from.map(Time);
        object.0
    }
}

pub fn any_rule() -> impl Strategy<Value = AutomationRule> {
    Union::new(NAMES.map(|n| rule_named(n).boxed()))
}

pub fn rules() -> impl Strategy<Value = Vec<AutomationRule>> {
    NAMES
        .map(|name| option::weighted(0.7, rule_named(name)))
        .prop_map(|all| all.into_iter().flatten().collect())
}

fn regarding() -> impl Strategy<Value = Option<(String, Uuid)>> {
    option::of((table(), id()))
}

prop_compose! {
    fn link_state()(
        name in select(&NAMES),
        uid in uid(),
        organization_id in id(),
        social_activity_id in id(),
        regarding in regarding(),
        linked_at in forged_time(),
        by_rule in any::<bool>(),
        restored_at in option::of(forged_time()),
    ) -> LinkState {
        LinkState {
            connection: ObjectRef { name: name.into(), uid },
            organization_id,
            social_activity_id,
            record: regarding.map(|(table, id)| record::record(&table, id, "https://a.crm.dynamics.com")),
            linked_at: Time(linked_at),
            linked_by: if by_rule { LinkedBy::Rule } else { LinkedBy::Hand },
            rule: by_rule.then(|| ObjectRef { name: "a".into(), uid: "uid-a-0".into() }),
            restored_at: restored_at.map(Time),
        }
    }
}

fn cause() -> impl Strategy<Value = RemovalCause> {
    use RemovalCause::{
        ConnectionDeleted, RecordDeleted, RecordDissociated, SocialActivityDeleted, Unlinked,
    };
    let causes = vec![ConnectionDeleted, RecordDissociated, RecordDeleted, SocialActivityDeleted, Unlinked];
    prop_oneof![Just(ConnectionDeleted), select(causes)]
}

prop_compose! {
    fn removed_link()(
        link in link_state(),
        removed_at in forged_time(),
        cause in cause(),
        connection_deleted_at in option::of(forged_time()),
        relink_requested in bool::weighted(0.2),
    ) -> RemovedLink {
        let connection_deleted_at = connection_deleted_at.map(Time);
        RemovedLink { link, removed_at: Time(removed_at), cause, connection_deleted_at, relink_requested }
    }
}

fn hash() -> impl Strategy<Value = String> {
    select(vec!["h1".to_owned(), "h2".to_owned()])
}

fn intent() -> impl Strategy<Value = Intent> {
    let attempt = prop_oneof![8 => 1..5, 1 => Just(i32::MAX)];
    (option::of(hash()), attempt, option::of(hash())).prop_map(|(hash, attempt, relink_requested_at)| {
        Intent { hash, connection: None, attempt, relink_requested_at }
    })
}

prop_compose! {
    fn link_status()(
        observed_generation in -1_i64..4,
        conditions in vec(condition(), 0..5),
        link in option::of(link_state()),
        removed_link in option::of(removed_link()),
        intent in option::of(intent()),
        last_handled_reconcile_at in option::of(hash()),
    ) -> PostLinkStatus {
        PostLinkStatus { observed_generation, conditions, reason: None, link, removed_link, intent, last_handled_reconcile_at }
    }
}

fn desired() -> impl Strategy<Value = DesiredLink> {
    let name = option::of(select(&NAMES).prop_map(str::to_owned));
    let request = (name, option::of(table()), option::of(id()), hash()).prop_map(
        |(connection, record_type, record_id, hash)| LinkSpec { connection, record_type, record_id, hash },
    );
    prop_oneof![2 => Just(DesiredLink::ByRule), 1 => Just(DesiredLink::Unlink), 3 => request.prop_map(DesiredLink::ByHand)]
}

prop_compose! {
    pub fn post()(
        generation in 1_i64..4,
        created in near(),
        first_seen in prop_oneof![Just(Timestamp::UNIX_EPOCH), near()],
        deleting in prop::bool::weighted(0.05),
        post_changed in prop::bool::weighted(0.05),
        published_at in option::of(near()),
        desired in desired(),
        relink_requested in option::weighted(0.3, hash()),
        reconcile_requested in option::of(hash()),
        status in prop_oneof![1 => Just(PostLinkStatus::default()), 4 => link_status()],
    ) -> PostLinkFacts {
        PostLinkFacts {
            name: "post".into(), generation, created, first_seen, deleting, post_changed, published_at, desired, relink_requested, reconcile_requested,
            status,
        }
    }
}

/// Another PostLink of the same post.
pub fn claim() -> impl Strategy<Value = PostClaim> {
    (any::<bool>(), near(), select(&["a", "z"])).prop_map(|(unlinked, created, name)| PostClaim {
        unlinked,
        created,
        name: name.to_owned(),
    })
}

/// Possible results of checking an activity.
pub fn activity() -> impl Strategy<Value = ActivityState> {
    let exists = || option::of(any::<bool>());
    prop_oneof![
        exists().prop_map(|record_exists| ActivityState::Gone { record_exists }),
        (regarding(), exists())
            .prop_map(|(regarding, record_exists)| ActivityState::Exists { regarding, record_exists }),
    ]
}

/// Possible results of a creation.
pub fn created() -> impl Strategy<Value = CreationResult> {
    prop_oneof![
        (link_state(), 1..3).prop_map(|(link, attempt)| CreationResult::Exists { link, spec: None, attempt }),
        (uid(), reason()).prop_map(|(connection, reason)| CreationResult::Failed { connection, reason }),
    ]
}

fn failure() -> impl Strategy<Value = ProbeFailure> {
    select(vec![
        ProbeFailure::OrganizationDisabled { ended: true },
        ProbeFailure::OrganizationDisabled { ended: false },
        ProbeFailure::AdministrationMode,
        ProbeFailure::Unreachable,
        ProbeFailure::UnexpectedResponse,
        ProbeFailure::Failing,
        ProbeFailure::Certificate,
        ProbeFailure::SignInUnavailable,
        ProbeFailure::Throttled,
        ProbeFailure::NotAsked,
        ProbeFailure::CredentialsRejected,
        ProbeFailure::AccessDenied,
        ProbeFailure::SecretNotFound("key".into()),
        ProbeFailure::SecretInvalid("no tenantId".into()),
        ProbeFailure::HostNotAllowed,
        ProbeFailure::AddressNotAllowed,
    ])
}

prop_compose! {
    /// Possible results of a probe.
    pub fn observation()(
        at in near(),
        failure in option::of(failure()),
        organization_id in id(),
        accepts_social_data in any::<bool>(),
        disabled in prop::bool::weighted(0.1),
        failures in prop_oneof![0..3_u32, Just(u32::MAX)],
        tables in option::of((near(), vec(table(), 0..4), vec(table(), 0..4), vec(table(), 0..2))),
        metadata_failure in option::of((near(), prop_oneof![1..4_u32, Just(u32::MAX)])),
        secret in prop_oneof![Just("key"), Just("another")],
    ) -> Observation {
        let answer = failure.map_or_else(
            || ProbeAnswer::Organization {
                organization: organization(organization_id),
                friendly_name: Some("Contoso".into()),
                accepts_social_data,
                disabled,
            },
            ProbeAnswer::Failure,
        );
        let tables = tables
            .map(|(read_at, asked, usable, missing)| TableMetadata { read_at, requested: None, asked, usable, missing });
        let metadata_failure = metadata_failure.map(|(at, times)| MetadataFailure { at, times });
        Observation { at, answer, failures, tables, metadata_failure, credentials: credentials(secret), requested: None }
    }
}
