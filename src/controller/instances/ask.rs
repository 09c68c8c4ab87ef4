//! Asking an instance how it is, and, when it is in order, whether its links' activities and records are still there.

use super::{
    Instances, Table,
    credentials::{self, Trouble},
};
use crate::{
    api::{
        DynamicsConnection, Organization,
        names::{REFRESH_REQUESTED, reconcile_requested, requested},
    },
    controller::queue::{Key, Kind},
    rules::{
        connection::Ask,
        facts::ConnectionFacts,
        instance_state::{Answer, Failure, Tables, Told, Unread},
    },
};
use dataverse_client::{ErrorClass, ErrorKind, Rejection, Unreachable};
use kube::ResourceExt;
use std::sync::Arc;
use tracing::warn;

/// What one round of questions brought.
struct Heard {
    answer: Answer,
    tables: Option<Tables>,
    /// The tables could not be read, although the instance is in order.
    unread: bool,
    sets: Vec<(String, Table)>,
    handle: Option<dataverse_client::Instance>,
}

impl Instances {
    /// Asks, beside the loop; the connection's key becomes due when there is an answer. One question at a time.
    pub fn ask(&self, connection: Arc<DynamicsConnection>, ask: Ask) {
        let uid = connection.uid().unwrap_or_default();
        {
            let mut state = self.state();
            let namespace = connection.namespace().unwrap_or_default();
            if state.is_held(&uid, &Key::new(Kind::Connection, namespace, connection.name_any())) {
                return;
            }
            let known = state.connections.entry(uid.clone()).or_default();
            if known.asking {
                return;
            }
            known.asking = true;
        }
        let (this, busy) = (self.clone(), self.busy());
        tokio::spawn(async move {
            let _busy = busy;
            let heard = this.hear(&connection, &ask).await;
            this.remember(&connection, &uid, heard).await;
        });
    }

    async fn hear(&self, connection: &DynamicsConnection, ask: &Ask) -> Heard {
        let failed = |failure| Heard {
            answer: Answer::Failure(failure),
            tables: None,
            unread: false,
            sets: Vec::new(),
            handle: None,
        };
        let Ok(origin) = self.dynamics.admit(&connection.spec.instance_url) else {
            return failed(Failure::HostNotAllowed);
        };
        let credentials = match credentials::read(&self.client, connection).await {
            Ok(credentials) => credentials,
            Err(Trouble::Failure(failure)) => return failed(failure),
            Err(Trouble::Api) => return failed(Failure::NotAsked),
        };
        let instance = match self.dynamics.instance(&origin, &credentials) {
            Ok(instance) => instance,
            Err(error) => return failed(failure(&error)),
        };
        let known = connection.status.as_ref().and_then(|s| s.organization.clone());
        let mut heard = match &ask.tables {
            Some(tables) => match instance.organization().await {
                Ok(organization) => match instance.metadata(tables).await {
                    Ok(types) => full(organization, Some(&types), tables, connection, self.clock.now()),
                    // What was read before stands. Were the instance taken for broken, each of its links would say so,
                    // until its health is asked for next and says the contrary.
                    Err(error) if self.knows_tables(connection) => {
                        let (namespace, name) = (connection.namespace(), connection.name_any());
                        warn!(kind = "DynamicsConnection", namespace, name, %error, "metadata could not be read again");
                        full(organization, None, tables, connection, self.clock.now())
                    }
                    Err(error) => failed(failure(&error)),
                },
                Err(error) => failed(failure(&error)),
            },
            None => match instance.health().await {
                Ok(health) => brief(health, known.as_ref()),
                Err(error) => failed(failure(&error)),
            },
        };
        if heard.answer == Answer::Failure(Failure::OrganizationDisabled { ended: false }) {
            // Only the discovery service can tell an expired instance from one somebody switched off.
            let ended = match instance.discover(known.map(|o| o.id)).await {
                Ok(Some(found)) => found.expired(self.clock.now()),
                _ => false,
            };
            heard.answer = Answer::Failure(Failure::OrganizationDisabled { ended });
        }
        heard.handle = Some(instance);
        heard
    }

