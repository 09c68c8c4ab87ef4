//! Probes an instance in the background. If it is healthy, checks whether the activities and records of its links still
//! exist.

use super::credentials::{self, CredentialsError};
use crate::{
    api::{
        DynamicsConnection, Organization,
        names::{REFRESH_REQUESTED, reconcile_requested, requested},
    },
    controller::{
        context::Context,
        key::{Key, Kind},
        post_link::check,
        runtime::{Probed, Table},
    },
    domain::{
        connection::{
            ProbeRequest,
            health::{ProbeAnswer, ProbeFailure, TableMetadata},
        },
        facts::ConnectionFacts,
    },
};
use dataverse_client::{ErrorClass, ErrorKind, Instance, Rejection, Unreachable};
use kube::ResourceExt;
use std::sync::Arc;
use tracing::warn;

struct ProbeResult {
    answer: ProbeAnswer,
    tables: Option<TableMetadata>,
    /// The tables could not be read although the instance is healthy.
    tables_failed: bool,
    addresses: Vec<(String, Table)>,
    handle: Option<Instance>,
}

impl ProbeResult {
    fn failed(failure: ProbeFailure) -> Self {
        let answer = ProbeAnswer::Failure(failure);
        Self { answer, tables: None, tables_failed: false, addresses: Vec::new(), handle: None }
    }
}

fn key(connection: &DynamicsConnection) -> Key {
    Key::new(Kind::DynamicsConnection, connection.namespace().unwrap_or_default(), connection.name_any())
}

/// Begins a probe, one at a time per connection. The connection's key is enqueued at the end.
pub fn start(context: &Context, connection: Arc<DynamicsConnection>, request: ProbeRequest) {
    let uid = connection.uid().unwrap_or_default();
    if !context.runtime.begin_probe(&uid, &key(&connection)) {
        return;
    }
    let (context, task) = (context.clone(), context.background.begin());
    tokio::spawn(async move {
        let _task = task;
        let _slot = context.instance_slots.take(&connection.namespace().unwrap_or_default()).await;
        let found = probe(&context, &connection, &request).await;
        finish(&context, &connection, &uid, found).await;
    });
}

/// Probes only the health, after a request has failed.
pub fn start_health(context: &Context, namespace: &str, uid: &str) {
    if let Some(facts) = context.index.connection_by_uid(namespace, uid)
        && let Some(connection) = context.index.connection(namespace, &facts.name)
    {
        start(context, connection, ProbeRequest { tables: None });
    }
}

async fn probe(context: &Context, connection: &DynamicsConnection, request: &ProbeRequest) -> ProbeResult {
    let Ok(origin) = context.dataverse.admit(&connection.spec.instance_url) else {
        return ProbeResult::failed(ProbeFailure::HostNotAllowed);
    };
    let credentials = match credentials::read(&context.client, connection).await {
        Ok(credentials) => credentials,
        Err(CredentialsError::Unusable(failure)) => return ProbeResult::failed(failure),
        Err(CredentialsError::Unanswered) => return ProbeResult::failed(ProbeFailure::NotAsked),
    };
    let instance = match context.dataverse.instance(&origin, &credentials) {
        Ok(instance) => instance,
        Err(error) => return ProbeResult::failed(failure(&error)),
    };
    let known = connection.status.as_ref().and_then(|s| s.organization.clone());
    let mut found = match &request.tables {
        Some(tables) => probe_with_tables(context, connection, &instance, tables).await,
        None => match instance.health().await {
            Ok(health) => from_health(health, known.as_ref()),
            Err(error) => ProbeResult::failed(failure(&error)),
        },
    };
    if found.answer == ProbeAnswer::Failure(ProbeFailure::OrganizationDisabled { ended: false }) {
        // Only the discovery service distinguishes an expired instance from one that was disabled.
        let ended = match instance.discover(known.map(|o| o.id)).await {
            Ok(Some(found)) => found.expired(context.clock.now()),
            _ => false,
        };
        found.answer = ProbeAnswer::Failure(ProbeFailure::OrganizationDisabled { ended });
    }
    found.handle = Some(instance);
    found
}

async fn probe_with_tables(
    context: &Context,
    connection: &DynamicsConnection,
    instance: &Instance,
    tables: &[String],
) -> ProbeResult {
    let organization = match instance.organization().await {
        Ok(organization) => organization,
        Err(error) => return ProbeResult::failed(failure(&error)),
    };
    let now = context.clock.now();
    match instance.metadata(tables).await {
        Ok(types) => from_organization(organization, Some(&types), tables, connection, now),
        // Keep the tables read before. If the probe failed instead, every link would report it until the next probe.
        Err(error) if has_tables(context, connection) => {
            let (namespace, name) = (connection.namespace(), connection.name_any());
            warn!(kind = "DynamicsConnection", namespace, name, %error, "failed to refresh the table metadata; keeping the previous metadata");
            from_organization(organization, None, tables, connection, now)
        }
        Err(error) => ProbeResult::failed(failure(&error)),
    }
}

fn has_tables(context: &Context, connection: &DynamicsConnection) -> bool {
    let observation = context.runtime.observation(&connection.uid().unwrap_or_default());
    observation.is_some_and(|observation| observation.tables.is_some())
}

