//! Creating the activity of a link: re-read live, at most a few at a time per connection, never twice, never after
//! the connection was closed or the lease ran short.

use super::{CREATIONS, Instances, credentials::DEADLINE, payload};
use crate::{
    api::{PostLink, Reason},
    controller::{
        index::Source,
        queue::{Key, Kind},
    },
    rules::link::{Create, Created, Step, activity_id},
};
use dataverse_client::{Creation, ErrorClass, ErrorKind, RegardingTarget};
use jiff::SignedDuration;
use kube::{Api, ResourceExt};
use std::time::Duration;
use tracing::debug;
use uuid::Uuid;

/// When a live read knows more than the watch, which is about to tell: until then the same would be decided again.
const WATCH_BEHIND: Duration = Duration::from_millis(200);

/// What the creation was decided on; anything else in the live object means deciding again.
pub struct Basis {
    /// The link's UID.
    pub uid: Uuid,
    /// Its generation.
    pub generation: i64,
    /// `spec.linksPerSecond` of the connection.
    pub links_per_second: Option<i32>,
    /// The notes of the rule that asks, if one does.
    pub notes: Option<String>,
}

impl Instances {
    /// Begins a creation beside the loop; the link's key becomes due when it has ended.
    pub fn create(&self, key: Key, create: Create, basis: Basis) {
        let uid = {
            let mut state = self.state();
            if state.stopping || state.creating.contains(&key) || state.is_held(&create.connection, &key) {
                return;
            }
            let now = self.clock.now();
            let connection = state.connections.entry(create.connection.clone()).or_default();
            if connection.closed {
                connection.kept_out.insert(key);
                return;
            }
            let rate = basis.links_per_second;
            if let Some(wait) = rate.and_then(|rate| state.turn(&key, &create.connection, rate, now)) {
                state.created.insert(key.clone(), (basis.uid, Created::Refused(Reason::Throttled)));
                state.fail(&key, basis.uid, now, Some(wait));
                drop(state);
                self.queue.add(key);
                return;
            }
            state.creating.insert(key.clone());
            let uid = create.connection.clone();
            let connection = state.connections.entry(uid.clone()).or_default();
            connection.creating += 1;
            connection.to_create.push_back((key, create, basis));
            if connection.creators >= CREATIONS {
                return;
            }
            connection.creators += 1;
            uid
        };
        let (this, busy) = (self.clone(), self.busy());
        tokio::spawn(async move {
            let _busy = busy;
            while let Some((key, create, basis)) = this.next_creation(&uid) {
                let outcome = this.try_create(&key, &create, &basis).await;
                this.finish(key, &create.connection, basis.uid, outcome);
            }
        });
    }

    /// What one of the tasks that create through a connection does next; with none it ends. A task for each link would
    /// take kilobytes for each of ten thousand that wait.
    fn next_creation(&self, uid: &str) -> Option<(Key, Create, Basis)> {
        let mut state = self.state();
        let connection = state.connections.get_mut(uid)?;
        let next = connection.to_create.pop_front();
        if next.is_none() {
            connection.creators = connection.creators.saturating_sub(1);
        }
        next
    }

    fn finish(&self, key: Key, uid: &str, link: Uuid, outcome: Option<Outcome>) {
        // Of an object that has gone meanwhile nobody would ever ask what became of it.
        let outcome = outcome.filter(|_| self.index.uid(&key).is_some_and(|known| known == link.to_string()));
        let (now, begun) = (self.clock.now(), outcome.is_some());
        let closed = {
            let mut state = self.state();
            state.creating.remove(&key);
            match outcome {
                Some(Outcome { created, wait }) => {
                    if matches!(created, Created::Refused(_)) {
                        state.fail(&key, link, now, wait);
                    }
                    state.created.insert(key.clone(), (link, created));
                }
                None => {
                    state.created.remove(&key);
                }
            }
            state.connections.get_mut(uid).is_some_and(|connection| {
                connection.creating = connection.creating.saturating_sub(1);
                connection.closed && connection.creating == 0
            })
        };
        if closed && let Some(facts) = self.index.connection_by_uid(&key.namespace, uid) {
            self.queue.add(Key::new(Kind::Connection, key.namespace.clone(), facts.name));
        }
        if begun {
            // Written also by a process that ends: the next one would ask the instance for what this one knows.
            self.queue.add_last(key);
        } else {
            self.queue.add(key);
        }
    }