    async fn remember(&self, connection: &DynamicsConnection, uid: &str, heard: Heard) {
        let at = self.clock.now();
        let in_order = matches!(heard.answer, Answer::Organization { disabled: false, .. });
        let same_organization =
            match (&heard.answer, connection.status.as_ref().and_then(|s| s.organization.as_ref())) {
                (Answer::Organization { organization, .. }, Some(known)) => organization.id == known.id,
                _ => true,
            };
        {
            let mut state = self.state();
            let known = state.connections.entry(uid.to_owned()).or_default();
            let before = known.told.take();
            let failures = if in_order { 0 } else { before.as_ref().map_or(0, |t| t.failures) + 1 };
            let unread = before.as_ref().and_then(|t| t.unread);
            let unread = match (&heard.tables, heard.unread) {
                (Some(_), _) => None,
                (None, true) => Some(Unread { at, times: unread.map_or(0, |u| u.times) + 1 }),
                (None, false) => unread,
            };
            let tables = heard.tables.or_else(|| before.and_then(|t| t.tables));
            let requested = reconcile_requested(connection.metadata.annotations.as_ref());
            known.told = Some(Told {
                at,
                answer: heard.answer,
                failures,
                tables,
                unread,
                credentials: connection.spec.credentials.clone(),
                requested: requested.map(str::to_owned),
            });
            known.tables.extend(heard.sets);
            known.handle = heard.handle;
            known.asking = false;
        }
        // Links of a connection that was not in order ask by themselves when it says that it is again.
        let listened = ConnectionFacts::of(connection).refuses_links().is_none();
        if in_order && same_organization && listened {
            self.check_all(uid).await;
        }
        let namespace = connection.namespace().unwrap_or_default();
        self.queue.add(Key::new(Kind::Connection, namespace, connection.name_any()));
    }

    fn knows_tables(&self, connection: &DynamicsConnection) -> bool {
        let told = self.told(&connection.uid().unwrap_or_default());
        told.is_some_and(|told| told.tables.is_some())
    }
}

/// `types`: metadata of the tables asked for, or none if it could not be read.
fn full(
    organization: dataverse_client::Organization,
    types: Option<&[dataverse_client::TableMetadata]>,
    asked: &[String],
    connection: &DynamicsConnection,
    now: jiff::Timestamp,
) -> Heard {
    let usable = |t: &&dataverse_client::TableMetadata| t.exists && t.related_to_social_activity;
    let existing = types.unwrap_or_default().iter().filter(|t| t.exists);
    let annotations = connection.metadata.annotations.as_ref();
    Heard {
        tables: types.map(|types| Tables {
            read_at: now,
            requested: requested(annotations, REFRESH_REQUESTED).map(str::to_owned),
            asked: asked.to_vec(),
            usable: types.iter().filter(usable).map(|t| t.logical_name.clone()).collect(),
        }),
        unread: types.is_none(),
        sets: existing.map(|t| (t.logical_name.clone(), Table::of(t))).collect(),
        answer: Answer::Organization {
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

fn brief(health: dataverse_client::Health, known: Option<&Organization>) -> Heard {
    let known = known.filter(|k| k.id == health.organization_id);
    Heard {
        answer: Answer::Organization {
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
        unread: false,
        sets: Vec::new(),
        handle: None,
    }
}

impl Table {
    pub(super) fn of(metadata: &dataverse_client::TableMetadata) -> Self {
        Self {
            entity_set: metadata.entity_set_name.clone(),
            id_attribute: metadata.primary_id_attribute.clone(),
            navigation_property: metadata.navigation_property.clone(),
        }
    }
}

/// An error of the client in the rules' words: one for one, no judgement.
fn failure(error: &dataverse_client::Error) -> Failure {
    match (&error.kind, error.class()) {
        (ErrorKind::OrganizationDisabled, _) => Failure::OrganizationDisabled { ended: false },
        (ErrorKind::AdministrationMode, _) => Failure::AdministrationMode,
        (ErrorKind::HostNotAllowed(_), _) => Failure::HostNotAllowed,
        (ErrorKind::AddressNotAllowed, _) => Failure::AddressNotAllowed,
        (ErrorKind::CredentialsUnusable(fault), _) => Failure::SecretInvalid(fault.to_string()),
        // No such instance in that tenant: it is the instance that is missing, not the credentials that are wrong.
        (ErrorKind::CredentialsRejected { reason: Rejection::InvalidResource, .. }, _) => {
            Failure::Unreachable
        }
        (ErrorKind::CredentialsRejected { .. }, _) => Failure::CredentialsRejected,
        (ErrorKind::NotAMember { .. } | ErrorKind::AccessDenied { .. }, _) => Failure::AccessDenied,
        (_, ErrorClass::SignInUnavailable) => Failure::SignInUnavailable,
        (_, ErrorClass::RetryLater | ErrorClass::DiscoveryUnavailable) => Failure::Throttled,
        (ErrorKind::Unreachable(Unreachable::Tls), _) => Failure::Certificate,
        (
            ErrorKind::ServiceUnavailable { .. }
            | ErrorKind::Unreachable(_)
            | ErrorKind::OrganizationUnavailable { .. },
            _,
        ) => Failure::Unreachable,
        (ErrorKind::Other { .. }, _) => Failure::Failing,
        _ => Failure::Rubbish,
    }
}