async fn finish(context: &Context, connection: &DynamicsConnection, uid: &str, found: ProbeResult) {
    let healthy = matches!(found.answer, ProbeAnswer::Organization { disabled: false, .. });
    let known = connection.status.as_ref().and_then(|s| s.organization.as_ref());
    let same_organization = match (&found.answer, known) {
        (ProbeAnswer::Organization { organization, .. }, Some(known)) => organization.id == known.id,
        _ => true,
    };
    let requested = reconcile_requested(connection.metadata.annotations.as_ref());
    let ProbeResult { answer, tables, tables_failed, addresses, handle } = found;
    context.runtime.finish_probe(
        uid,
        Probed {
            at: context.clock.now(),
            answer,
            tables,
            tables_failed,
            addresses,
            handle,
            credentials: connection.spec.credentials.clone(),
            requested: requested.map(str::to_owned),
        },
    );
    if healthy && same_organization {
        // Links of a connection that was not usable are checked after its status reports the recovery.
        if ConnectionFacts::of(connection).refuses_links().is_none() {
            check::check_all(context, uid).await;
        }
        // `check_all` enqueues only links whose status differs, and knows no removed links.
        check::resume(context, &connection.namespace().unwrap_or_default(), uid);
    }
    context.queue.add(key(connection));
}

/// `types` is the metadata of the `asked` tables; `None` if it could not be read.
fn from_organization(
    organization: dataverse_client::Organization,
    types: Option<&[dataverse_client::TableMetadata]>,
    asked: &[String],
    connection: &DynamicsConnection,
    now: jiff::Timestamp,
) -> ProbeResult {
    let usable = |t: &&dataverse_client::TableMetadata| t.exists && t.related_to_social_activity;
    let existing = types.unwrap_or_default().iter().filter(|t| t.exists);
    let annotations = connection.metadata.annotations.as_ref();
    ProbeResult {
        tables: types.map(|types| TableMetadata {
            read_at: now,
            requested: requested(annotations, REFRESH_REQUESTED).map(str::to_owned),
            asked: asked.to_vec(),
            usable: types.iter().filter(usable).map(|t| t.logical_name.clone()).collect(),
            missing: types.iter().filter(|t| !t.exists).map(|t| t.logical_name.clone()).collect(),
        }),
        tables_failed: types.is_none(),
        addresses: existing.map(|t| (t.logical_name.clone(), Table::from(t))).collect(),
        answer: ProbeAnswer::Organization {
            disabled: organization.state == dataverse_client::OrganizationState::Disabled,
            accepts_social_data: organization.accepts_social_data,
            friendly_name: Some(organization.friendly_name),
            organization: Organization {
                id: organization.organization_id,
                unique_name: Some(organization.unique_name),
                version: Some(organization.version),
                language: organization.language,
            },
        },
        handle: None,
    }
}

fn from_health(health: dataverse_client::Health, known: Option<&Organization>) -> ProbeResult {
    let known = known.filter(|k| k.id == health.organization_id);
    ProbeResult {
        answer: ProbeAnswer::Organization {
            disabled: health.state == dataverse_client::OrganizationState::Disabled,
            accepts_social_data: health.accepts_social_data,
            friendly_name: Some(health.name),
            organization: Organization {
                id: health.organization_id,
                unique_name: known.and_then(|k| k.unique_name.clone()),
                version: known.and_then(|k| k.version.clone()),
                language: health.language,
            },
        },
        tables: None,
        tables_failed: false,
        addresses: Vec::new(),
        handle: None,
    }
}

/// Converts an error of the client.
fn failure(error: &dataverse_client::Error) -> ProbeFailure {
    match (&error.kind, error.class()) {
        (ErrorKind::OrganizationDisabled, _) => ProbeFailure::OrganizationDisabled { ended: false },
        (ErrorKind::AdministrationMode, _) => ProbeFailure::AdministrationMode,
        (ErrorKind::HostNotAllowed(_), _) => ProbeFailure::HostNotAllowed,
        (ErrorKind::AddressNotAllowed, _) => ProbeFailure::AddressNotAllowed,
        (ErrorKind::CredentialsUnusable(fault), _) => ProbeFailure::SecretInvalid(fault.to_string()),
        // The tenant has no such instance; the credentials may be right.
        (ErrorKind::CredentialsRejected { reason: Rejection::InvalidResource, .. }, _) => {
            ProbeFailure::Unreachable
        }
        (ErrorKind::CredentialsRejected { .. }, _) => ProbeFailure::CredentialsRejected,
        (ErrorKind::NotAMember { .. } | ErrorKind::AccessDenied { .. }, _) => ProbeFailure::AccessDenied,
        (_, ErrorClass::SignInUnavailable) => ProbeFailure::SignInUnavailable,
        (_, ErrorClass::RetryLater | ErrorClass::DiscoveryUnavailable) => ProbeFailure::Throttled,
        (ErrorKind::Unreachable(Unreachable::Tls), _) => ProbeFailure::Certificate,
        (
            ErrorKind::ServiceUnavailable { .. }
            | ErrorKind::Unreachable(_)
            | ErrorKind::OrganizationUnavailable { .. },
            _,
        ) => ProbeFailure::Unreachable,
        (ErrorKind::Other { .. }, _) => ProbeFailure::Failing,
        _ => ProbeFailure::UnexpectedResponse,
    }
}