    /// `None`: what it was decided on has changed; nothing was sent.
    async fn try_create(&self, key: &Key, create: &Create, basis: &Basis) -> Option<Outcome> {
        let handle = {
            let state = self.state();
            let connection = state.connections.get(&create.connection)?;
            if connection.closed || state.stopping {
                // A disable, a delete or the end of the process waits for what is under way, not for what could
                // still begin.
                return None;
            }
            connection.handle.clone()
        };
        let Some(instance) = handle else {
            return Some(Outcome::refused(Reason::ConnectionNotReady));
        };
        // It may have waited for its turn for long: a rule that is off by now makes nothing more, and an instance that is
        // down by now is not asked once more for each link that waits.
        let look = self.index.look(key).filter(|look| look.uid == basis.uid)?;
        if self.decided(key, &look).step != Step::Create(create.clone()) {
            return None;
        }
        if let Some(wait) = instance.throttled_for() {
            let wait = SignedDuration::try_from(wait).ok();
            return Some(Outcome { created: Created::Refused(Reason::Throttled), wait });
        }
        let api: Api<PostLink> = Api::namespaced(self.client.clone(), &key.namespace);
        let live = match tokio::time::timeout(DEADLINE, api.get_opt(&key.name)).await {
            Ok(Ok(Some(live))) => live,
            Ok(Ok(None)) => {
                tokio::time::sleep(WATCH_BEHIND).await;
                return None;
            }
            _ => return Some(Outcome::refused(Reason::ConnectionNotReady)),
        };
        let same = live.uid().is_some_and(|uid| super::super::index::entry::uid(&uid) == basis.uid)
            && live.metadata.generation == Some(basis.generation)
            && live.metadata.deletion_timestamp.is_none();
        if !same {
            let touched = self.index.apply_link(&live, Source::Answer, self.clock.now());
            if touched.keys.is_empty() {
                tokio::time::sleep(WATCH_BEHIND).await;
            }
            self.queue.extend(touched.keys);
            return None;
        }
        let regarding = match create.record_id {
            Some(id) => match self.regarding(create, &instance, id).await {
                Ok(target) => Some(target),
                Err(error) => return Some(Outcome::of(&error)),
            },
            None => None,
        };
        if !self.may_create() {
            return None;
        }
        let id = activity_id(create.organization, &key.namespace, &live.spec.post.id, create.attempt);
        let notes = match &create.rule {
            Some(_) => basis.notes.clone(),
            None => live.spec.link.as_ref().and_then(|l| l.notes.clone()),
        };
        let activity = payload::activity(&live.spec.post, &create.record_type, notes.as_deref(), regarding);
        Some(match instance.create_activity(id, &activity).await {
            Ok(Creation::Created | Creation::AlreadyExists) => {
                let record = create.record_id.map(|record| (create.record_type.clone(), record));
                let created = Created::Exists {
                    activity: id,
                    record,
                    connection: create.connection.clone(),
                    rule: create.rule.clone(),
                    request: create.request.clone(),
                };
                Outcome { created, wait: None }
            }
            Err(error) => {
                debug!(kind = key.kind.as_str(), namespace = %key.namespace, name = %key.name, uid = %basis.uid, %error, "an activity was not created");
                let whole = [
                    ErrorClass::InstanceDown,
                    ErrorClass::CredentialsUnusable,
                    ErrorClass::SignInUnavailable,
                ];
                if whole.contains(&error.class()) {
                    self.suspect(&create.connection, &key.namespace);
                }
                Outcome::of(&error)
            }
        })
    }

    /// Something is wrong with the instance as a whole: its connection is looked at before the next try.
    fn suspect(&self, uid: &str, namespace: &str) {
        if let Some(facts) = self.index.connection_by_uid(namespace, uid)
            && let Some(connection) = self.index.connection(namespace, &facts.name)
        {
            self.ask(connection, crate::rules::connection::Ask { tables: None });
        }
    }

    async fn regarding(
        &self,
        create: &Create,
        instance: &dataverse_client::Instance,
        id: Uuid,
    ) -> Result<RegardingTarget, dataverse_client::Error> {
        let known = {
            let state = self.state();
            state.connections.get(&create.connection).and_then(|c| c.tables.get(&create.record_type).cloned())
        };
        let table = match known {
            Some(table) => table,
            None => {
                let types = instance.metadata(std::slice::from_ref(&create.record_type)).await?;
                match types.first().filter(|t| t.exists) {
                    Some(metadata) => super::Table::of(metadata),
                    None => {
                        let (endpoint, kind) =
                            (dataverse_client::Endpoint::Instance, ErrorKind::UnknownTable);
                        return Err(dataverse_client::Error { endpoint, kind });
                    }
                }
            }
        };
        Ok(RegardingTarget {
            logical_name: create.record_type.clone(),
            entity_set: table.entity_set,
            id,
            navigation_property: table.navigation_property,
        })
    }
}

/// How a creation ended.
struct Outcome {
    created: Created,
    wait: Option<SignedDuration>,
}

impl Outcome {
    fn refused(reason: Reason) -> Self {
        Self { created: Created::Refused(reason), wait: None }
    }

    fn of(error: &dataverse_client::Error) -> Self {
        let reason = match (&error.kind, error.class()) {
            (ErrorKind::SocialDataRefused, _) => Reason::SocialDataRefused,
            (ErrorKind::RecordNotFound, _) => Reason::RecordNotFound,
            (ErrorKind::UnknownTable, _) => Reason::RecordTypeNotOffered,
            (_, ErrorClass::RetryLater) => Reason::Throttled,
            (_, ErrorClass::InstanceDown) => Reason::InstanceDowntime,
            (_, ErrorClass::RequestRefused) => Reason::PostRefused,
            _ => Reason::ConnectionNotReady,
        };
        let wait = error.retry_after().and_then(|wait| SignedDuration::try_from(wait).ok());
        Self { created: Created::Refused(reason), wait }
    }
}
